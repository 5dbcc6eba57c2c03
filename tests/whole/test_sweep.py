"""Sweeps through the command line: real Ray, real workers, real runs of a few real digits."""

import dataclasses
import json
import statistics
from pathlib import Path

import pytest

from experiment.data.named_sets import load_arrays
from experiment.store.archive_format import archived_messages, check_archive
from experiment.store.directory_reader import read_record
from experiment.store.files import read_json
from experiment.store.find import list_runs
from experiment.store.journal import read_metrics
from experiment.sweep.file import read_sweep
from experiment.sweep.plan import Plan
from experiment.sweep.points import points
from params.spec import Params
from tests.support.pictures import write_digits
from tests.support.processes import run_train
from tests.support.sweeps import runs_of, write

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def swept(digits_file, tmp_path_factory):
    """A sweep under two seeds: a good point, one that diverges, and one whose model cannot be saved."""
    folder = tmp_path_factory.mktemp("swept")
    wide = {"layer-1-size": [1024], "layer-2-size": [1024]}  # narrow networks survive any learning rate
    parameters = {"initial-lr": [0.01, 0.02, 100.0], "optimizer": ["sgd"], **wide}
    spec = {"metric": "val_accuracy", "objective": "maximize", "retryLimit": 1}
    file = write(folder, parameters, spec=spec, name="mixed.json")
    block_saving(file, folder / "runs", digits_file)
    # One worker, as each takes longer to start than a trial takes; test_sweep_kills.py has several.
    given = ("--dataset", digits_file, "--epochs", "3", "--compile", "off", "--workers", "1")
    command = ("--sweep", file, *given, "--seeds", "2", "--json")
    done = run_train(*command, "--mode", "offline", cwd=folder)
    assert done.stdout, done.stderr
    return folder, done, json.loads(done.stdout.splitlines()[-1]), (*command, "--mode", "offline")


def block_saving(file, runs, digits_file) -> None:
    """Put a folder where the model of the second point's first trial would be saved, at either attempt."""
    base = Params(epochs=3, compile="off")
    sweep = read_sweep(str(file), base)
    plan = Plan(sweep, base, load_arrays(str(digits_file)).fingerprint, runs, 2, None)
    plan.points = points(sweep, base)
    with plan.exclusive():
        plan.save()
    for attempt in (1, 2):
        key = dataclasses.replace(plan.trials(2)[0], attempt=attempt).key
        (runs / key / "model" / base.model_file).mkdir(parents=True)


def test_every_trial_is_a_whole_run_of_its_own(swept):
    folder, _, summary, _ = swept
    assert (summary["points"], summary["trials"], summary["unfinished"]) == (3, 6, 0)
    finished = [run for run in runs_of(folder) if run["status"] == "finished"]
    assert len({run["key"] for run in finished}) == len(finished)
    for run in finished:
        directory = folder / "runs" / run["key"]
        assert check_archive(directory / "comet" / f"{run['key']}.zip") == []
        assert (directory / "predictions.npz").exists()
        assert "curves" not in read_record(directory).figures  # `show --figures` draws them when asked
        assert {"sweep", summary["sweep"]} <= set(run["tags"])
        assert run["threads"] == 1
        assert run["command"][1] == "--sweep"
        printed = (directory / "console.log").read_text()  # of this trial alone, though workers run several
        assert printed.count("\nepoch 1/") == printed.count("test accuracy") == 1
        assert run["key"] in printed.splitlines()[0]
    sampled = [{point.name for point in read_metrics(path)} for path in folder.glob("runs/*/system.jsonl")]
    assert len(sampled) > len({run["process"]["pid"] for run in finished})  # not one a worker: one a trial
    assert all("sys.compute.utilized" in names for names in sampled)


def test_workers_take_one_run_after_the_other(swept):
    processes = {run["process"]["pid"] for run in runs_of(swept[0]) if run["status"] == "finished"}
    assert len(processes) < 4


def test_the_best_point_is_first_and_has_a_mean_over_seeds(swept):
    best = swept[2]["best"]
    assert best["point"]["initial-lr"] == 0.01
    assert best["score"] == pytest.approx(sum(best["scores"]) / 2)
    assert best["deviation"] == pytest.approx(statistics.stdev(best["scores"]))
    assert len(best["keys"]) == 2
    assert "--initial-lr" not in swept[2]["rerun"]  # the default


def test_a_trial_that_diverges_is_a_result_and_not_tried_again(swept):
    folder, _, summary, _ = swept
    assert summary["diverged"] == 2
    trials = [run["sweep"] for run in runs_of(folder) if run["sweep"]["point"]["initial-lr"] == 100.0]
    assert [trial["attempt"] for trial in trials] == [1, 1]


