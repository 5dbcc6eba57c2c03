"""What list prints: which runs, in which order, in how wide a terminal, as what."""

import csv
import io
import json
import re
from typing import Any

import pytest

from experiment import store
from experiment.comet import upload
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json, write_json
from experiment.store.find import Runs
from experiment.system.text_table import width_of
from tests.support.made_runs import make_run
from tests.support.processes import tell

LONG = "x" * 90
NAMES = ["plain", "a name of many words that somebody wrote", "手書き数字 のモデル", LONG]


@pytest.fixture
def runs(tmp_path):
    """Four runs; one is tagged and noted, one failed."""
    for number, name in enumerate(NAMES):
        path = make_run(tmp_path / "runs", name, 0.9 + number / 100, seed=number, run_started=1.7e9 + number)
        if number == 1:
            told = {"tags": ["best", "paper"], "note": "for the\npaper"}
            write_json(path / "run.json", read_json(path / "run.json") | told)
    make_run(tmp_path / "runs", "failed", run_status="failed", run_started=1.6e9, initial_lr=0.1)
    return tmp_path / "runs"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160, 200])
def test_the_table_fits_the_terminal_and_breaks_no_word(runs, capsys, monkeypatch, width):
    whole = set(tell(capsys, "list")[1].split())
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, errors = tell(capsys, "list")
    lines = out.splitlines()
    assert max(map(width_of, lines)) <= width
    assert len(lines) == 1 + len(NAMES) + 1
    cut = {word for word in out.split() if word not in whole} - {"…"}
    # A name's first word that is longer than the column.
    assert all(word.endswith("…") and any(name.startswith(word[:-1]) for name in NAMES[2:]) for word in cut)
    assert re.match(r"[0-9a-f]{12}  ", lines[1])
    assert ("no room for" in errors) == ("mode" not in lines[0])


def test_numbers_stand_to_the_right(runs, capsys):
    lines = tell(capsys, "list", "--columns", "key,initial-lr,test_accuracy,seed")[1].splitlines()
    end = lines[0].index("test_accuracy") + len("test_accuracy")
    assert {line[end - 6 : end] for line in lines[1:5]} == {"0.9000", "0.9100", "0.9200", "0.9300"}


def test_what_is_empty_for_all_runs_has_no_column_and_in_a_file_no_column_is_left_out(runs, capsys):
    header = tell(capsys, "list", "--where", "not tag")[1].splitlines()[0]
    assert "tags" not in header
    assert {"mode", "changes"} <= set(header.split())


def test_runs_are_selected_sorted_and_limited(runs, capsys):
    _, out, errors = tell(
        capsys, "list", "--where", "status=finished", "--sort", "-test_accuracy", "--limit", "2", "--json"
    )
    assert [row["name"] for row in json.loads(out)] == [NAMES[3], NAMES[2]]
    assert tell(capsys, "list", "--limit", "2")[2] == "2 of 5 runs\n"


def test_no_run_that_is_so_is_no_error(runs, capsys):
    code, out, errors = tell(capsys, "list", "--where", "seed>90")
    assert (code, out) == (0, "")
    assert "no run in runs is so: --where 'seed>90'" in errors


