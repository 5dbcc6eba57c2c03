"""Runs from directories and from archives of the real SDK, side by side; verdicts; warnings."""

import csv
import json
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from experiment import __main__ as command_line
from experiment.comet import settings
from experiment.compare.answers import verdict_text
from experiment.compare.comparison import compare_runs
from experiment.compare.tables import as_json, as_text
from experiment.store.archive_reader import read_archive
from experiment.store.directory_reader import read_record
from experiment.store.find import Runs, read_runs
from tests.support.made_runs import make_run, with_mistakes
from tests.support.processes import run_python


def comparison(runs, **named):
    return compare_runs(read_runs(runs)[0], **named)


def five_seeds(runs, width, mean, spread=0.001, **changes):
    for seed in range(5):
        name = f"{width} {seed} {changes}"
        started = {"run_started": 1e9 + width + seed / 10}
        named = {"layer_1_size": width, "seed": seed, **started, **changes}
        make_run(runs, name, mean + spread * (seed - 2), **named)


@pytest.fixture(scope="module")
def foreign_archive(tmp_path_factory) -> Path:
    """An archive that the SDK's own commands made, without any of our conventions."""
    folder = tmp_path_factory.mktemp("foreign")
    comet_ml = settings.import_comet()
    switches = {name: False for name in ("log_code", "log_graph", "log_env_details", "log_git_metadata")}
    experiment = comet_ml.OfflineExperiment(
        **{"offline_directory": str(folder), "project_name": "other", "display_summary_level": 0},
        **switches,
    )
    experiment.set_name("their run")
    experiment.add_tag("theirs")
    experiment.log_parameters({"lr": 0.1, "nested": {"depth": 3}, "flag": True})
    for step, loss in enumerate((0.9, 0.4, 0.6), 1):
        with experiment.train():
            experiment.log_metric("loss", loss, step=step)
        experiment.log_metric("val_loss", loss + 0.1, step=step)
        experiment.log_metric("val_accuracy", 1 - loss, step=step)
    experiment.log_metric("test_accuracy", float("nan"))
    experiment.log_asset_data("x" * 1000, name="notes.txt")
    experiment.end()
    (path,) = folder.glob("*.zip")
    return path


def test_any_archive_of_the_sdk_is_a_run(foreign_archive):
    record = read_archive(foreign_archive)
    assert (record.name, record.status, record.mode) == ("their run", "finished", "offline")
    assert record.params["lr"] == 0.1
    assert record.params["nested|depth"] == 3
    assert record.run["tags"] == ["theirs"]
    assert record.results["best"]["val_loss"] == pytest.approx(0.5)
    assert record.results["best"]["epoch"] == 2
    assert record.results["last"] == pytest.approx({"train_loss": 0.6, "val_loss": 0.7, "val_accuracy": 0.4})
    assert record.predictions() is None
    assert [p.step for p in record.points() if p.name == "val_loss"] == [1, 2, 3]


def test_a_run_and_its_archive_say_the_same(offline_run):
    run = read_record(Path(offline_run["run_dir"]))
    archived = read_archive(Path(offline_run["archive"]))
    assert dict(archived.params) == dict(run.params)
    assert archived.results["best"]["epoch"] == run.results["best"]["epoch"]
    for name in ("val_loss", "val_accuracy", "loss", "accuracy"):
        assert archived.results["best"][name] == run.results["best"][name]
        assert archived.results["last"][name] == run.results["last"][name]
    assert archived.results["test_accuracy"] == run.results["test_accuracy"]
    kept, stored_there = run.predictions(), archived.predictions()
    assert kept
    assert stored_there
    assert np.array_equal(stored_there.probabilities, kept.probabilities)
    key = lambda point: (point.name, point.step)  # noqa: E731
    journal = sorted(run.points(), key=key)
    stored = sorted((p for p in archived.points() if p.name != "process duration"), key=key)
    assert [(p.name, p.value, p.step, p.epoch) for p in stored] == [
        (p.name, p.value, p.step, p.epoch) for p in journal
    ]
    for part in ("fingerprint", "split_fingerprint", "test_fingerprint"):
        assert archived.run["dataset"][part] == run.run["dataset"][part]


def test_directories_and_archives_are_compared_in_one_table(foreign_archive, tmp_path, capsys):
    make_run(tmp_path / "runs", "ours")
    arguments = ["compare", "ours", str(foreign_archive), "--json", "--metric", "val_loss"]
    assert command_line.main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in told["runs"]] == ["ours", "their run"]
    assert [run["val_loss"] for run in told["runs"]] == [0.2, 0.5]
    assert told["runs"][1]["delta val_loss"] == pytest.approx(0.3)
    assert told["lower_is_better"]
    assert any("data is unknown" in warning for warning in told["warnings"])


