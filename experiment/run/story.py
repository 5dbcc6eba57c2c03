"""One run's story: log the parameters, read them back, train, evaluate, save, log what happened."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiment.comet.logged_parameters import LoggedParameters
from experiment.comet.settings import api_key
from experiment.comet.tracker import Tracker
from experiment.data.splits import Dataset
from experiment.errors import UserError
from experiment.run import drawings, fitting
from experiment.run import results as outcomes
from experiment.run.inputs import Opened, log_inputs, open_data
from experiment.run.lifecycle import recorded
from experiment.run.options import Options
from experiment.run.own_model import check_name, told_as_own, with_own_declared
from experiment.run.purpose import OwnSake, Purpose
from experiment.run.setup import Setup, check_early, describe
from experiment.run.summary import result_line
from experiment.store.directory import RunDirectory
from experiment.store.directory_reader import read_record
from experiment.store.files import write_json
from experiment.store.record import RunRecord
from experiment.system import imports, keras_settings, machine, process_clock, xla_store
from experiment.system.console import Console
from experiment.system.process_clock import phase
from params.spec import Params

if TYPE_CHECKING:
    import keras

    from experiment.training.models import ModelBuilder
    from experiment.training.trainer import Evaluation

__all__ = ["Options", "train_and_evaluate"]


def train_and_evaluate(
    params: Params,
    *,
    build_model: ModelBuilder | None = None,
    dataset: Any = None,
    class_names: Sequence[str] = (),
    extra: Mapping[str, Any] | None = None,
    options: Options | None = None,
    resume: RunDirectory | None = None,
    purpose: Purpose | None = None,
) -> RunRecord:
    """Train, evaluate and save a classifier as one tracked run.

    Args:
        params: the parameters of the run.
        build_model: makes the network, see ``models.ModelBuilder``; by default the one that ``model`` names.
        dataset: arrays by name, ``(x, y), (x, y)``, two batched ``tf.data.Dataset`` (see
            ``data.program_sets``), or a set that ``load_arrays`` read; by default what ``dataset`` names.
        class_names: a name for each label of such a set.
        extra: parameters of ``build_model``'s own, by their names: logged, and found by ``get_parameter``.
        options: where the run lies, its name, its tracking.
        resume: a run to go on with from its last checkpoint, under its own key and parameters.
        purpose: whom the run is made for, if not for itself: a sweep, or the repetition of another run.

    Raises:
        UserError: bad input; nothing is written then.
        RunFailed: an error in the run; its directory and archive are complete as far as it came.
    """
    process_clock.begin()
    options, purpose = options or Options(), purpose or OwnSake()
    console = Console(options.quiet, (api_key(),), options.on_notice)
    params, build_model = _with_own_model(params, build_model)
    with console.output.listening():
        check_early(params, options)
        with console.address_first():
            opened = open_data(params, dataset, console, class_names, options.memory_gb)
            setup = describe(params, opened, build_model, options, purpose, resume, console, extra)
        directory, where = setup.directory, setup.destination
        every, alert = options.system_metrics_every, options.notify
        frame = recorded(directory, where, setup.mode, setup.certain(), setup.facts, console, every, alert)
        with frame as tracker, told_as_own(params.own):
            results = _take_steps(setup, opened, tracker)
            console.output.line(result_line(results, setup.split.name))
    write_json(directory.results_file, results | {"process_s": process_clock.process_seconds()})
    return read_record(directory.path)


def _take_steps(setup: Setup, opened: Opened, tracker: Tracker) -> dict[str, Any]:
    """Log, load, build, restore, fit, evaluate, conclude: what happens once a run is being recorded."""
    parameters = LoggedParameters(tracker, setup.values, setup.optional)
    drawings.remove(setup.directory.figures)
    log_inputs(tracker, setup.directory, opened, setup.split, setup.params, setup.facts, setup.own_code)
    split = _prepare(setup, parameters)
    model = _build(setup, parameters, split)
    start = fitting.restore(setup, parameters, split, model)
    if setup.options.figures:
        # While compiled code trains, this thread has nothing to do.
        imports.beside(*drawings.MODULES)
    fitted = fitting.fit(setup, parameters, split, model, start)
    xla_store.keep()
    evaluated = _evaluate(setup, parameters, split, model, fitted)
    return _conclude(setup, parameters, split, model, fitted, evaluated)


def _with_own_model(params: Params, build_model: ModelBuilder | None) -> tuple[Params, ModelBuilder | None]:
    """Return the parameters with those that a user's model declares, and what builds it."""
    params = with_own_declared(params)
    if params.own and build_model:
        raise UserError(f"model = '{params.model}' and build_model=…: give one of them")
    return params, build_model or (params.own.build if params.own else None)


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """The saved model's path, its evaluation on validation and test set, and results so far."""

    saved: Path
    held_out: Evaluation
    on_test: Evaluation
    results: Mapping[str, Any]


