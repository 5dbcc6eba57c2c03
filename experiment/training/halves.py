"""Whether the gradients of a step are computed in two halves of the batch, each on a thread of its own.

XLA lets threads share each product of a dense network, and they meet after every one. What does not depend on
each other it runs side by side: two halves meet where their gradients are added, once a step.
"""

from __future__ import annotations

from typing import Any

import keras

from experiment.system.keras_settings import has_gpu, threads
from experiment.training import programs

# Per example: adding gradients costs by weights, and what is saved goes by examples. At 200 to 900, epochs
# took 6 to 18 % less on two threads; at 3,700 and 5,200 they took 2 to 20 % more.
MOST_WEIGHTS = 2_000
# What these make of an example does not depend on the others of its batch.
_ROW_WISE = (
    *(keras.layers.InputLayer, keras.layers.Dense, keras.layers.Dropout, keras.layers.Flatten),
    *(keras.layers.Reshape, keras.layers.Rescaling, keras.layers.Activation, keras.layers.ReLU),
)


def parts_of_a_step(model: keras.Model, batch_size: int) -> int:
    """Return in how many parts, 1 or 2, XLA is to compute a model's steps of so many examples."""
    if threads() < 2 or batch_size % 2 or has_gpu():
        return 1
    if model.count_params() > MOST_WEIGHTS * batch_size or not programs.is_stock(model):
        return 1
    _, *operations = programs.operations(model)
    return 2 if all(map(_is_row_wise, operations)) else 1


def _is_row_wise(operation: Any) -> bool:
    if type(operation) not in _ROW_WISE or operation.activity_regularizer:
        return False
    activation = getattr(operation, "activation", None)
    return activation is None or activation.__module__.startswith("keras.")
