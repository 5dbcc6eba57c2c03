"""Keras callbacks that connect training to the run directory and the tracker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from experiment.console import Console
from experiment.rundir import MetricsJournal, Point
from experiment.tracking import Tracker

STEP_POINTS = 1000


class MetricsLogger(keras.callbacks.Callback):
    """Log each epoch's metrics, first to the journal and then to the tracker, at true step and epoch.

    ``history`` holds what was logged of each epoch; ``clock`` the seconds, of a monotonic clock, at which
    each epoch began and the last one ended, logging included.
    """

    def __init__(
        self, tracker: Tracker, journal: MetricsJournal, console: Console, epochs: int, steps_per_epoch: int
    ) -> None:
        super().__init__()
        self._tracker = tracker
        self._journal = journal
        self._console = console
        self._epochs = epochs
        self._stride = -(-epochs * steps_per_epoch // STEP_POINTS)
        self._step_losses: list[tuple[int, dict[str, float]]] = []
        self.history: dict[str, list[float]] = {}
        self.clock: list[float] = []

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """Note when the first epoch began."""
        self.clock.append(time.perf_counter())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Log the epoch's metrics, learning rate and seconds; Keras counts epochs from 0, people from 1."""
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        metrics["learning_rate"] = float(self.model.optimizer.learning_rate.numpy())
        metrics["epoch_seconds"] = time.perf_counter() - self.clock[-1]
        for name, value in metrics.items():
            self.history.setdefault(name, []).append(value)
        self._log(epoch + 1, [*self._step_losses, (self._step(), metrics)])
        self._step_losses = []
        self._console.epoch(epoch + 1, self._epochs, metrics)
        self.clock.append(time.perf_counter())

    def step_losses(self, first_step: int, losses: np.ndarray) -> None:
        """Keep some of the losses float32 [steps] of single steps, counted from ``first_step`` ≥ 1."""
        for step, loss in enumerate(losses, first_step):
            if step % self._stride == 0:
                self._step_losses.append((step, {"batch_loss": float(loss)}))

    def log_test(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the final test metrics, in the SDK's test context."""
        with self._tracker.test():
            self._log(epoch, [(self._step(), dict(metrics))], prefix="test_")

    def _step(self) -> int:
        return int(self.model.optimizer.iterations.numpy())

    def _log(self, epoch: int, rows: list[tuple[int, dict[str, float]]], prefix: str = "") -> None:
        now = time.time()
        points = [
            Point(f"{prefix}{name}", value, step, epoch, now)
            for step, metrics in rows
            for name, value in metrics.items()
        ]
        for point in self._journal.append(points):
            name = point.name.removeprefix(prefix)
            self._tracker.log_metric(name, point.value, step=point.step, epoch=point.epoch)


def early_stopping(get_parameter: Callable[[str], Any]) -> list[keras.callbacks.Callback]:
    """Return the callbacks that the parameters ``early-stopping`` and ``patience`` ask for."""
    if not get_parameter("early-stopping"):
        return []
    patience = get_parameter("patience")
    return [keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)]
