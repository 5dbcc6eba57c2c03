"""How much of an epoch is done, on a terminal."""

from __future__ import annotations

from typing import Any

import keras

from experiment.system.console import Console


class EpochProgress(keras.callbacks.Callback):
    """Shows on a terminal how much of an epoch is done: after each compiled block, or each batch.

    Apart from the logger, as Keras makes numbers of a batch's metrics once a callback wants to hear of them.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._epoch = 1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Begin with nothing of this epoch."""
        self._epoch = epoch + 1
        self._console.within_epoch(self._epoch, 0.0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Show how many blocks or batches of all are done."""
        self._console.within_epoch(self._epoch, (batch + 1) / self.params["steps"])
