"""What is logged of a run beside its epochs: what it was made of, what came out, the saved model."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiment.comet import tracker as tracking
from experiment.data.arrays import Dataset
from experiment.data.image import FULL_DEPTH
from experiment.evaluation import calibration
from experiment.rerun import verdict
from experiment.run import figures
from experiment.store import bundle as bundles
from experiment.store.directory import RunDirectory, RunRecord, atomic_path, write_json
from experiment.sweep.trial import Trial
from experiment.system import provenance
from experiment.system.console import Console
from experiment.system.names import as_utf8
from experiment.system.parser import command_on
from params.load import write_params
from params.spec import Params

if TYPE_CHECKING:
    from experiment.training.callbacks import MetricsLogger
    from experiment.training.pretrained import Stage
    from experiment.training.trainer import Evaluation, Training

STARTED = time.perf_counter()
_restarted: float | None = None


def data_facts(dataset: Dataset, source: str) -> dict[str, Any]:
    """Describe a split set for ``run.json``: where it came from, sizes, classes and SHA-256 fingerprints."""
    test = hashlib.sha256()
    for start in range(0, len(dataset.test), 1000):  # images may be more than fit in memory
        test.update(np.ascontiguousarray(dataset.test.images[start : start + 1000]).data)
    test.update(dataset.test.labels.tobytes())
    path = Path(os.path.expanduser(source))
    return {
        "name": dataset.name,
        "source": str(path.absolute()) if os.path.exists(path) else source,
        "fingerprint": dataset.fingerprint,
        "split_fingerprint": dataset.split_fingerprint,
        "test_fingerprint": test.hexdigest(),
        "classes": list(dataset.class_names),
        "image_shape": list(dataset.train.images.shape[1:]),
        "train": len(dataset.train),
        "validation": len(dataset.validation),
        "test": len(dataset.test),
    }


def log_inputs(
    tracker: tracking.Tracker,
    directory: RunDirectory,
    dataset: Dataset,
    params: Params,
    facts: Mapping[str, Any],
) -> None:
    """Log what the run is made of: data, code, packages, machine, parameters as a file, samples."""
    described = facts["dataset"]
    tracker.log_others(
        {
            "dataset": described["name"],
            "dataset_fingerprint": described["fingerprint"],
            "split_fingerprint": described["split_fingerprint"],
            "test_fingerprint": described["test_fingerprint"],
            "train_examples": described["train"],
            "validation_examples": described["validation"],
            "test_examples": described["test"],
            "code_fingerprint": facts["code_fingerprint"],
            "python": facts["python"],
            **{f"backbone_{name}": value for name, value in facts.get("backbone", {}).items()},
            "command": " ".join(facts["command"])[:990],
            **{f"git_{name}": value for name, value in facts["git"].items() if value != ""},
            **{f"machine_{name}": value for name, value in facts["machine"].items()},
        }
    )
    tracker.set_pip_packages()
    if facts["git"].get("dirty"):
        if patch := provenance.git_patch((tracking.api_key(),)):
            tracker.log_asset_data(patch, name="git.patch", step=0)
        if provenance.git_hangs():
            tracker.notify(provenance.NO_ANSWER)
    for path in provenance.code_files():
        name = path.relative_to(provenance.ROOT).as_posix()
        if path.suffix == ".py":
            tracker.log_code(file_name=str(path), code_name=name)
    write_params(params, directory.path / "params.toml")
    tracker.log_asset(str(directory.path / "params.toml"), file_name="params.toml", step=0)
    path = directory.figures / "samples.png"
    figures.log_samples(tracker, path, dataset.train.images, dataset.train.labels, dataset.class_names)


def log_pictures(tracker: tracking.Tracker, directory: RunDirectory, report: Mapping[str, Any]) -> None:
    """Keep what a folder of pictures held and which files were left out, but not where it lay."""
    path = directory.path / "pictures.json"
    write_json(path, {name: value for name, value in report.items() if name != "folder"})
    tracker.log_asset(str(path), file_name=path.name, step=0)


def summarize(logger: MetricsLogger, evaluation: Evaluation, fit_seconds: float) -> dict[str, Any]:
    """Return what ``results.json`` holds: last and best epoch, the saved model's test result, seconds.

    The best epoch is the one with the lowest val_loss. ``epoch_s`` is the median from one epoch's begin to
    the next's, the first epoch left out where there are more.
    """
    history = logger.history
    losses = np.asarray(history["val_loss"], dtype=np.float64)
    best = int(np.nanargmin(losses)) if np.isfinite(losses).any() else len(losses) - 1
    metrics = ("loss", "accuracy", "val_loss", "val_accuracy")
    seconds = np.diff(logger.clock) if len(logger.clock) > 1 else history["epoch_seconds"]
    return {
        "epochs": len(losses),
        "last": {name: history[name][-1] for name in (*metrics, "learning_rate")},
        "best": {"epoch": best + 1, **{name: history[name][best] for name in metrics}},
        "test_loss": evaluation.loss,
        "test_accuracy": evaluation.accuracy,
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
            image=bundles.image_facts(dataset.train.images.shape[1:], depth),
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


def log_compilation(
    tracker: tracking.Tracker, directory: RunDirectory, training: Training, notify: Callable[[str], None]
) -> None:
    """Log how epochs were compiled, and on how many threads: others give other last bits."""
    import tensorflow as tf

    threads = tf.config.threading.get_intra_op_parallelism_threads() or provenance.cores()
    directory.update_run(compiled=training.compiled, threads=threads)
    tracker.log_others({"compiled": training.compiled, "threads": threads})
    if training.notice:
        notify(training.notice)


def log_features(tracker: tracking.Tracker, directory: RunDirectory, stage: Stage, console: Console) -> None:
    """Log and say how long a backbone's features took and how many were kept, or why there are none."""
    if stage.notice:
        console.notice(stage.notice)
    if stage.facts:
        tracker.log_others(stage.facts)
        directory.update_run(features=dict(stage.facts))
        console.say(describe_features(stage.facts))