def test_only_parameters_that_differ_are_shown_unless_all_are_asked_for(tmp_path):
    make_run(tmp_path, "a", layer_1_size=32)
    make_run(tmp_path, "b", layer_1_size=64)
    assert comparison(tmp_path).parameters == ["layer-1-size"]
    assert "validation" in comparison(tmp_path, all_params=True).parameters


def test_the_same_value_as_text_is_no_difference(tmp_path):
    make_run(tmp_path, "a", rate=0.1, flag=True, size=128)
    make_run(tmp_path, "b", rate="0.10", flag="True", size=128.0)
    assert comparison(tmp_path).parameters == []


def test_a_table_holds_best_and_last_epoch_and_deltas_against_the_baseline(tmp_path):
    make_run(tmp_path, "a", 0.90, losses=(0.5, 0.2, 0.3))
    make_run(tmp_path, "b", 0.95, losses=(0.5, 0.4, 0.1))
    told = as_json(compare_runs(read_runs(tmp_path)[0], baseline=Runs(tmp_path).read("b")))
    first = next(run for run in told["runs"] if run["name"] == "a")
    assert (first["best epoch"], first["best val_loss"], first["last val_loss"]) == (2, 0.2, 0.3)
    deltas = [first[f"delta {name}"] for name in ("test_accuracy", "best val_loss", "last val_loss")]
    assert deltas == pytest.approx([-0.05, 0.1, 0.2])


def test_runs_that_differ_in_their_seed_alone_are_a_group_with_mean_and_interval(tmp_path):
    five_seeds(tmp_path, 32, 0.9)
    (group,) = comparison(tmp_path).groups
    assert len(group.values) == 5
    assert group.mean == pytest.approx(0.9)
    assert group.half_width == pytest.approx(2.776445 * np.std(group.values, ddof=1) / 5**0.5)


@pytest.mark.parametrize(
    ("means", "spread", "metric", "verdict"),
    [
        ((0.90, 0.95), 0.001, None, "worse"),
        ((0.90, 0.901), 0.004, None, "within noise"),
        ((0.95, 0.90), 0.001, None, "better"),
        ((0.95, 0.90), 0.001, "test_loss", "better"),  # a lower loss is better
    ],
)
def test_two_groups_of_seeds_get_a_verdict(tmp_path, means, spread, metric, verdict):
    five_seeds(tmp_path, 32, means[0], spread)
    five_seeds(tmp_path, 64, means[1], spread)
    (found,) = comparison(tmp_path, metric=metric).verdicts
    assert (found.first, found.second) == ("layer-1-size=32 ×5", "layer-1-size=64 ×5")
    assert (found.test, found.verdict) == ("Welch", verdict)
    assert verdict in verdict_text(found)
    sign = -1 if metric == "test_loss" else 1
    assert found.difference == pytest.approx(sign * (means[0] - means[1]))
    assert found.low < found.difference < found.high


def test_a_run_that_diverged_joins_no_group(tmp_path):
    five_seeds(tmp_path, 32, 0.9)
    make_run(tmp_path, "diverged", float("nan"), layer_1_size=32, seed=9)
    compared = comparison(tmp_path)
    assert len(compared.groups[0].values) == 5
    assert any("no finite test_accuracy" in warning for warning in compared.warnings)
    assert json.dumps(as_json(compared), allow_nan=False)


def test_of_more_than_ten_groups_each_is_tested_against_the_baselines(tmp_path):
    for width in range(1, 13):
        five_seeds(tmp_path, width, 0.9 + width / 1000)
    verdicts = comparison(tmp_path).verdicts
    assert len(verdicts) == 11
    assert {found.second for found in verdicts} == {"layer-1-size=1 ×5"}


def test_holm_makes_many_pairs_stricter(tmp_path):
    for width, mean in ((16, 0.9000), (32, 0.9022), (64, 0.9011), (128, 0.9005)):
        five_seeds(tmp_path, width, mean, 0.001)
    several = {frozenset((v.first, v.second)): v.p or 0.0 for v in comparison(tmp_path).verdicts}
    assert len(several) == 6
    chosen = [r for r in read_runs(tmp_path)[0] if r.params["layer-1-size"] in (16, 32)]
    (alone,) = compare_runs(chosen).verdicts
    assert alone.p
    assert several[frozenset((alone.first, alone.second))] > alone.p


