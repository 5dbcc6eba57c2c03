"""What came out of a run: its results, computed and logged; the saved model and what it takes to use it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiment.comet import session
from experiment.comet.logged_parameters import LoggedParameters
from experiment.comet.tracker import Tracker
from experiment.data.image_fit import FULL_DEPTH
from experiment.data.splits import Dataset
from experiment.evaluation import calibration, measures
from experiment.evaluation.measures import MONITORS
from experiment.run import drawings, figures, matrices
from experiment.run.predictions import log_predictions
from experiment.store import bundle as bundles
from experiment.store.directory import RunDirectory
from experiment.store.files import one_line, write_json
from experiment.system import keras_settings
from experiment.system.console import Console
from experiment.system.names import as_utf8, counted
from experiment.system.parser import command_on

if TYPE_CHECKING:
    from experiment.training.callbacks import MetricsLogger
    from experiment.training.pretrained import Stage
    from experiment.training.trainer import Evaluation, Training


def summarize(
    logger: MetricsLogger, evaluation: Evaluation, fit_seconds: float, monitor: str
) -> dict[str, Any]:
    """Return what ``results.json`` holds: last and best epoch, the saved model's test result, seconds.

    The best epoch is the one with the best ``monitor``, the lowest val_loss by default. ``epoch_s`` is the
    median from one epoch's begin to the next's, the first epoch left out where there are more.
    """
    history = logger.history
    best = measures.best_epoch(history[monitor], monitor)
    # A run that an older version began has some of them for its last epochs alone.
    metrics = [
        name
        for name in ("loss", "accuracy", *MONITORS)
        if len(history.get(name, ())) == len(history["val_loss"])
    ]
    seconds = np.diff(logger.clock) if len(logger.clock) > 1 else history["epoch_seconds"]
    return {
        "epochs": len(history["val_loss"]),
        "last": {name: history[name][-1] for name in (*metrics, "learning_rate")},
        "best": {"epoch": best + 1, **{name: history[name][best] for name in metrics}},
        "test_loss": evaluation.loss,
        "test_accuracy": evaluation.accuracy,
        # The first epoch includes warming up; a median passes over a pause of the machine.
        "epoch_s": float(np.median(seconds[1:] if len(seconds) > 1 else seconds)),
        "fit_s": fit_seconds,
    }


def calibrate(dataset: Dataset, held_out: Evaluation, evaluation: Evaluation) -> dict[str, Any]:
    """Fit a temperature on validation data; return it and what it does to the test set's error (ECE)."""
    temperature = calibration.fit_temperature(held_out.logits, dataset.validation.labels)
    after = calibration.calibrated(evaluation.logits, temperature)
    return {
        "temperature": temperature,
        "temperature_fitted_on": "test set" if dataset.validation is dataset.test else "validation set",
        "test_ece": calibration.expected_calibration_error(evaluation.probabilities, dataset.test.labels),
        "test_ece_calibrated": calibration.expected_calibration_error(after, dataset.test.labels),
    }


def measure(dataset: Dataset, evaluation: Evaluation, top_k: int) -> dict[str, float]:
    """Return balanced accuracy, macro-F1, top-k accuracy and AUC on the test set, where there are such."""
    labels, logits = dataset.test.labels, evaluation.logits
    ranks, classes = measures.ranks_of(logits, labels), len(dataset.class_names)
    found = measures.class_measures(labels, logits.argmax(-1), ranks, classes, top_k)
    auc = measures.area_under_curve(labels, evaluation.probabilities)
    found |= {} if auc is None else {"auc": auc}
    return {f"test_{name}": value for name, value in found.items()}


def log_compilation(
    tracker: Tracker, directory: RunDirectory, training: Training, notify: Callable[[str], None]
) -> None:
    """Log how epochs were compiled, and on how many threads: others give other last bits."""
    threads = keras_settings.threads()
    directory.update_run(compiled=training.compiled, threads=threads)
    tracker.log_others({"compiled": training.compiled, "threads": threads})
    if training.notice:
        notify(training.notice)


def log_results(
    tracker: Tracker,
    directory: RunDirectory,
    dataset: Dataset,
    logger: MetricsLogger,
    held_out: Evaluation,
    evaluation: Evaluation,
    results: Mapping[str, Any],
) -> None:
    """Log the result on the test set: metrics, predictions, scores, figures."""
    of_test = {name: value for name, value in results.items() if name.startswith("test_")}
    logger.log_test(results["epochs"], {name.removeprefix("test_"): value for name, value in of_test.items()})
    # Before figures are drawn: whatever happens to them, the result is on disk.
    write_json(directory.results_file, results)
    tracker.log_others(
        {"best_epoch": results["best"]["epoch"], "best_val_loss": results["best"]["val_loss"]}
        | {"best_val_accuracy": results["best"]["val_accuracy"], "epoch_s": results["epoch_s"]}
        | {name: results[name] for name in ("saved_epoch", "temperature", "temperature_fitted_on")}
    )
    test, names, probabilities = dataset.test, dataset.class_names, evaluation.probabilities
    log_predictions(tracker, directory, dataset, held_out, evaluation, results["temperature"])
    scores = figures.class_scores(test.labels, probabilities, names)
    figures.log_class_scores(tracker, scores)
    figures.log_confusion_matrix(tracker, test.labels, probabilities, names, test.images)
    matrices.write_confusion_matrix(directory.figures, test.labels, probabilities, names)
    worst = directory.figures / "mistakes.png"
    figures.log_mistakes(tracker, worst, test.images, test.labels, probabilities, names)


