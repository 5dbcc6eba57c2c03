"""One run's story: log the parameters, read them back, train, evaluate, save, log what happened."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiment.comet import tracker as tracking
from experiment.data import arrays as data
from experiment.data import backbone_checks, image_folder, image_report
from experiment.data import image as images
from experiment.errors import UserError
from experiment.rerun import differences as rerun
from experiment.rerun import verdict
from experiment.run import summary as record
from experiment.run.lifecycle import recorded
from experiment.run.options import Options
from experiment.store import directory as rundir
from experiment.system import keras_settings, provenance
from experiment.system import machine as memory
from experiment.system.console import Console, without_stderr
from params.load import without_effect
from params.spec import Params

if TYPE_CHECKING:
    from experiment.rerun.original import Original
    from experiment.training.models import ModelBuilder

__all__ = ["Options", "train_and_evaluate"]

MODEL_PARAMETERS = (
    *("model", "layer-1-size", "layer-2-size", "filters", "backbone", "backbone-weights", "dropout"),
    *("fine-tune-epochs", "fine-tune-lr", "fine-tune-from"),
    *("augment-flip", "augment-shift", "augment-rotation"),
)
STREAMED = "the pictures exceed their memory budget (--memory-gb), so they are read from disk batch by batch"


def train_and_evaluate(
    params: Params,
    *,
    build_model: ModelBuilder | None = None,
    dataset: Mapping[str, np.ndarray] | data.Arrays | None = None,
    options: Options | None = None,
    resume: rundir.RunDirectory | None = None,
    original: Original | None = None,
) -> rundir.RunRecord:
    """Train, evaluate and save a classifier as one tracked run.

    Args:
        params: the parameters of the run.
        build_model: called with (get_parameter, image_shape (H, W, C), classes); returns an uncompiled Keras
            model over float32 pixels in 0–1, [N, …] of any shape that holds H·W·C values, with logits
            [N, classes]; one that is compiled or returns probabilities is refused. By default the one that
            the parameter ``model`` names.
        dataset: arrays in Keras' layout: x_train, x_test uint8 [N, H, W] or [N, H, W, C], C 1 or 3, y_train,
            y_test integers [N], perhaps x_val and y_val, or a set that ``data.load_arrays`` read. By default
            the set that the parameter ``dataset`` names.
        options: where the run lies, its name, its tracking.
        resume: a run to go on with from its last checkpoint, under its own key and parameters.
        original: a run that this one repeats and is compared with at its end; ``results`` holds the verdict.

    Raises:
        UserError: bad data, a place that cannot be written to, no API key in online mode, settings of an
            imported Keras that the pipeline cannot train under, or what was typed has no effect; nothing is
            written then.
        RunFailed: an error in the run, a model that is refused among them (its cause says why); the run's
            directory and archive are complete as far as it came.
    """
    options = options or Options()
    keras_settings.check()
    mode = tracking.resolve_mode(options.mode)
    secrets = (tracking.api_key(),)
    console = Console(options.quiet, secrets, options.on_notice)
    _refuse_without_effect(params, params.may_apply(), options)
    if options.register and "register" in options.typed and mode != tracking.ONLINE:
        raise UserError(f"register = '{options.register}' needs mode online; this run's is {mode}")
    arrays, inspection = open_set(params, dataset, console)
    source, params, asked = params.dataset, resolve(params, arrays), params.validation
    if params.validation not in (asked, "folder"):
        console.say(f"validation = {params.validation} of the training set (test would be the test set)")
    values = params.applicable()
    if not data.splits_by_chance(arrays, params.validation):
        values.pop("split-seed", None)
    _refuse_without_effect(params, values, options)
    if options.memory_gb and "memory-gb" in options.typed and not inspection:
        raise UserError(
            f"memory-gb = {options.memory_gb:g} has no effect: it applies with a folder of pictures"
        )
    if not (resume or original or options.trial):  # those have parameters that others chose
        for sentence in without_effect(params, values).values():
            console.notice(sentence)
    data.check_repeats(arrays, values.__getitem__)
    if not options.trial:  # a sweep says it once
        for notice in arrays.notices:
            console.notice(notice)
    split = data.split_arrays(arrays, values.__getitem__)
    is_pretrained = params.model == "pretrained" and not build_model
    weights = backbone_checks.check(values, split.train.images.shape[1:]) if is_pretrained else None
    if inspection:
        console.say(image_report.describe_split(inspection, split))
    facts = provenance.describe_run(secrets, console.notice) | {"dataset": record.data_facts(split, source)}
    if weights:
        facts["backbone"] = backbone_checks.facts(weights)
    if resume:
        check_resumable(resume, params, facts, console.notice)
    if original:
        facts["rerun"] = rerun.announce(original, values, facts, console.say)
    if options.trial:
        facts["sweep"] = options.trial.facts()
    key = options.trial.key if options.trial else tracking.new_key()
    directory = resume or rundir.RunDirectory(options.runs / key)
    where = _destination(params, options, directory.key, secrets)
    directory.create()
    if resume:
        # The server refuses a second start under the same key; `upload` sends what it lacks afterwards.
        run = rundir.read_json(directory.run_file)
        mode = tracking.DISABLED if run["mode"] == tracking.DISABLED else tracking.OFFLINE
        where = tracking.Destination(run["workspace"], run["project"], run["name"], run["tags"])
    if provenance.REDACTED in " ".join([*facts["command"], where.name, *where.tags]):
        console.notice("the command line holds what looks like a secret; it is left out of all records")

    # Of the stock model's parameters, one's own has those that it reads: they are logged when it does.
    optional = MODEL_PARAMETERS if build_model else ()
    certain = {name: value for name, value in values.items() if name not in optional}
    with recorded(directory, where, mode, certain, facts, console) as tracker:
        console.say(f"run {where.name}, {tracker.mode}: {tracker.url or directory.path}")
        parameters = tracking.LoggedParameters(tracker, values, optional)
        get_parameter = parameters.get_parameter
        record.log_inputs(tracker, directory, split, params, facts)
        if inspection:
            record.log_pictures(tracker, directory, image_report.facts(inspection, split))

        memory.grow_heaps_in_large_steps()
        with without_stderr():  # TensorFlow greets with four lines there that no setting turns off
            # Seconds, spent only after everything that can be refused.
            keras = keras_settings.import_keras()

        from experiment.training import (
            callbacks,
            checkpoints,
            fine_tuning,
            model_check,
            models,
            pretrained,
            trainer,
        )

        if original:
            rerun.limit_threads(original, console.notice)

        if inspection:
            arrays = image_folder.load_images(inspection, get_parameter, memory.budget(options.memory_gb))
            if isinstance(arrays.train.images, data.StoredImages):
                console.notice(STREAMED)
        data.check_repeats(arrays, get_parameter)
        split = data.split_arrays(arrays, get_parameter)
        classes, image_shape = len(split.class_names), split.train.images.shape[1:]
        keras.utils.set_random_seed(get_parameter("seed"))
        model = (build_model or models.build_model)(get_parameter, image_shape, classes)
        if build_model:
            model_check.check_model(model, split.train, classes)
        trainer.compile_model(model, get_parameter)
        tracker.set_model_graph(model.to_json())
        checkpoint = checkpoints.read_checkpoint(directory.checkpoints, console.notice)
        tuned_from = checkpoint.state.get("tuned_from") if checkpoint else None
        stage = pretrained.Stage(model, split)
        if weights and tuned_from is None:
            with console.counting() as progress:
                stage = pretrained.head_stage(model, split, get_parameter, progress, console.notice)
            record.log_features(tracker, directory, stage, console)
        if checkpoint:
            if tuned_from is None:
                checkpoints.restore(checkpoint, stage.model)
            console.say(f"resumed after epoch {checkpoint.epochs}")

        steps = math.ceil(len(split.train) / get_parameter("batch-size"))
        journal = rundir.MetricsJournal(directory.metrics_file)
        tuned_epochs = get_parameter("fine-tune-epochs") if weights else 0
        epochs = get_parameter("epochs") + tuned_epochs
        logger = callbacks.MetricsLogger(tracker, journal, console, epochs, steps, get_parameter("on-nan"))
        logger.history = checkpoint.state["history"] if checkpoint else {}
        stopping = callbacks.early_stopping(get_parameter, checkpoint)
        done = checkpoint.epochs if checkpoint else 0
        if checkpoint and checkpoint.state["stopped"]:
            done = get_parameter("epochs")

        def callbacks_with(keeping: Any, began: int | None = None) -> list[Any]:
            saving = callbacks.Checkpoints(directory.checkpoints, logger, keeping, began)
            return [*([keeping] if keeping else []), logger, saving, *options.callbacks]

        console.start(epochs, done)
        started = time.perf_counter()
        if tuned_from is None:
            training = trainer.fit(
                stage.model,
                stage.dataset,
                get_parameter,
                callbacks_with(stopping),
                done,
                on_step_losses=logger.step_losses,
            )
        tuning: dict[str, Any] = {}
        if tuned_epochs:
            training, tuning = fine_tuning.fine_tune(
                model,
                split,
                get_parameter,
                callbacks_with,
                logger.history["val_loss"],
                checkpoint if tuned_from is not None else None,
                budget=memory.budget(options.memory_gb),
                on_step_losses=logger.step_losses,
            )
            record.log_fine_tuning(tracker, tuning, console)
        fit_seconds = time.perf_counter() - started
        console.stop()

        saved = checkpoints.save_model(
            models.without_augmentation(model), directory.model / get_parameter("model-file")
        )
        reloaded = checkpoints.load_model(saved)
        evaluation = trainer.evaluate(reloaded, split.test, classes)
        held_out = evaluation
        if split.validation is not split.test:
            held_out = trainer.evaluate(reloaded, split.validation, classes)
        results = record.summarize(logger, evaluation, fit_seconds) | tuning
        results |= record.calibrate(split, held_out, evaluation)
        record.log_compilation(tracker, directory, training, console.notice)
        record.log_results(tracker, directory, split, logger, evaluation, results)
        if original:
            results["rerun"] = facts["rerun"] | verdict.judge(original, directory)
            verdict.log_verdict(tracker, results["rerun"])
        if options.trial:
            record.log_trial(tracker, options.trial, logger.history, results)
        record.log_weights(tracker, directory, model)
        depth = inspection.depth if inspection else images.FULL_DEPTH
        bundle = record.write_bundle(
            directory, saved, split, parameters.logged(), results, depth, facts.get("backbone")
        )
        record.log_model(tracker, saved, bundle, options.register, console.notice)
        record.check_parameters(parameters, directory, console.notice)
        if ignored := sorted((params.given() & set(values)) - set(parameters.logged())):
            console.notice(f"given but never read, so without effect on this run: {', '.join(ignored)}")
    rundir.write_json(directory.results_file, results | {"process_s": record.process_seconds()})
    return rundir.read_record(directory.path)


def _refuse_without_effect(params: Params, applying: Container[str], options: Options) -> None:
    """Refuse a parameter that was typed and is not among those that apply."""
    for name, sentence in without_effect(params, applying).items():
        if name in options.typed:
            raise UserError(sentence)


def open_set(
    params: Params, dataset: Mapping[str, np.ndarray] | data.Arrays | None, console: Console
) -> tuple[data.Arrays, image_folder.Inspection | None]:
    """Return a set's arrays, and what was found in it where it is a folder of pictures.

    Those stay on disk here; the run itself loads them, by the parameters that its experiment has.
    """
    if isinstance(dataset, data.Arrays):
        return dataset, None
    if dataset is not None:
        return data.check_arrays("arrays", dataset), None
    if not image_folder.is_image_folder(params.dataset):
        return data.load_arrays(params.dataset), None
    with console.counting() as progress:
        inspection = image_folder.inspect_folder(
            Path(params.dataset), params.image_size, params.channels, progress
        )
    console.say(image_report.describe(inspection))
    values = params.model_dump(by_alias=True)
    return image_folder.load_images(inspection, values.__getitem__, memory=0), inspection


def resolve(params: Params, arrays: data.Arrays) -> Params:
    """Put what a set turned out to be in the place of what was asked for: its name, its validation/."""
    found: dict[str, Any] = {"dataset": arrays.name}
    if "validation" not in params.model_fields_set:
        found["validation"] = data.default_validation(arrays)
    return params.model_copy(update=found)


def _destination(
    params: Params, options: Options, key: str, secrets: Sequence[str | None]
) -> tracking.Destination:
    """Name and tag the run, so that it can be told from others at a glance."""
    trial = options.trial
    stock = trial.label if trial else f"{params.dataset} {params.model} {params.optimizer} {key[:6]}"
    name = options.name or stock
    tags = list(dict.fromkeys([params.dataset, params.model, *options.tags, *(trial.tags if trial else ())]))
    clean = [provenance.redact(text, secrets) for text in (name, *tags)]
    return tracking.destination(clean[0], clean[1:], options.workspace, options.project)


def check_resumable(
    directory: rundir.RunDirectory, params: Params, facts: Mapping[str, Any], notify: Callable[[str], None]
) -> None:
    """Refuse to go on with a run that would become another one; say what else is different today.

    Raises:
        UserError: the run is alive or finished, or parameters or data differ.
    """
    run, stored = rundir.read_json(directory.run_file), rundir.read_json(directory.params_file)
    name = directory.key[:12]
    if directory.is_alive():
        raise UserError(f"run {name} is alive: a process is working on it")
    if run["status"] == rundir.FINISHED and params.epochs <= stored["epochs"]:
        raise UserError(
            f"run {name} is finished; to train it further, give more than --epochs {stored['epochs']}"
        )
    if stored.get("fine-tune-epochs") and params.epochs != stored["epochs"]:
        raise UserError(
            f"epochs = {params.epochs}: run {name} is fine-tuned after {stored['epochs']} and keeps them"
        )
    if params.epochs < stored["epochs"]:
        raise UserError(
            f"epochs = {params.epochs}: a resumed run can have more epochs than {stored['epochs']}, not fewer"
        )
    for parameter, value in params.applicable().items():
        if parameter != "epochs" and parameter in stored and stored[parameter] != value:
            raise UserError(f"{parameter} = {value!r}: a resumed run keeps its own, {stored[parameter]!r}")
    if (now := facts.get("backbone")) and now["sha256"] != run.get("backbone", now)["sha256"]:
        raise UserError(
            f"backbone-weights = '{params.backbone_weights}' are not those that run {name} began with: "
            "their SHA-256 differs"
        )
    for part in ("fingerprint", "split_fingerprint"):
        if facts["dataset"][part] != run["dataset"][part]:
            raise UserError(
                f"dataset '{params.dataset}' is not what run {name} was trained on: its {part} differs"
            )
    for part in ("code_fingerprint", "packages", "python"):
        if facts[part] != run[part]:
            notify(f"{part} differs from when run {name} began: results may differ from an unbroken run's")
