"""How a run is trained: from its beginning or its last checkpoint; a pretrained model in two phases.

The head of a pretrained model is trained first, on features; then, if the parameters say so, the backbone's
last blocks with it. Any other model has the first phase alone, on its images.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiment.comet.logged_parameters import LoggedParameters
from experiment.data.splits import Dataset
from experiment.run import results as outcomes
from experiment.run.setup import Setup
from experiment.store.journal import MetricsJournal
from experiment.system import machine, process_clock
from experiment.system.process_clock import phase

if TYPE_CHECKING:
    import keras

    from experiment.training.callbacks import EarlyStopping, MetricsLogger
    from experiment.training.checkpoints import Checkpoint
    from experiment.training.pretrained import Stage
    from experiment.training.trainer import Training


@dataclasses.dataclass(frozen=True)
class Start:
    """What training begins with, or goes on from.

    Attributes:
        stage: what the first phase fits, and on what; None where that phase is over.
        checkpoint: the last one, of either phase; None for a run that begins.
    """

    stage: Stage | None
    checkpoint: Checkpoint | None


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What training did, what was logged of its epochs, what fine-tuning came to, and its seconds."""

    training: Training
    logger: MetricsLogger
    tuning: Mapping[str, Any]
    seconds: float


def restore(setup: Setup, parameters: LoggedParameters, split: Dataset, model: keras.Model) -> Start:
    """Give the model the state of the last checkpoint, if there is one; compute features where they serve."""
    from experiment.training import checkpoints, pretrained

    console = setup.console
    checkpoint = checkpoints.read_checkpoint(setup.directory.checkpoints, console.notice)
    stage = None
    if not (checkpoint and checkpoint.state.get("tuned_from") is not None):
        stage = pretrained.Stage(model, split)
        if setup.is_pretrained:
            with console.counting() as progress, phase(process_clock.FEATURES):
                stage = pretrained.head_stage(
                    model, split, parameters.get_parameter, progress, console.notice
                )
            outcomes.log_features(parameters.tracker, setup.directory, stage, console)
    if checkpoint:
        # A phase that is over left its weights in the checkpoint; fine-tuning takes them when it is set up.
        if stage:
            checkpoints.restore(checkpoint, stage.model)
        console.say(f"resumed after epoch {checkpoint.epochs}")
    return Start(stage, checkpoint)


@phase(process_clock.TRAINING)
def fit(
    setup: Setup, parameters: LoggedParameters, split: Dataset, model: keras.Model, start: Start
) -> Fitted:
    """Train; each epoch is journalled, then told to the tracker, then kept as a checkpoint."""
    from experiment.training import callbacks, epoch_progress, fine_tuning, plateau, trainer

    get_parameter, checkpoint, console = parameters.get_parameter, start.checkpoint, setup.console
    tuned_epochs = get_parameter("fine-tune-epochs") if setup.is_pretrained else 0
    epochs, done = get_parameter("epochs"), checkpoint.epochs if checkpoint else 0
    steps = math.ceil(len(split.train) / get_parameter("batch-size"))
    logger = _logger(setup, parameters, epochs + tuned_epochs, steps)
    logger.history = checkpoint.state["history"] if checkpoint else {}

    def told(stopping: EarlyStopping | None, tuned_from: int | None = None) -> list[keras.callbacks.Callback]:
        # In this order: what a checkpoint counts as done must be in the journal before, and on disk before
        # others are told of it.
        keeping = callbacks.Checkpoints(setup.directory.checkpoints, logger, stopping, tuned_from)
        slowing = plateau.plateau(get_parameter, logger.history) if tuned_from is None else []
        shown = [epoch_progress.EpochProgress(console)] if console.moves_within_epochs else []
        parts = (logger, *slowing, keeping, *shown, *setup.options.callbacks)
        return [*([stopping] if stopping else []), *parts]

    console.start(epochs + tuned_epochs, done)
    started = time.perf_counter()
    tuning: dict[str, Any] = {}
    if start.stage:
        # It had stopped early: no epoch is left, but the test may still be missing.
        done = epochs if checkpoint and checkpoint.state["stopped"] else done
        stopping = callbacks.early_stopping(get_parameter, checkpoint)
        training = trainer.fit(
            *(start.stage.model, start.stage.dataset, get_parameter, told(stopping), done),
            on_step_losses=logger.step_losses,
        )
    if tuned_epochs:
        training, tuning = fine_tuning.fine_tune(
            *(model, split, get_parameter, told, logger.history),
            None if start.stage else checkpoint,
            budget=machine.budget(setup.options.memory_gb),
            on_step_losses=logger.step_losses,
        )
    console.stop()
    if tuning:
        outcomes.log_fine_tuning(parameters.tracker, tuning, console)
    return Fitted(training, logger, tuning, time.perf_counter() - started)


def _logger(setup: Setup, parameters: LoggedParameters, epochs: int, steps: int) -> MetricsLogger:
    from experiment.training import callbacks

    journal, stop = MetricsJournal(setup.directory.metrics_file), parameters.get_parameter("on-nan")
    return callbacks.MetricsLogger(parameters.tracker, journal, setup.console, epochs, steps, stop)
