"""The wrapper as a library: own models, own arrays, true values, failures."""

import dataclasses
import json
import math
import re
import shlex
import threading
import types
from pathlib import Path

import numpy as np
import pytest

from experiment import __main__ as command_line
from experiment.comet import session
from experiment.commands import train
from experiment.run import drawings
from experiment.run import summary as record
from experiment.run.lifecycle import RunFailed
from experiment.run.story import Options, train_and_evaluate
from experiment.store.archive_format import archived_messages, check_archive
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json
from experiment.store.journal import read_metrics
from experiment.training.checkpoints import read_checkpoint
from params.spec import Params

QUIET = Options(mode="disabled", quiet=True)


def small(**values) -> Params:
    return Params(epochs=1, layer_1_size=16, layer_2_size=8, **values)


def build_linear(get_parameter, image_shape, classes):  # noqa: ARG001
    import keras

    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(classes)])


def test_a_model_and_arrays_of_ones_own(digits):
    found = train_and_evaluate(small(), build_model=build_linear, dataset=digits, options=QUIET)
    assert found.status == "finished"
    assert found.params["dataset"] == "arrays"
    assert 0 < found.results["test_accuracy"] <= 1


def test_parameters_that_an_own_model_never_reads_are_not_logged(digits):
    told: list[str] = []
    options = dataclasses.replace(QUIET, on_notice=told.append)
    params = small(filters=8, patience=2)
    found = train_and_evaluate(params, build_model=build_linear, dataset=digits, options=options)
    assert not {"model", "layer-1-size", "layer-2-size", "dropout"} & set(found.params)
    assert told == [
        "filters = 8 has no effect: it applies with model cnn",
        "patience = 2 has no effect: it applies with early-stopping",
        "given but never read, so without effect on this run: layer-1-size, layer-2-size",
    ]


def test_figures_that_cannot_be_drawn_end_no_run_and_a_notice_says_how_to_draw_them(
    digits, tmp_path, monkeypatch
):
    def fail(*_):
        raise RuntimeError("no such font")

    told: list[str] = []
    options = dataclasses.replace(QUIET, runs=tmp_path / "runs", on_notice=told.append)
    with monkeypatch.context() as patch:
        patch.setitem(drawings._DRAW, drawings.CONFUSION, fail)
        found = train_and_evaluate(small(), dataset=digits, options=options)
    assert found.status == "finished"
    assert set(found.figures) == {"samples", "mistakes", "curves"}
    (notice,) = told
    assert notice.startswith("not all figures were drawn (no such font); `")
    assert command_line.main(shlex.split(notice.split("`")[1])[3:]) == 0
    assert set(found.figures) == {"samples", "mistakes", "curves", "confusion-matrix", "weights"}


def test_without_figures_their_numbers_are_kept(digits, tmp_path):
    options = dataclasses.replace(QUIET, runs=tmp_path / "runs", figures=False)
    found = train_and_evaluate(small(), dataset=digits, options=options)
    assert set(found.figures) == {"samples", "mistakes"}
    assert {"curves.png", "confusion-matrix.png", "weights.png"} == set(
        drawings.numbers(Path(found.source) / "figures", found.history)
    )


def test_pictures_of_what_a_run_was_before_do_not_outlive_it(digits, tmp_path):
    options = dataclasses.replace(QUIET, runs=tmp_path / "runs")
    found = train_and_evaluate(small(), dataset=digits, options=options)
    assert {"curves", "confusion-matrix", "weights"} < set(found.figures)
    (Path(found.source) / "figures" / ".tmp-cut-short.png").touch()
    again = dataclasses.replace(options, figures=False)
    longer = small().model_copy(update={"epochs": 2})
    train_and_evaluate(longer, dataset=digits, options=again, resume=RunDirectory(Path(found.source)))
    pictures = {path.name for path in Path(found.source, "figures").iterdir() if path.suffix == ".png"}
    assert pictures == {"samples.png", "mistakes.png"}