def log_fine_tuning(tracker: tracking.Tracker, tuning: Mapping[str, Any], console: Console) -> None:
    """Log and say which epoch's weights fine-tuning left."""
    tracker.log_others(tuning)
    epoch = tuning["kept_epoch"]
    console.say(
        f"fine-tuning lowered val_loss: the weights after epoch {epoch} are kept"
        if tuning["fine_tuning_kept"]
        else f"fine-tuning did not lower val_loss: the weights after epoch {epoch}, before it, are kept"
    )


def describe_features(facts: Mapping[str, float]) -> str:
    """Return a line on how features were had."""
    count, kept, seconds = facts["features"], facts["features_from_cache"], facts["features_s"]
    made = count - kept
    pace = f", {made / seconds:.0f} a second" if made and seconds else ""
    shares = f"{kept:.0f} from the cache, {made:.0f} computed{pace}"
    return f"features of {count:.0f} pictures: {shares}; {seconds:.1f} s"


def log_weights(tracker: tracking.Tracker, directory: RunDirectory, model: Any) -> None:
    """Log a histogram of each trained weight array at the last step, and how many values there are."""
    counts = {
        "trainable_parameters": sum(math.prod(weight.shape) for weight in model.trainable_weights),
        "total_parameters": model.count_params(),
    }
    tracker.log_others(counts)
    directory.update_run(**counts)
    weights = {weight.path: weight.numpy() for weight in model.trainable_weights}
    figures.log_weight_histograms(tracker, weights, int(model.optimizer.iterations.numpy()))


def log_results(
    tracker: tracking.Tracker,
    directory: RunDirectory,
    dataset: Dataset,
    logger: MetricsLogger,
    evaluation: Evaluation,
    results: Mapping[str, Any],
) -> None:
    """Log the result on the test set: metrics, predictions, scores, figures."""
    logger.log_test(
        results["epochs"],
        {"loss": evaluation.loss, "accuracy": evaluation.accuracy}
        | {"ece": results["test_ece"], "ece_calibrated": results["test_ece_calibrated"]},
    )
    write_json(directory.results_file, results)
    tracker.log_others(
        {"best_epoch": results["best"]["epoch"], "best_val_loss": results["best"]["val_loss"]}
        | {"best_val_accuracy": results["best"]["val_accuracy"], "epoch_s": results["epoch_s"]}
        | {name: results[name] for name in ("temperature", "temperature_fitted_on")}
    )
    test, names, probabilities = dataset.test, dataset.class_names, evaluation.probabilities
    _write_predictions(directory.predictions_file, test.labels, probabilities)
    tracker.log_asset(str(directory.predictions_file), file_name=directory.predictions_file.name, step=0)
    scores = figures.class_scores(test.labels, probabilities, names)
    figures.log_class_scores(tracker, scores)
    figures.log_confusion_matrix(tracker, test.labels, probabilities, names, test.images)
    folder = directory.figures
    figures.log_mistakes(tracker, folder / "mistakes.png", test.images, test.labels, probabilities, names)
    figures.log_curves(tracker, folder / "curves.png", logger.history)


