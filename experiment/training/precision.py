"""Mixed precision: 16 bits inside the steps of training, float32 everywhere else.

Keras' way is a policy of the whole process while a model is built; validation, prediction and the saved file
then compute in 16 bits, too, and so does the next model. Here layers have that policy only while a step is
traced: what is validated, tested and saved is a float32 model that runs anywhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from experiment.system.arithmetic import check_precision
from experiment.system.keras_settings import has_gpu

FULL = "float32"
_SCALED = "mixed_float16"  # its least number is 6e-8: gradients below it would be lost


def check_device(precision: str) -> None:
    """Check a precision once more, now that it is known whether TensorFlow can use a GPU that is there.

    Raises:
        UserError: it cannot, and the processor would emulate the precision.
    """
    check_precision(precision, gpu=has_gpu())


def with_loss_scale(optimizer: keras.optimizers.Optimizer, precision: str) -> keras.optimizers.Optimizer:
    """Return an optimizer for steps in a precision: in float16, inside Keras' ``LossScaleOptimizer``."""
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == _SCALED else optimizer


def without_loss_scale(optimizer: Any) -> Any:
    """Return the optimizer inside a ``LossScaleOptimizer``, or the one that has none around it."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def lowered(model: keras.Model, precision: str) -> list[keras.layers.Layer]:
    """Return the layers of a model that compute in 16 bits in training.

    As in Keras these are those that were given no dtype of their own. The layer that makes the logits stays
    in float32, as the loss does, and so do layers that move or change images: with the 8 significant bits of
    bfloat16, positions in a large image are wrong by a pixel.
    """
    if precision == FULL:
        return []
    default, last = keras.config.dtype_policy(), _last(model)
    # A layer without a dtype has the very object; one with a dtype of its own has an equal one at most.
    own = [layer for layer in _layers(model) if layer.dtype_policy is default]
    return [layer for layer in own if layer is not last and not _changes_images(layer)]


def places(model: keras.Model, precision: str) -> list[int]:
    """Return the numbers of the lowered layers among all: a configuration does not tell which they are."""
    low = set(map(id, lowered(model, precision)))
    return [number for number, layer in enumerate(_layers(model)) if id(layer) in low]


@contextlib.contextmanager
def computing_in(model: keras.Model, precision: str) -> Iterator[None]:
    """While a step is traced, let layers compute in a precision; their variables are float32 in each."""
    layers = lowered(model, precision)
    before = [layer.dtype_policy for layer in layers]
    policy = keras.DTypePolicy(precision)
    try:
        for layer in layers:
            layer.dtype_policy = policy
        yield
    finally:
        for layer, stock in zip(layers, before, strict=True):
            layer.dtype_policy = stock


def called_in(function: Callable[..., Any], model: keras.Model, precision: str) -> Callable[..., Any]:
    """Return a function that is called, and so traced, while a model's layers compute in a precision."""

    def call(*arguments: Any) -> Any:
        with computing_in(model, precision):
            return function(*arguments)

    return call


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    # Private in Keras, which has no other way to layers inside layers, such as those of attention.
    layers: list[keras.layers.Layer] = list(model._flatten_layers())
    return layers


def _last(model: Any) -> Any:
    """Return the layer that a model's logits come from; None where its graph is not known."""
    while getattr(model, "outputs", None):
        model = model.outputs[0]._keras_history.operation
    return model


def _changes_images(layer: keras.layers.Layer) -> bool:
    # By module: Keras has some thirty such layers, without a common public class.
    return ".image_preprocessing." in type(layer).__module__
