"""BatchNormalization's statistics, taken from the training set just before each validation.

Keras keeps running averages, which begin at mean 0 and variance 1 and forget 1 % of that a step. For some 500
steps they are far from the truth: a network that is right in training then fails in validation and test.
Averages over fresh batches, at the weights as they are, are right after few steps and after many (Wu and
Johnson, "Rethinking 'Batch' in BatchNorm", 2021, call this precise batch normalization).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from experiment.data.arrays import Examples
from experiment.training.batches import pixels_of
from experiment.training.fused_normalization import fused
from experiment.training.programs import walk

# Of 60,000 images, a pass over so many takes about 1 % of an epoch.
EXAMPLES = 2048


class PopulationStatistics(keras.callbacks.Callback):
    """Set the moving mean and variance of each BatchNormalization layer before each validation.

    A frozen layer keeps its own. The examples are always the same, so a resumed run equals an unbroken one.

    Args:
        examples: the training set.
        batch_size: examples a batch, as in training.
        seed: draws the examples.
    """

    def __init__(self, examples: Examples, batch_size: int, seed: int) -> None:
        super().__init__()
        size = min(batch_size, len(examples))
        batches = max(1, min(EXAMPLES, len(examples)) // size)
        chosen = np.random.default_rng(seed).choice(len(examples), batches * size, replace=False)
        self._examples = examples
        self._batches = chosen.reshape(batches, size)

    def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """Average the statistics of the batches; what training averaged is overwritten."""
        layers = [layer for layer in walk(self.model) if _is_trained(layer)]
        if not layers:
            return
        momenta = [layer.momentum for layer in layers]
        try:
            for number, batch in enumerate(self._batches):
                for layer in layers:
                    layer.momentum = number / (number + 1)  # so that moving averages become plain ones
                with fused(layers):
                    self.model(pixels_of(self.model, self._examples.take(batch)), training=True)
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum


def _is_trained(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