def log_trial(
    tracker: tracking.Tracker, trial: Trial, history: Mapping[str, Any], results: Mapping[str, Any]
) -> None:
    """Log a trial's score and point under the names that Comet's optimizer panels read.

    The SDK's own ``log_optimization`` would log the metric and the parameters a second time: it gets neither.
    """
    score = trial.score(history.get(trial.metric) or [results[trial.metric]])
    objective = trial.objective.replace("mize", "mum")  # its word for what the sweep file calls maximize
    tracker.log_optimization(trial.sweep, trial.metric, None, None, objective)
    tracker.log_others(trial.others(score))


def log_model(
    tracker: tracking.Tracker, saved: Path, bundle: Path, register: str | None, notify: Callable[[str], None]
) -> None:
    """Upload the saved model and its bundle; ``register`` names the model in Comet's registry, if any."""
    name = saved.stem
    for path in (saved, bundle):
        tracker.log_model(name, str(path), file_name=path.name)
    if register and tracker.mode == tracking.ONLINE:
        tracker.register_model(name, registry_name=register)
    elif register:
        notify(f"the model is not registered as '{register}': that needs online mode")


def check_parameters(
    parameters: tracking.LoggedParameters, directory: RunDirectory, notify: Callable[[str], None]
) -> None:
    """Warn of parameters that were logged and acted on nothing."""
    write_json(directory.params_file, parameters.logged())
    if unread := parameters.unread():
        notify(f"logged but never read, so without effect on this run: {', '.join(unread)}")


def summary(record: RunRecord) -> dict[str, Any]:
    """Return the facts of a finished run that scripts want: the object that ``--json`` prints."""
    directory, results = RunDirectory(Path(record.source)), record.results
    return {
        "key": record.key,
        "name": record.name,
        "status": record.status,
        "mode": record.mode,
        "run_dir": str(directory.path),
        "archive": str(directory.archive) if directory.archive.exists() else None,
        "url": record.run["url"],
        "dataset": record.run["dataset"]["name"],
        **{name: results[name] for name in ("epochs", "test_loss", "test_accuracy", "epoch_s", "fit_s")},
        "process_s": results["process_s"],
        **{name: results[name] for name in ("rerun",) if name in results},
    }


def describe(facts: Mapping[str, Any], model_file: str) -> str:
    """Return the closing lines of a run, from its ``summary``: result, place, what to do next."""
    run = Path(facts["run_dir"])
    loss = float(facts["test_loss"])  # which is the text 'NaN' where it is that
    lines = [f"Comet    {facts['url']}"] if facts["url"] else []
    lines += [
        f"test accuracy {facts['test_accuracy']:.4f}, loss {loss:.4f} on {facts['dataset']}, "
        f"after {facts['epochs']} epochs of {facts['epoch_s']:.2f} s; {facts['process_s']:.1f} s in all",
        f"model    {run / 'model' / model_file}",
        f"figures  {run / 'figures'}",
    ]
    if facts["archive"] and not facts["url"]:
        lines.append(f"archive  {facts['archive']}")
    if "rerun" in facts:
        lines.append(verdict.describe(facts["rerun"]))
    lines.append(f"next     {command_on(run, 'experiment', 'show')}")
    if facts["archive"] and not facts["url"]:
        lines.append(f"or       {command_on(run, 'experiment', 'upload')}")
    return "\n".join(lines)


def restart_clock() -> None:
    """Let ``process_seconds`` count from now: another run begins in the same process."""
    global _restarted
    _restarted = time.perf_counter()


def process_seconds() -> float:
    """Return the seconds since this process began, or since this module's import where /proc is missing."""
    if _restarted is not None:
        return time.perf_counter() - _restarted
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, AttributeError):
        return time.perf_counter() - STARTED


def _write_predictions(path: Path, labels: np.ndarray, probabilities: np.ndarray) -> None:
    with atomic_path(path) as beside, beside.open("wb") as file:
        np.savez(
            file,
            labels=labels,
            probabilities=probabilities,
            confident_mistakes=figures.confident_mistakes(labels, probabilities),
        )