def test_every_logged_parameter_is_read(digits, capsys):
    params = small(validation=0.2, early_stopping=True)
    train_and_evaluate(params, dataset=digits, options=QUIET)
    assert "never read" not in capsys.readouterr().err


def test_a_parameter_that_nothing_reads_is_a_notice(digits, capsys, monkeypatch):
    monkeypatch.setattr("experiment.training.models.MODELS", {"mlp": build_linear})
    train_and_evaluate(small(), dataset=digits, options=QUIET)
    assert "augment-shift, augment-zoom, dropout, layer-1-size, layer-2-size" in capsys.readouterr().err


def test_reading_what_was_not_logged_fails_the_run(digits):
    def build(get_parameter, image_shape, classes):
        return build_linear(get_parameter("filters"), image_shape, classes)

    with pytest.raises(RunFailed) as caught:
        train_and_evaluate(small(), build_model=build, dataset=digits, options=QUIET)
    assert "parameter 'filters' is read but not logged" in str(caught.value.__cause__)
    said = str(caught.value)
    assert re.match(r"run [0-9a-f]{12} failed: KeyError: .*filters", said)
    assert said.endswith("no epoch was finished, so there is nothing to go on from")
    assert "\n" not in said


def test_a_run_of_ones_own_model_does_not_go_on_with_a_stock_one(digits_file, capsys):
    def build(get_parameter, image_shape, classes):
        raise RuntimeError

    with pytest.raises(RunFailed):
        train_and_evaluate(small(dataset=str(digits_file)), build_model=build, options=QUIET)
    (run,) = Path("runs").iterdir()
    with pytest.raises(SystemExit) as ended:
        train.main(["--resume", run.name])
    assert ended.value.code == 2
    assert "cannot go on from here: a program gave it its own model" in capsys.readouterr().err


def test_a_failed_run_is_recorded_with_its_traceback(digits):
    def build(get_parameter, image_shape, classes):
        raise RuntimeError("out of 内存")

    options = Options(mode="offline", quiet=True)
    with pytest.raises(RunFailed):
        train_and_evaluate(small(), build_model=build, dataset=digits, options=options)
    (run,) = Path("runs").iterdir()
    stored = read_json(run / "run.json")
    assert stored["status"] == "failed"
    assert "RuntimeError: out of 内存" in stored["error"]
    messages = list(archived_messages(run / "comet" / f"{run.name}.zip"))
    others = {m["payload"]["key"]: m["payload"]["value"] for m in messages if m["type"] == "log_other"}
    assert others["run_status"] == "failed"
    assert "traceback.txt" in json.dumps(messages)


def build_diverging(get_parameter, image_shape, classes):  # noqa: ARG001
    import keras

    scaled = [keras.Input(image_shape), keras.layers.Rescaling(3e38), keras.layers.Flatten()]
    return keras.Sequential([*scaled, keras.layers.Dense(classes)])


@pytest.mark.parametrize("compiled", ["auto", "off"])
def test_a_loss_that_is_not_finite_is_logged_and_stops_the_run_at_its_step(digits, compiled):
    params = Params(epochs=5, batch_size=20, compile=compiled)
    with pytest.raises(RunFailed) as caught:
        train_and_evaluate(params, build_model=build_diverging, dataset=digits, options=QUIET)
    (run,) = Path("runs").iterdir()
    losses = [point for point in read_metrics(run / "metrics.jsonl") if point.name == "batch_loss"]
    first = next(point for point in losses if not math.isfinite(point.value))
    said = re.search(r"batch_loss is (nan|inf) at step (\d+), in epoch 1", str(caught.value.__cause__))
    assert said
    assert said.groups() == (str(first.value), str(first.step))
    stored = read_json(run / "run.json")
    assert stored["status"] == "failed"
    assert "on-nan = 'continue' would train on" in stored["error"]