def test_too_few_seeds_are_said(tmp_path):
    five_seeds(tmp_path, 32, 0.9)
    make_run(tmp_path, "lonely", 0.95, layer_1_size=64)
    (found,) = comparison(tmp_path).verdicts
    assert found.verdict == "cannot say"
    assert "too few seeds" in found.reason
    assert found.p is None


def test_a_seed_counts_once(tmp_path):
    five_seeds(tmp_path, 32, 0.9)
    make_run(tmp_path, "again", 0.9, layer_1_size=32, seed=4)
    compared = comparison(tmp_path)
    assert len(compared.groups[0].values) == 5
    assert any("repeats another" in warning for warning in compared.warnings)


def test_seeds_that_all_give_the_same_value_are_not_tested(tmp_path):
    five_seeds(tmp_path, 32, 0.9, spread=0)
    five_seeds(tmp_path, 64, 0.9, spread=0)
    (found,) = comparison(tmp_path).verdicts
    assert found.verdict == "cannot say"
    assert "no spread" in found.reason


def test_another_code_is_another_group(tmp_path):
    five_seeds(tmp_path, 32, 0.9)
    five_seeds(tmp_path, 32, 0.95, run_code_fingerprint="9" * 64)
    compared = comparison(tmp_path)
    assert sorted(group.label for group in compared.groups) == [
        "code 99999999 ×5",
        "code cccccccc ×5",
    ]
    assert any("different code: " in warning for warning in compared.warnings)


def test_two_single_runs_are_compared_example_by_example(tmp_path):
    make_run(tmp_path, "a", predicted=with_mistakes(*range(5)), layer_1_size=1)
    make_run(tmp_path, "b", predicted=with_mistakes(*range(3, 30)), layer_1_size=2)
    (found,) = compare_runs([Runs(tmp_path).read(name) for name in "ab"]).verdicts
    assert (found.test, found.verdict) == ("McNemar", "better")
    assert found.difference == pytest.approx((25 - 3) / 200)
    assert "25 only the first got right, 3 the second" in found.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"run_dataset": {"test_fingerprint": "0" * 64}}, "test sets differ"),
        ({"predicted": None}, "has no stored predictions"),
        ({"run_dataset": {}}, "test sets differ"),
    ],
)
def test_single_runs_without_the_same_test_set_are_not_tested(tmp_path, changes, reason):
    make_run(tmp_path, "a", predicted=with_mistakes(1))
    make_run(tmp_path, "b", **{"predicted": with_mistakes(2), "layer_1_size": 2, **changes})
    (found,) = comparison(tmp_path).verdicts
    assert found.verdict == "cannot say"
    assert reason in found.reason


def test_damaged_predictions_are_said_and_end_nothing(tmp_path):
    path = make_run(tmp_path, "a", predicted=with_mistakes(1))
    make_run(tmp_path, "b", predicted=with_mistakes(2), layer_1_size=2)
    content = (path / "predictions.npz").read_bytes()
    (path / "predictions.npz").write_bytes(content[: len(content) // 2])
    (found,) = comparison(tmp_path).verdicts
    assert "cannot be read" in found.reason


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"run_dataset": {"fingerprint": "0" * 64}}, "saw different data: "),
        ({"run_dataset": {"split_fingerprint": "0" * 64}}, "different splits"),
        ({"run_dataset": {"test_fingerprint": "0" * 64}}, "different test sets"),
        ({"run_code_fingerprint": "0" * 64}, "different code"),
        ({"run_code_fingerprint": None}, "code is unknown"),
        ({"run_status": "interrupted"}, "b (e9d71f5e) did not finish (interrupted)"),
        (
            {"validation": "test", "early_stopping": True},
            "validation = test and early-stopping in b (e9d71f5e): the best epoch's weights were chosen",
        ),
    ],
)
def test_what_makes_runs_hard_to_compare_is_warned_of(tmp_path, changes, warning):
    make_run(tmp_path, "a")
    make_run(tmp_path, "b", **changes)
    assert any(warning in each for each in comparison(tmp_path).warnings)


def test_a_run_that_did_not_finish_shows_what_it_had_and_joins_no_group(tmp_path):
    five_seeds(tmp_path, 32, 0.9)
    make_run(tmp_path, "killed", layer_1_size=32, seed=9, run_status="interrupted", losses=(0.5, 0.4))
    compared = comparison(tmp_path)
    assert len(compared.groups[0].values) == 5
    killed = next(run for run in as_json(compared)["runs"] if run["name"] == "killed")
    assert (killed["best epoch"], killed["last val_loss"]) == (2, 0.4)