def test_csv_holds_all_that_is_known_and_runs_no_formula(runs, capsys):
    make_run(runs, "=cmd()")
    _, out, _ = tell(capsys, "list", "--csv")
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(out, newline=""))}
    assert "'=cmd()" in rows
    assert rows[NAMES[1]]["tags"] == "best paper"
    assert rows[NAMES[1]]["note"] == "for the\npaper"
    assert rows["failed"]["initial-lr"] == "0.1"
    assert rows["failed"]["test_accuracy"] == "0.9"  # summed up from its points
    code, out, _ = tell(capsys, "list", "--csv", "runs.csv", "--columns", "name,seed", "--limit", "1")
    assert (code, out) == (0, "")
    assert (runs.parent / "runs.csv").read_text().splitlines() == ["name,seed", f"{NAMES[3]},3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--columns", "nmae"], "--columns has no column 'nmae': did you mean 'name'?"),
        (["--sort", "-acc"], "--sort has no column 'acc'"),
        (["--limit", "0"], "limit = 0: should be 1 or more"),
        (["--csv", "--json"], "--csv and --json both print"),
        (["--csv", "nowhere/x.csv"], "--csv 'nowhere/x.csv' cannot be written: No such file"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(runs, capsys, arguments, message):
    code, _, errors = tell(capsys, "list", *arguments)
    assert code == 2
    assert message in errors


def test_a_wrong_expression_is_shown_with_a_mark_below_its_place(runs, capsys):
    code, _, errors = tell(capsys, "list", "--where", "seed=0  and sed=1")
    assert code == 2
    assert errors.splitlines()[1:] == ["  seed=0  and sed=1", "              ^^^"]


def test_compare_takes_the_same_expression(runs, capsys):
    code, out, _ = tell(capsys, "compare", "--where", "seed>=2", "--json")
    assert code == 0
    assert {row["name"] for row in json.loads(out)["runs"]} == set(NAMES[2:])
    assert tell(capsys, "compare", "--where", "seed>90")[0] == 2


def test_export_takes_each_run_that_an_expression_means_to_a_folder_of_its_own(runs, capsys, monkeypatch):
    from experiment.deploy import export

    def write(directory, to, out):
        if directory.path.name == Runs(runs).find(NAMES[1]).key:
            raise export.ExportFailed("it cannot be exported")
        return {"key": directory.key, "format": to, "path": str(out)}

    monkeypatch.setattr(export, "export", write)
    arguments = ("--where", "seed<2 and status=finished", "--to", "onnx", "--out", "deployed", "--json")
    code, out, errors = tell(capsys, "export", *arguments)
    key = Runs(runs).find(NAMES[0]).key
    assert (code, "it cannot be exported" in errors) == (1, True)
    assert json.loads(out) == [{"key": key, "format": "onnx", "path": f"deployed/{key[:12]}"}]


def test_upload_sends_those_that_an_expression_means_and_that_comet_lacks(runs, capsys, monkeypatch):
    sent: list[str] = []
    ledger: dict[str, Any] = {"verified": True, "url": None, "counts": {}, "missing": []}

    def send(directory, *_):
        sent.append(directory.key)
        return ledger

    monkeypatch.setattr(upload, "upload", send)
    assert tell(capsys, "upload", "--where", "seed>=2")[0] == 0
    keys = {Runs(runs).find(name).key for name in NAMES[2:]}
    assert set(sent) == keys
    RunDirectory(runs / min(keys)).comet.mkdir()
    write_json(RunDirectory(runs / min(keys)).upload_file, {"verified": True, "uploaded": 2e9})
    assert tell(capsys, "upload", "--where", "seed>=2")[0] == 0
    assert sent[2:] == [max(keys)]
    assert tell(capsys, "upload", "--where", "seed>90")[0] == 2
    assert "one of them" in tell(capsys, "upload", "--all", "--where", "seed=1")[2]


def test_export_refuses_names_and_an_expression_at_once(runs, capsys):
    code, _, errors = tell(capsys, "export", "plain", "--where", "seed=0", "--to", "onnx")
    assert code == 2
    assert "not both" in errors


def test_python_gets_the_runs_as_a_data_frame(runs):
    frame = store.frame("runs", where="status=finished", sort="-seed")
    assert list(frame["seed"]) == [3, 2, 1, 0]
    assert frame.index.name == "key"
    assert frame["started"].dt.year.tolist() == [2023] * 4
    assert frame.loc[frame["name"] == NAMES[1], "tags"].tolist() == [["best", "paper"]]
    assert list(store.frame("runs", columns=["name", "test_accuracy"], limit=2)) == ["name", "test_accuracy"]