def test_a_run_told_to_continue_ends_with_the_losses_as_they_were(digits):
    options = Options(mode="offline", quiet=True)
    params = Params(epochs=2, on_nan="continue")
    found = train_and_evaluate(params, build_model=build_diverging, dataset=digits, options=options)
    assert found.status == "finished"
    summary = record.summary(found)
    assert summary["test_loss"] in ("NaN", "Infinity")
    assert "loss nan" in record.closing_lines(summary, "model.h5")
    json.dumps(summary, allow_nan=False)
    messages = archived_messages(Path(found.source) / "comet" / f"{found.key}.zip")
    metrics = [m["payload"]["metric"] for m in messages if m["type"] == "metric_msg"]
    assert "NaN" in [metric["metricValue"] for metric in metrics if metric["metricName"] == "val_loss"]


def test_a_disk_that_is_nearly_full_ends_the_run_in_order_after_its_last_checkpoint(digits, monkeypatch):
    free = iter([10**9, 10**9, 10**9])
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=next(free, 10**6)))
    params = Params(epochs=5, layer_1_size=16, layer_2_size=8)
    with pytest.raises(RunFailed) as caught:
        train_and_evaluate(params, dataset=digits, options=Options(mode="offline", quiet=True))
    assert "no space left on the disk: 1 MB are free, 48 MB are needed" in str(caught.value.__cause__)
    (run,) = Path("runs").iterdir()
    assert "48 MB are needed" in str(caught.value)
    assert "go on from its last checkpoint by train_and_evaluate(…, resume=" in str(caught.value)
    directory = RunDirectory(run)
    assert read_json(directory.run_file)["status"] == "failed"
    assert check_archive(directory.archive) == []
    stored = read_checkpoint(directory.checkpoints)
    assert stored
    assert stored.epochs == 2


def test_a_disk_that_is_full_refuses_the_run_before_anything_is_written(digits, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=10**6))
    with pytest.raises(ValueError, match="runs = '.*' cannot be written to: no space left on the disk"):
        train_and_evaluate(small(), dataset=digits, options=QUIET)
    assert not Path("runs").exists()


def test_the_same_seed_gives_the_same_run_and_another_seed_another(digits):
    results = [
        train_and_evaluate(small(seed=seed), dataset=digits, options=QUIET).results for seed in (1, 1, 2)
    ]
    assert results[0]["test_loss"] == results[1]["test_loss"] != results[2]["test_loss"]


@pytest.mark.parametrize("optimizer", ["adamax", "sgd"])
def test_the_decay_schedule_acts_whichever_optimizer_is_chosen(digits, optimizer):
    params = small(optimizer=optimizer, initial_lr=0.1, decay_steps=4, decay_rate=0.5)
    found = train_and_evaluate(params, dataset=digits, options=QUIET)
    assert found.results["last"]["learning_rate"] == pytest.approx(0.05)


def test_early_stopping_keeps_the_best_weights(digits):
    params = Params(
        epochs=40,
        initial_lr=0.5,
        optimizer="sgd",
        dropout=0.0,
        early_stopping=True,
        patience=2,
        validation=0.5,
    )
    found = train_and_evaluate(params, dataset=digits, options=QUIET)
    assert found.results["epochs"] < 40
    assert found.results["best"]["epoch"] == found.results["epochs"] - 2


def test_keep_best_saves_the_epoch_that_the_monitor_chose_without_stopping(digits):
    params = Params(
        epochs=6,
        layer_1_size=16,
        layer_2_size=8,
        dropout=0.0,
        optimizer="sgd",
        initial_lr=2.0,
        monitor="val_macro_f1",
        keep="best",
        top_k=3,
    )
    found = train_and_evaluate(params, dataset=digits, options=QUIET)
    results, best = found.results, found.results["best"]
    assert results["epochs"] == 6
    assert results["saved_epoch"] == best["epoch"]
    # The saved model was evaluated on what each epoch was validated on: the test set.
    for name in ("macro_f1", "balanced_accuracy", "accuracy", "top_k_accuracy"):
        assert results[f"test_{name}"] == pytest.approx(best[f"val_{name}"], abs=1e-6)
    points = read_metrics(Path(found.source) / "metrics.jsonl")
    values_of_epochs = [point.value for point in points if point.name == "val_macro_f1"]
    assert best["val_macro_f1"] == max(values_of_epochs) > min(values_of_epochs)
    assert 0.5 < results["test_auc"] <= 1