def test_a_run_that_is_named_twice_counts_once(tmp_path):
    make_run(tmp_path, "a")
    compared = compare_runs([Runs(tmp_path).read("a"), Runs(tmp_path).read("a")])
    assert len(compared.records) == 1
    assert any("named more than once" in warning for warning in compared.warnings)


def test_csv_holds_every_run_and_no_formula(tmp_path, capsys):
    make_run(tmp_path / "runs", "=1+1", note="@SUM(A1)")
    make_run(tmp_path / "runs", 'comma, "quote" 名', note="x")
    assert command_line.main(["compare", "--csv", "table.csv"]) == 0
    with Path("table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} == {"'=1+1", 'comma, "quote" 名'}
    assert {row["note"] for row in rows} == {"'@SUM(A1)", "x"}
    assert {row["test_accuracy"] for row in rows} == {"0.9"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "no run 'nosuch' in 'runs'"),
        (["x" * 5000], "no run 'xxx"),
        (["broken.zip"], "'broken.zip' is not a whole Comet archive"),
        (["--metric", "val_acuracy"], "metric 'val_acuracy' is in none of the runs: they have "),
        (["--baseline", "nosuch"], "no run 'nosuch' in 'runs'"),
        (["--runs", "elsewhere"], "there are no runs to compare"),
        (["--csv", "no/such/folder.csv"], "--csv 'no/such/folder.csv' cannot be written"),
        (["--online", "workspace"], "--online 'workspace' should be WORKSPACE/PROJECT"),
        (["--online", "w/p"], "to look for 'w/p' in Comet an API key is needed"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path, capsys, arguments, message):
    make_run(tmp_path / "runs", "a")
    Path("broken.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(SystemExit) as ended:
        command_line.main(["compare", *arguments])
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said


def test_a_truncated_archive_is_refused(foreign_archive, tmp_path):
    cut = tmp_path / "cut.zip"
    cut.write_bytes(foreign_archive.read_bytes()[:-200])
    with pytest.raises(ValueError, match="is not a whole Comet archive"):
        read_archive(cut)


def test_a_folder_with_a_damaged_run_is_compared_without_it(tmp_path, capsys):
    make_run(tmp_path / "runs", "a")
    damaged = make_run(tmp_path / "runs", "b")
    (damaged / "run.json").write_text("{")
    assert command_line.main(["compare"]) == 0
    assert "left out: " in capsys.readouterr().err


def test_an_archive_is_read_as_a_stream(foreign_archive, tmp_path):
    large = tmp_path / "large.zip"
    shutil.copy(foreign_archive, large)
    with zipfile.ZipFile(large, "a") as archive, archive.open("asset", "w") as file:
        for _ in range(60):
            file.write(bytes(1_000_000))
    tracemalloc.start()
    try:
        read_archive(large)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_comparing_run_directories_imports_neither_tensorflow_nor_the_sdk(tmp_path):
    five_seeds(tmp_path / "runs", 32, 0.9)
    five_seeds(tmp_path / "runs", 64, 0.95)
    script = (
        "import sys, experiment.__main__ as m; m.main(['compare']); "
        "print([n for n in ('tensorflow', 'keras', 'comet_ml', 'plotly', 'sklearn') if n in sys.modules])"
    )
    assert run_python("-c", script, cwd=tmp_path).stdout.splitlines()[-1] == "[]"


def test_names_cannot_move_the_terminals_cursor_or_hide_a_column(tmp_path):
    make_run(tmp_path, "\x1b[2J\nname", key="taken", status="own", note="\r")
    make_run(tmp_path, "other", key="mine", status="their")
    compared = comparison(tmp_path)
    assert all(line.isprintable() for line in as_text(compared).split("\n"))
    assert {run["status"] for run in as_json(compared)["runs"]} == {"finished"}
    assert {run["parameter status"] for run in as_json(compared)["runs"]} == {"own", "their"}


def test_few_runs_stand_side_by_side_and_many_below_each_other(tmp_path):
    for number in range(7):
        make_run(tmp_path, f"run {number}", layer_1_size=number)
    runs = read_runs(tmp_path)[0]
    assert as_text(compare_runs(runs[:3])).splitlines()[0].split()[0] == "run"
    assert len(as_text(compare_runs(runs[:3])).splitlines()[0].split()) == 4
    assert len(as_text(compare_runs(runs)).splitlines()[0].split()) > 8
