"""The page of a run: its result first, what is known of it, and how to go on."""

import json
import re
import shlex
from typing import Any

import pytest

from experiment import __main__ as command_line
from experiment.store import archive_writer
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json, write_json
from experiment.system.sparkline import sparkline
from experiment.system.text_table import width_of
from tests.support.made_runs import make_run

LOSSES = tuple(1 / (epoch + 1) for epoch in range(19)) + (0.9,)


@pytest.fixture
def run(tmp_path):
    """A finished run of twenty epochs, the best of which is the last but one."""
    facts: dict[str, Any] = {
        "note": "Keep this one",
        "tags": ["best"],
        "error": None,
        "command": ["train.py", "--seed", "7"],
    }
    facts |= {"git": {"commit": "a" * 40, "branch": "main"}, "threads": None, "machine": {"cores": 2}}
    changes: dict[str, Any] = {f"run_{name}": value for name, value in facts.items()}
    return make_run(tmp_path / "runs", "a run", 0.93, losses=LOSSES, seed=7, epochs=20, **changes)


def page(capsys, *arguments) -> str:
    assert command_line.main(["show", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_the_result_comes_first_then_what_is_not_at_its_default(run, capsys):
    said = page(capsys, run.name)
    titles = [line for line in said.splitlines() if line and not line.startswith(" ")]
    assert titles[:3] == ["a run", said.splitlines()[1], "tags  best"]
    assert titles[3:] == [
        *("note  Keep this one", "result", "not at their defaults", "epochs", "data", "machine", "code"),
        *("go on", "files"),
    ]
    assert "  test accuracy 0.9300   test loss 0.0700\n" in said
    assert "  20 epochs, best in epoch 19: val_loss 0.0526, val_accuracy 0.9474\n" in said
    assert re.search(r"\n  seed +7  \(default 0\)\n", said)
    assert "layer-2-size" not in said  # at its default, or not there


def test_no_value_is_none_and_no_hash_is_long(run, capsys):
    said = page(capsys, run.name).partition("\nfiles\n")[0]
    assert "None" not in said
    assert not re.search("[0-9a-f]{13}", said)
    assert "None" not in page(capsys, run.name, "--all")


def test_of_many_epochs_some_are_shown_with_the_first_best_and_last_and_each_curve_as_a_line(run, capsys):
    table = page(capsys, run.name).partition("\nepochs\n")[2].partition("\n\n")[0].splitlines()
    rows = [line.split() for line in table if re.match(r" +\d", line)]
    assert (rows[0][0], rows[-1][0], len(rows)) == ("1", "20", 8)
    assert [row[0] for row in rows if row[-1] == "best"] == ["19"]
    assert re.search(r"  val_loss +█[▁▂▃▄▅▆▇█]{19}  0\.0526 – 1$", "\n".join(table), re.MULTILINE)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_page_fits_the_terminal(run, capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = page(capsys, run.name).splitlines()
    assert [line for line in lines if width_of(line) > width and " " in line.strip()] == []


def test_how_to_go_on_depends_on_the_status_and_works_as_printed(run, capsys, tmp_path):
    finished = page(capsys, run.name).partition("\ngo on\n")[2]
    assert "python train.py --rerun" in finished
    killed = make_run(tmp_path / "runs", "killed", run_status="running")
    said = page(capsys, killed.name)
    assert f"{killed.name[:12]}  killed  offline" in said
    assert f"  python -m experiment recover {killed.name[:12]}\n" in said
    (command,) = re.findall("python -m experiment (recover .*)", said)
    assert command_line.main(shlex.split(command)) == 0
    capsys.readouterr()
    assert f"{killed.name[:12]}  interrupted" in page(capsys, killed.name)


def test_an_archive_has_a_page_too(run, capsys):
    archive_writer.recover(RunDirectory(run))
    said = page(capsys, RunDirectory(run).archive)
    assert "test accuracy 0.9300" in said
    assert f"python train.py --rerun {RunDirectory(run).archive}" in said


def test_a_failed_run_says_by_what(tmp_path, capsys):
    error = "Traceback (most recent call last):\n  File …\nValueError: it was bad\n"
    path = make_run(tmp_path / "runs", "bad", run_status="failed", run_error=error)
    assert "\nfailed: ValueError: it was bad\n" in page(capsys, path.name)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([5, 5], "▁▁"),
        ([], ""),
        ([1, float("nan"), 3], "▁ █"),
        ([float("inf")], " "),
        (range(40), "▁▃▆█"),
    ],
)
def test_a_sparkline_goes_from_the_least_to_the_greatest_value(values, line):
    assert sparkline(list(values), 8 if len(values) <= 8 else 4) == line


def refused(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as left:
        command_line.main(["show", *map(str, arguments)])
    assert left.value.code == 2
    return capsys.readouterr().err


def test_figures_that_are_missing_are_drawn_once_and_all_are_listed(run, capsys):
    assert "show --figures" in page(capsys, run)
    curves = run / "figures" / "curves.png"
    assert page(capsys, run, "--figures").splitlines() == [str(curves)]
    curves.write_bytes(b"somebody's own")
    assert json.loads(page(capsys, run, "--figures", "--json")) == {"curves": str(curves)}
    assert curves.read_bytes() == b"somebody's own"
    assert "show --figures" not in page(capsys, run)


def test_a_copy_from_the_registry_is_not_to_be_drawn_in(run, capsys):
    told = {"workspace": "w", "name": "n", "version": "1.0.0"}
    write_json(run / "run.json", {**read_json(run / "run.json"), "registry": told})
    assert "show --figures" not in page(capsys, run)
    assert "is a copy from the registry" in refused(capsys, run, "--figures")


def test_a_picture_that_was_never_finished_is_no_figure(run, capsys):
    page(capsys, run, "--figures")
    (run / "figures" / ".tmp-cut-short.png").touch()
    assert page(capsys, run, "--figures").splitlines() == [str(run / "figures" / "curves.png")]


@pytest.mark.parametrize("reason", ["a file in its place", "a value beyond all drawing"])
def test_a_figure_that_cannot_be_drawn_is_named(run, capsys, reason):
    if reason == "a file in its place":
        (run / "figures").touch()
    else:
        text = (run / "metrics.jsonl").read_text()
        assert "0.9," in text
        (run / "metrics.jsonl").write_text(text.replace("0.9,", "1.7e308,"))
    assert "figures/curves.png' cannot be drawn: " in refused(capsys, run, "--figures")


def test_figures_of_a_run_that_is_alive_are_not_drawn(run, capsys):
    with RunDirectory(run).exclusive():
        assert "a process is working on it" in refused(capsys, run, "--figures")
    assert not (run / "figures").exists()


def test_an_archive_has_no_figures_to_draw(run, capsys):
    archive_writer.recover(RunDirectory(run))
    assert "its run directory has" in refused(capsys, RunDirectory(run).archive, "--figures")


def test_damaged_numbers_of_a_figure_are_named(run, capsys):
    (run / "figures").mkdir()
    (run / "figures" / "weights.json").write_text("{")
    assert "weights.json' is no whole JSON" in refused(capsys, run, "--figures")