def test_a_monitor_that_the_data_does_not_have_is_refused(digits):
    two = {name: array[digits["y" + name[1:]] < 2] for name, array in digits.items()}
    with pytest.raises(ValueError, match="top-k of less than the number of classes, 2"):
        train_and_evaluate(small(monitor="val_top_k_accuracy"), dataset=two, options=QUIET)
    with pytest.raises(ValueError, match="top-k = 2: should be less than the number of classes, 2"):
        train_and_evaluate(small(top_k=2), dataset=two, options=QUIET)


def test_the_metrics_journal_holds_each_point_once(digits):
    found = train_and_evaluate(small(), dataset=digits, options=QUIET)
    points = [(point.name, point.step) for point in read_metrics(Path(found.source) / "metrics.jsonl")]
    assert len(points) == len(set(points))
    assert {("loss", 4), ("val_accuracy", 4), ("test_accuracy", 4)} <= set(points)


def test_colour_images_of_any_size_train_a_cnn():
    generator = np.random.default_rng(0)
    labels = np.arange(50) % 2
    images = generator.integers(0, 128, (50, 9, 7, 3), np.uint8) + 127 * labels[:, None, None, None].astype(
        "u1"
    )
    arrays = {"x_train": images[:40], "y_train": labels[:40], "x_test": images[40:], "y_test": labels[40:]}
    found = train_and_evaluate(
        Params(model="cnn", filters=2, epochs=1, batch_size=8), dataset=arrays, options=QUIET
    )
    assert found.status == "finished"


def test_a_tracker_that_fails_does_not_end_the_run(digits, capsys, monkeypatch):
    def refuse(*arguments, **named):
        raise RuntimeError("no more metrics")

    monkeypatch.setattr("comet_ml.OfflineExperiment.log_metric", refuse)
    found = train_and_evaluate(small(), dataset=digits, options=Options(mode="offline", quiet=True))
    assert found.status == "finished"
    assert "did not take log_metric: RuntimeError: no more metrics" in capsys.readouterr().err


def test_what_a_failing_tracker_lost_is_in_the_archive_all_the_same(digits, monkeypatch):
    monkeypatch.setattr("comet_ml.OfflineExperiment.log_metric", lambda *_, **__: None)
    found = train_and_evaluate(small(), dataset=digits, options=Options(mode="offline", quiet=True))
    archive = Path(found.source) / "comet" / f"{found.key}.zip"
    metrics = [m["payload"] for m in archived_messages(archive) if m["type"] == "metric_msg"]
    names = {(payload.get("context"), payload["metric"]["metricName"]) for payload in metrics}
    assert {(None, "val_loss"), (None, "learning_rate"), ("test", "accuracy")} <= names


def test_no_thread_of_the_tracker_outlives_a_run(digits):
    before = set(threading.enumerate())
    train_and_evaluate(small(), dataset=digits, options=Options(mode="offline", quiet=True))
    assert not [t for t in set(threading.enumerate()) - before if "comet" in t.name.lower()]


def test_the_private_names_that_shorten_the_end_still_exist(tmp_path):
    where = session.destination("name", [], None, None)
    tracker = session.start_experiment("offline", session.new_key(), where, tmp_path, print)
    assert tracker.experiment.streamer.queue_timeout == 0.05
    assert tracker.experiment.streamer._wait_for_finish_sleep_interval == 0.05
    tracker.end()