def draw_figures(
    tracker: Tracker,
    directory: RunDirectory,
    history: Mapping[str, Sequence[float]],
    notify: Callable[[str], None],
) -> None:
    """Draw what is kept as numbers; Comet draws matrix and weights by itself, so it gets the curves alone."""
    try:
        drawings.draw(directory.figures, drawings.numbers(directory.figures, history))
    except Exception as error:  # what is drawn can be drawn later
        again = command_on(directory.path, "experiment", "show", "--figures")
        notify(f"not all figures were drawn ({one_line(error)}); `{again}` draws them")
    if (curves := directory.figures / drawings.CURVES).exists():
        tracker.log_image(str(curves), name=curves.name)


def log_features(tracker: Tracker, directory: RunDirectory, stage: Stage, console: Console) -> None:
    """Log and say how long a backbone's features took and how many were kept, or why there are none."""
    if stage.notice:
        console.notice(stage.notice)
    if stage.facts:
        tracker.log_others(stage.facts)
        directory.update_run(features=dict(stage.facts))
        console.say(_features_text(stage.facts))


def _features_text(facts: Mapping[str, float]) -> str:
    count, kept, seconds = int(facts["features"]), int(facts["features_from_cache"]), facts["features_s"]
    pace = f", {(count - kept) / seconds:.0f} a second" if count > kept and seconds else ""
    shares = f"{kept:,} from the cache, {count - kept:,} computed{pace}"
    return f"features of {counted(count, 'picture')}: {shares}; {seconds:.1f} s"


def log_fine_tuning(tracker: Tracker, tuning: Mapping[str, Any], console: Console) -> None:
    """Log and say which epoch's weights fine-tuning left."""
    tracker.log_others(tuning)
    epoch = tuning["kept_epoch"]
    console.say(
        f"fine-tuning lowered val_loss: the weights after epoch {epoch} are kept"
        if tuning["fine_tuning_kept"]
        else f"fine-tuning did not lower val_loss: the weights after epoch {epoch}, before it, are kept"
    )


def log_weights(tracker: Tracker, directory: RunDirectory, model: Any, step: int) -> None:
    """Keep and log a histogram of each trained weight array at the last ``step``; count all values."""
    counts = {
        "trainable_parameters": sum(math.prod(weight.shape) for weight in model.trainable_weights),
        "total_parameters": model.count_params(),
    }
    tracker.log_others(counts)
    directory.update_run(**counts)
    weights = {weight.path: weight.numpy() for weight in model.trainable_weights}
    matrices.write_weight_histograms(directory.figures, weights)
    figures.log_weight_histograms(tracker, weights, step)


def write_bundle(
    directory: RunDirectory,
    saved: Path,
    dataset: Dataset,
    parameters: Mapping[str, Any],
    results: Mapping[str, Any],
    depth: int = FULL_DEPTH,
    backbone: Mapping[str, str] | None = None,
) -> Path:
    """Write beside the saved model what it takes to use it; return the file's path.

    ``depth`` is how many of 16 bits of grey the pictures' files use; ``backbone`` whose weights are inside.
    """
    metrics = ("test_loss", "test_accuracy", "test_ece", "test_ece_calibrated")
    return bundles.write_bundle(
        saved.parent,
        bundles.Bundle(
            key=directory.key,
            model_file=saved.name,
            class_names=[as_utf8(name) for name in dataset.class_names],
            image=bundles.image_facts(
                dataset.train.images.shape[1:], depth, parameters.get("resize", "squash")
            ),
            dataset={
                "name": as_utf8(dataset.name),
                "fingerprint": dataset.fingerprint,
                "split_fingerprint": dataset.split_fingerprint,
            },
            parameters=dict(parameters),
            metrics={name: results[name] for name in metrics},
            temperature=results["temperature"],
            temperature_fitted_on=results["temperature_fitted_on"],
            backbone=dict(backbone) if backbone else None,
        ),
    )


def log_model(
    tracker: Tracker, saved: Path, bundle: Path, register: str | None, notify: Callable[[str], None]
) -> None:
    """Upload the saved model and its bundle; ``register`` names the model in Comet's registry, if any."""
    name = saved.stem
    for path in (saved, bundle):
        tracker.log_model(name, str(path), file_name=path.name)
    if register and tracker.mode == session.ONLINE:
        tracker.register_model(name, registry_name=register)
    elif register:
        notify(
            f"the model is not registered as '{register}': that needs online mode; `register` does it later"
        )


def check_parameters(
    parameters: LoggedParameters,
    given: Collection[str],
    directory: RunDirectory,
    notify: Callable[[str], None],
) -> None:
    """Warn of parameters that were logged, or given, and acted on nothing."""
    logged = parameters.logged()
    # Some are logged when they are first read: only now is it known which ones.
    write_json(directory.params_file, logged)
    if unread := parameters.unread():
        notify(f"logged but never read, so without effect on this run: {', '.join(unread)}")
    if ignored := sorted(set(given) - set(logged)):
        notify(f"given but never read, so without effect on this run: {', '.join(ignored)}")
