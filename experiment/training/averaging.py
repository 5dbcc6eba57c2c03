"""The moving average of the weights, which optimizers keep with the parameter ``ema``.

Keras validates the weights themselves during training and takes the average at its end. Here the average is
validated, so that metrics, the best epoch and the saved model are of the same weights. Keras'
``SwapEMAWeights`` does that by adding and subtracting, which rounds; this puts back the bits that were there.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from experiment.training.precision import without_loss_scale


class AveragedWeights(keras.callbacks.Callback):
    """Put the average in the place of the weights while the model is validated."""

    def __init__(self) -> None:
        super().__init__()
        self._trained: list[np.ndarray] = []

    def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """Take the weights out, and put the average in."""
        variables = self.model.trainable_variables
        self._trained = [variable.numpy() for variable in variables]
        for variable, average in zip(variables, _averages(self.model), strict=True):
            variable.assign(average)

    def on_test_end(self, logs: Any = None) -> None:  # noqa: ARG002
        """Put back what is trained."""
        for variable, value in zip(self.model.trainable_variables, self._trained, strict=True):
            variable.assign(value)


def is_averaged(model: keras.Model) -> bool:
    """Tell whether the optimizer keeps a moving average of the weights."""
    return bool(without_loss_scale(model.optimizer).use_ema)


def validated_weights(model: keras.Model) -> list[np.ndarray]:
    """Return a model's weights as they are validated, in the order of ``get_weights``."""
    if not is_averaged(model):
        weights: list[np.ndarray] = model.get_weights()
        return weights
    pairs = zip(model.trainable_variables, _averages(model), strict=True)
    averages = {id(variable): average for variable, average in pairs}
    return [averages.get(id(weight), weight).numpy() for weight in model.weights]


def _averages(model: keras.Model) -> list[Any]:
    # Private in Keras, whose own callback takes it from there as well.
    averages: list[Any] = without_loss_scale(model.optimizer)._model_variables_moving_average
    return averages
