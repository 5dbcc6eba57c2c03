"""The schedule ``plateau``: Keras' own, which can go on from where a run was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from experiment.training.callbacks import mode_of


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """Keras' reduction of the learning rate on a plateau, that can go on from where a run was.

    Args:
        factor: what the rate is multiplied by.
        patience: epochs without a better value that make a plateau.
        initial_lr: the rate of the first step.
        monitor: which value.
        earlier: those of the epochs that are done: counters and rate follow from them.
    """

    def __init__(
        self, factor: float, patience: int, initial_lr: float, monitor: str, earlier: Sequence[float]
    ) -> None:
        super().__init__(monitor, factor, patience, mode=mode_of(monitor))
        self._initial_lr = initial_lr
        self._earlier = tuple(earlier)

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin with nothing, or go through the epochs that are done."""
        super().on_train_begin(logs)
        self.model.optimizer.learning_rate = self._initial_lr
        for epoch, value in enumerate(self._earlier):
            self.on_epoch_end(epoch, {self.monitor: value})


def plateau(get_parameter: Callable[[str], Any], history: Mapping[str, Sequence[float]]) -> list[Plateau]:
    """Return the callback that the schedule ``plateau`` asks for, after the epochs of a history; [] else."""
    if get_parameter("schedule") != "plateau":
        return []
    factor, patience = get_parameter("plateau-factor"), get_parameter("plateau-patience")
    monitor = get_parameter("monitor")
    return [Plateau(factor, patience, get_parameter("initial-lr"), monitor, history.get(monitor, ()))]
