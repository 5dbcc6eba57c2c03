"""Keras callbacks that connect training to the run directory and the tracker."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from experiment.comet.tracker import Tracker
from experiment.evaluation.measures import MONITORS
from experiment.store.journal import MetricsJournal, Point
from experiment.system import process_clock
from experiment.system.console import Console
from experiment.training.averaging import validated_weights
from experiment.training.checkpoints import Checkpoint, all_weights, trained_weights, write_checkpoint

# Of single steps in a run: a curve shows no more, and the journal of a long run stays small.
STEP_POINTS = 1000


class Diverged(FloatingPointError):
    """A loss is NaN or infinite, and ``on-nan`` says to stop then."""


class MetricsLogger(keras.callbacks.Callback):
    """Log each epoch's metrics, first to the journal and then to the tracker, at true step and epoch.

    ``history`` holds what was logged of each epoch; ``clock`` the seconds, of a monotonic clock, at which
    each epoch began and the last one ended, logging included. A loss that is not finite is logged as such;
    then ``Diverged`` is raised, unless ``on_nan`` is 'continue'. Steps are counted by epochs: an optimizer
    counts neither those of an earlier one nor those that a loss scale made it skip.
    """

    def __init__(
        self,
        tracker: Tracker,
        journal: MetricsJournal,
        console: Console,
        epochs: int,
        steps_per_epoch: int,
        on_nan: str,
    ) -> None:
        super().__init__()
        self._tracker = tracker
        self._journal = journal
        self._console = console
        self._epochs = epochs
        self._epoch = 1
        self._steps_per_epoch = steps_per_epoch
        self._stops = on_nan == "stop"
        self._stride = -(-epochs * steps_per_epoch // STEP_POINTS)
        self._step_losses: list[tuple[int, dict[str, float]]] = []
        self.history: dict[str, list[float]] = {}
        self.clock: list[float] = []

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """Note when the first epoch began."""
        self._console.compiled()
        self.clock.append(time.perf_counter())

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Note which epoch runs, counted from 1."""
        self._epoch = epoch + 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Log the epoch's metrics, learning rate and seconds; Keras counts epochs from 0, people from 1."""
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        metrics["learning_rate"] = float(self.model.optimizer.learning_rate.numpy())
        metrics["epoch_seconds"] = time.perf_counter() - self.clock[-1]
        for name, value in metrics.items():
            self.history.setdefault(name, []).append(value)
        # All points of an epoch in one append, as each is followed by an fsync.
        self._log(epoch + 1, [*self._step_losses, (self.step(), metrics)])
        self._step_losses = []
        self._console.epoch(epoch + 1, self._epochs, metrics)
        # The next epoch begins here: what later callbacks take, checkpoints above all, is of its seconds.
        self.clock.append(time.perf_counter())
        # After the points are logged: the record then shows the value that ended the run.
        for name in ("loss", "val_loss"):
            self._check(name, metrics.get(name, 0.0), self.step())

    def step_losses(self, first_step: int, losses: np.ndarray) -> None:
        """Keep some of the losses float32 [steps] of single steps, from the epoch's ``first_step`` ≥ 1 on."""
        first_step += (self._epoch - 1) * self._steps_per_epoch
        # The first is enough, as weights that are NaN stay so.
        wrong = np.flatnonzero(~np.isfinite(losses))[:1] if self._stops else ()
        for step, loss in enumerate(losses, first_step):
            if step % self._stride == 0 or step - first_step in wrong:
                self._step_losses.append((step, {"batch_loss": float(loss)}))
        for index in wrong:
            self._log(self._epoch, self._step_losses)
            self._check("batch_loss", float(losses[index]), first_step + int(index))

    def _check(self, name: str, value: float, step: int) -> None:
        if self._stops and not math.isfinite(value):
            raise Diverged(
                f"{name} is {value} at step {step}, in epoch {self._epoch}: a lower initial-lr may help, "
                "and on-nan = 'continue' would train on"
            )

    def log_test(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the final test metrics, in the SDK's test context."""
        with self._tracker.test():
            self._log(epoch, [(self.step(), dict(metrics))], prefix="test_")

    def step(self) -> int:
        """Return how many steps the run has trained for."""
        return len(self.history["loss"]) * self._steps_per_epoch

    def _log(self, epoch: int, rows: list[tuple[int, dict[str, float]]], prefix: str = "") -> None:
        now = time.time()
        points = [
            Point(f"{prefix}{name}", value, step, epoch, now)
            for step, metrics in rows
            for name, value in metrics.items()
        ]
        with process_clock.phase(process_clock.LOGGING):
            # Only what the journal did not have yet: a resumed epoch is not told twice.
            for point in self._journal.append(points):
                name = point.name.removeprefix(prefix)
                self._tracker.log_metric(name, point.value, step=point.step, epoch=point.epoch)


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras' early stopping, keeping the best weights, that can go on from a checkpoint."""

    def __init__(self, patience: int, checkpoint: Checkpoint | None, monitor: str = "val_loss") -> None:
        super().__init__(monitor, patience=patience, mode=mode_of(monitor), restore_best_weights=True)
        self._checkpoint = checkpoint

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin with nothing, or where the checkpoint was."""
        super().on_train_begin(logs)
        if self._checkpoint:
            for name, value in self._checkpoint.state["stopping"].items():
                setattr(self, name, value)
            best = self._checkpoint.best_weights
            self.best_weights = all_weights(self.model, best) if best else None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the best weights, as they were validated, and stop where it is time."""
        best = self.best_weights
        super().on_epoch_end(epoch, logs)
        if self.best_weights is not best:
            self.best_weights = validated_weights(self.model)

    def state(self) -> dict[str, Any]:
        """Return the counters that a checkpoint holds."""
        names = ("wait", "stopped_epoch", "best_epoch", "best")
        values = {name: getattr(self, name) for name in names}
        # Plain floats for JSON; best_epoch and wait come back as floats, which Keras compares alike.
        return {name: value if value is None else float(value) for name, value in values.items()}


class Checkpoints(keras.callbacks.Callback):
    """Write a checkpoint after each epoch, once its metrics are in the journal.

    Args:
        folder: where to.
        logger: whose history goes with it.
        stopping: whose counters and best weights go with it, if there is early stopping or fine-tuning.
        tuned_from: in fine-tuning, how many epochs were before it.
    """

    def __init__(
        self,
        folder: Path,
        logger: MetricsLogger,
        stopping: EarlyStopping | None,
        tuned_from: int | None = None,
    ) -> None:
        super().__init__()
        self._tuned_from = tuned_from
        self._folder = folder
        self._logger = logger
        self._stopping = stopping

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Write; a disk that is full ends the run while its archive can still be built."""
        stopping = self._stopping
        best = stopping.best_weights if stopping else None
        checkpoint = Checkpoint(
            epochs=epoch + 1,
            weights=trained_weights(self.model),
            optimizer=[variable.value.numpy() for variable in self.model.optimizer.variables],
            best_weights=trained_weights(self.model, best) if best else [],
            state={
                "history": self._logger.history,
                "stopping": stopping.state() if stopping else {},
                "stopped": bool(self.model.stop_training),
                "tuned_from": self._tuned_from,
            },
        )
        with process_clock.phase(process_clock.LOGGING):
            write_checkpoint(self._folder, checkpoint)


def keeps_best(get_parameter: Callable[[str], Any]) -> bool:
    """Tell whether the best epoch's weights are saved, not the last one's."""
    return bool(get_parameter("early-stopping") or get_parameter("keep") == "best")


def mode_of(monitor: str) -> str:
    """Return "min" or "max": which of a monitor's values Keras takes for the better one."""
    return "min" if MONITORS[monitor] else "max"


def early_stopping(
    get_parameter: Callable[[str], Any], checkpoint: Checkpoint | None = None
) -> EarlyStopping | None:
    """Return the callback that stops early or, with ``keep`` alone, keeps the best weights to the end."""
    if not keeps_best(get_parameter):
        return None
    patience = get_parameter("patience") if get_parameter("early-stopping") else get_parameter("epochs")
    return EarlyStopping(patience, checkpoint, get_parameter("monitor"))