def test_a_trial_that_fails_is_tried_again_and_then_recorded_with_its_error(swept):
    folder, done, summary, _ = swept
    failed = [run for run in runs_of(folder) if run["sweep"]["point"]["initial-lr"] == 0.02]
    states = sorted((run["sweep"]["seed"], run["sweep"]["attempt"], run["status"]) for run in failed)
    assert states == [(0, 1, "failed"), (0, 2, "failed"), (1, 1, "finished")]
    assert summary["failed"] == 1
    assert any("Is a directory" in error for error in summary["errors"])
    assert done.stderr.count("is tried again") == 1
    assert done.returncode == 0


def test_a_page_compares_the_runs_that_have_a_score(swept):
    page = Path(swept[2]["comparison"]).read_text(encoding="utf-8")
    assert all(key in page for key in swept[2]["best"]["keys"])
    diverged = [row for row in swept[2]["ranking"] if row["status"] == "diverged"]
    assert not any(key in page for row in diverged for key in row["keys"])


def test_comets_panels_find_what_they_read(swept):
    folder, _, summary, _ = swept
    key = summary["best"]["keys"][0]
    messages = list(archived_messages(folder / "runs" / key / "comet" / f"{key}.zip"))
    others = {m["payload"]["key"]: m["payload"]["value"] for m in messages if m["type"] == "log_other"}
    assert others["optimizer_id"] == summary["sweep"]
    assert (others["optimizer_metric"], others["optimizer_objective"]) == ("val_accuracy", "maximum")
    assert float(others["optimizer_metric_value"]) == summary["best"]["scores"][0]
    assert json.loads(others["optimizer_parameters"]) == summary["best"]["point"]
    points = [m["payload"]["metric"] for m in messages if m["type"] == "metric_msg"]
    assert len([p for p in points if p["metricName"] == "val_accuracy"]) == 3


def test_the_same_command_runs_nothing_twice(swept):
    folder, _, summary, command = swept
    before = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/run.json")}
    again = run_train(*command, cwd=folder)
    assert json.loads(again.stdout) == summary
    assert {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/run.json")} == before


def test_the_same_sweep_in_another_folder_has_other_keys(swept, tmp_path):
    sweep = read_sweep(str(swept[0] / "mixed.json"), Params())
    keys = []
    for runs in (tmp_path / "a", tmp_path / "b"):
        plan = Plan(sweep, Params(), "0", runs, 1, None)
        plan.points = points(sweep, Params())
        keys.append({trial.key for trial in plan.everyone()})
    assert len(keys[0] | keys[1]) == 6


@pytest.fixture(scope="module")
def searched(digits, tmp_path_factory):
    """A search by Bayes, under ASHA, over a folder of pictures."""
    folder = tmp_path_factory.mktemp("searched")
    pictures = write_digits(folder / "pictures", digits, classes=3)
    parameters = {
        "initial-lr": {"type": "float", "scalingType": "loguniform", "min": 1e-5, "max": 0.02},
        "layer-1-size": {"type": "integer", "min": 8, "max": 16},
        "image-size": [8, 16],
    }
    spec = {"metric": "val_accuracy", "objective": "maximize", "maxCombo": 4, "seed": 1}
    file = write(folder, parameters, algorithm="bayes", spec=spec)
    given = ("--dataset", pictures, "--epochs", "12", "--compile", "off", "--workers", "1")
    command = ("--sweep", file, *given, "--scheduler", "asha")
    done = run_train(*command, "--mode", "disabled", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_bayes_finds_points_within_bounds_and_asha_ends_hopeless_runs_in_order(searched):
    folder, summary = searched
    assert (summary["points"], summary["finished"]) == (4, 4)
    for row in summary["ranking"]:
        assert 1e-5 <= row["point"]["initial-lr"] <= 0.02
        assert 8 <= row["point"]["layer-1-size"] <= 16
    assert summary["best"]["epochs"] == 12
    assert min(row["epochs"] for row in summary["ranking"]) < 12
    assert all(run["status"] == "finished" for run in runs_of(folder))


def test_a_sweep_over_a_folder_of_pictures_varies_their_size(searched):
    sizes = set()
    for path in list_runs(searched[0] / "runs"):
        params = read_json(path / "params.json")
        assert params["dataset"] == "pictures/"
        assert (path / "pictures.json").exists()
        sizes.add(params["image-size"])
    assert sizes == {8, 16}