def _prepare(setup: Setup, parameters: LoggedParameters) -> Dataset:
    """Import TensorFlow, which takes seconds, only when nothing can be refused any more; load the data."""
    get_parameter = parameters.get_parameter
    machine.grow_heaps_in_large_steps()
    xla_store.use()
    with setup.console.doing("import TensorFlow"):
        keras_settings.import_keras()
    setup.purpose.before_training(setup.console.notice)
    with setup.console.doing("load the data"):
        split = setup.opened.load(get_parameter, setup.options.memory_gb, setup.console)
    keras_settings.seed(get_parameter("seed"))
    return split


def _build(setup: Setup, parameters: LoggedParameters, split: Dataset) -> keras.Model:
    """Build and compile the network."""
    from experiment.training import model_check, models, precision, trainer

    precision.check_device(parameters.get_parameter("precision"))
    classes, image_shape = len(split.class_names), split.train.images.shape[1:]
    build = setup.build_model or models.build_model
    if own := setup.params.own:
        check_name(own, parameters.get_parameter)
    with setup.console.doing("build the network"):
        model = build(parameters.get_parameter, image_shape, classes)
    if setup.build_model:
        model_check.check_model(model, split.train, classes)
    trainer.compile_model(model, parameters.get_parameter, len(split.train))
    if setup.build_model:
        model_check.check_saving(model, split.train, classes, parameters.get_parameter("model-file"))
    parameters.tracker.set_model_graph(model.to_json())
    return model


@phase(process_clock.EVALUATING)
def _evaluate(
    setup: Setup, parameters: LoggedParameters, split: Dataset, model: keras.Model, fitted: fitting.Fitted
) -> Evaluated:
    """Save the model, and evaluate it as it was saved: that is the run's result."""
    from experiment.training import augmentation, callbacks, checkpoints, trainer

    path = setup.directory.model / parameters.get_parameter("model-file")
    saved = checkpoints.save_model(augmentation.without_augmentation(model), path)
    # What is on disk is what people will use, so that is what the test is made of.
    reloaded, classes = checkpoints.load_model(saved), len(split.class_names)
    on_test = held_out = trainer.evaluate(reloaded, split.test, classes)
    if split.validation is not split.test:
        held_out = trainer.evaluate(reloaded, split.validation, classes)
    get_parameter = parameters.get_parameter
    results = outcomes.summarize(fitted.logger, on_test, fitted.seconds, get_parameter("monitor"))
    best = callbacks.keeps_best(get_parameter)
    saved_epoch = results["best"]["epoch"] if best else results["epochs"]
    results |= {"saved_epoch": fitted.tuning.get("kept_epoch", saved_epoch)} | dict(fitted.tuning)
    results |= outcomes.measure(split, on_test, get_parameter("top-k"))
    return Evaluated(saved, held_out, on_test, results | outcomes.calibrate(split, held_out, on_test))


@phase(process_clock.LOGGING)
def _conclude(
    setup: Setup,
    parameters: LoggedParameters,
    split: Dataset,
    model: keras.Model,
    fitted: fitting.Fitted,
    evaluated: Evaluated,
) -> dict[str, Any]:
    """Log what came out, the saved model last; return all results."""
    tracker, directory, notify = parameters.tracker, setup.directory, setup.console.notice
    results = dict(evaluated.results)
    outcomes.log_compilation(tracker, directory, fitted.training, notify)
    outcomes.log_results(
        *(tracker, directory, split, fitted.logger, evaluated.held_out, evaluated.on_test, results)
    )
    results |= setup.purpose.conclude(tracker, directory, fitted.logger.history, results)
    outcomes.log_weights(tracker, directory, model, fitted.logger.step())
    if setup.options.figures:
        outcomes.draw_figures(tracker, directory, fitted.logger.history, notify)
    bundle = outcomes.write_bundle(
        *(directory, evaluated.saved, split, parameters.logged(), results, setup.opened.depth),
        setup.facts.get("backbone"),
    )
    outcomes.log_model(tracker, evaluated.saved, bundle, setup.options.register, notify)
    outcomes.check_parameters(parameters, setup.params.given() & set(setup.values), directory, notify)
    return results
