"""The wrapper as a library: own models, own arrays, true values, failures."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from experiment import tracking
from experiment.archives import archived_messages
from experiment.lifecycle import RunFailed
from experiment.run import Options, train_and_evaluate
from experiment.rundir import read_json, read_metrics
from params.spec import Params

QUIET = Options(mode="disabled", quiet=True)


def small(**values) -> Params:
    return Params(epochs=1, layer_1_size=16, layer_2_size=8, **values)


def build_linear(get_parameter, image_shape, classes):  # noqa: ARG001
    import keras

    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(classes)])


def test_a_model_and_arrays_of_ones_own(digits):
    record = train_and_evaluate(small(), build_model=build_linear, dataset=digits, options=QUIET)
    assert record.status == "finished"
    assert record.params["dataset"] == "arrays"
    assert 0 < record.results["test_accuracy"] <= 1


def test_parameters_that_an_own_model_never_reads_are_not_logged(digits):
    record = train_and_evaluate(small(), build_model=build_linear, dataset=digits, options=QUIET)
    assert not {"model", "layer-1-size", "layer-2-size", "dropout"} & set(record.params)


def test_every_logged_parameter_is_read(digits, capsys):
    params = small(validation=0.2, early_stopping=True)
    train_and_evaluate(params, dataset=digits, options=QUIET)
    assert "never read" not in capsys.readouterr().err


def test_a_parameter_that_nothing_reads_is_a_notice(digits, capsys, monkeypatch):
    monkeypatch.setattr("experiment.models.MODELS", {"mlp": build_linear})
    train_and_evaluate(small(), dataset=digits, options=QUIET)
    assert "without effect on this run: dropout, layer-1-size, layer-2-size" in capsys.readouterr().err


def test_reading_what_was_not_logged_fails_the_run(digits):
    def build(get_parameter, image_shape, classes):
        return build_linear(get_parameter("filters"), image_shape, classes)

    with pytest.raises(RunFailed) as caught:
        train_and_evaluate(small(), build_model=build, dataset=digits, options=QUIET)
    assert "parameter 'filters' is read but not logged" in str(caught.value.__cause__)


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


def test_the_same_seed_gives_the_same_run_and_another_seed_another(digits):
    results = [
        train_and_evaluate(small(seed=seed), dataset=digits, options=QUIET).results for seed in (1, 1, 2)
    ]
    assert results[0]["test_loss"] == results[1]["test_loss"] != results[2]["test_loss"]


@pytest.mark.parametrize("optimizer", ["adamax", "adam", "rmsprop", "sgd"])
def test_the_decay_schedule_acts_whichever_optimizer_is_chosen(digits, optimizer):
    params = small(optimizer=optimizer, initial_lr=0.1, decay_steps=4, decay_rate=0.5)
    record = train_and_evaluate(params, dataset=digits, options=QUIET)
    assert record.results["last"]["learning_rate"] == pytest.approx(0.05)


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
    record = train_and_evaluate(params, dataset=digits, options=QUIET)
    assert record.results["epochs"] < 40
    assert record.results["best"]["epoch"] == record.results["epochs"] - 2


def test_the_metrics_journal_holds_each_point_once(digits):
    record = train_and_evaluate(small(), dataset=digits, options=QUIET)
    points = [(point.name, point.step) for point in read_metrics(Path(record.source) / "metrics.jsonl")]
    assert len(points) == len(set(points))
    assert {("loss", 4), ("val_accuracy", 4), ("test_accuracy", 4)} <= set(points)


def test_colour_images_of_any_size_train_a_cnn():
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = generator.integers(0, 128, (40, 9, 7, 3), np.uint8) + 127 * labels[:, None, None, None].astype(
        "u1"
    )
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:10], "y_test": labels[:10]}
    record = train_and_evaluate(
        Params(model="cnn", filters=2, epochs=1, batch_size=8), dataset=arrays, options=QUIET
    )
    assert record.status == "finished"


def test_a_tracker_that_fails_does_not_end_the_run(digits, capsys, monkeypatch):
    def refuse(*arguments, **named):
        raise RuntimeError("no more metrics")

    monkeypatch.setattr("comet_ml.OfflineExperiment.log_metric", refuse)
    record = train_and_evaluate(small(), dataset=digits, options=Options(mode="offline", quiet=True))
    assert record.status == "finished"
    assert "did not take log_metric: RuntimeError: no more metrics" in capsys.readouterr().err


def test_what_a_failing_tracker_lost_is_in_the_archive_all_the_same(digits, monkeypatch):
    monkeypatch.setattr("comet_ml.OfflineExperiment.log_metric", lambda *_, **__: None)
    record = train_and_evaluate(small(), dataset=digits, options=Options(mode="offline", quiet=True))
    archive = Path(record.source) / "comet" / f"{record.key}.zip"
    metrics = [m["payload"] for m in archived_messages(archive) if m["type"] == "metric_msg"]
    names = {(payload.get("context"), payload["metric"]["metricName"]) for payload in metrics}
    assert {(None, "val_loss"), (None, "learning_rate"), ("test", "accuracy")} <= names


def test_no_thread_of_the_tracker_outlives_a_run(digits):
    before = set(threading.enumerate())
    train_and_evaluate(small(), dataset=digits, options=Options(mode="offline", quiet=True))
    assert not [t for t in set(threading.enumerate()) - before if "comet" in t.name.lower()]


def test_the_private_names_that_shorten_the_end_still_exist(tmp_path):
    where = tracking.destination("name", [], None, None)
    tracker = tracking.start_experiment("offline", tracking.new_key(), where, tmp_path, print)
    assert tracker.experiment.streamer.queue_timeout == 0.05
    assert tracker.experiment.streamer._wait_for_finish_sleep_interval == 0.05
    tracker.end()
