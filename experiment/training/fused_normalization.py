"""BatchNormalization over images in one pass where Keras takes ten: for programs that run as a plain graph.

Keras computes moments, scale and offset each by an operation of its own, and TensorFlow their gradients: on a
CPU that took as long as the convolutions did. TensorFlow's fused operation computes the same; oneDNN runs it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

# cuDNN's lower limit, which TensorFlow holds everywhere.
LEAST_EPSILON = 1.001e-5


@contextlib.contextmanager
def fused(layers: Iterable[keras.layers.Layer]) -> Iterator[None]:
    """While a program is traced, let those of the layers that can be fused be computed so."""
    found = [layer for layer in layers if _can_be_fused(layer)]
    for layer in found:
        layer.call = _fused_call(layer)
    try:
        yield
    finally:
        for layer in found:
            # What was set on the object hides the class's method no longer.
            del layer.call


def _can_be_fused(layer: Any) -> bool:
    """Tell whether a layer is stock BatchNormalization over the channels of images, in single precision."""
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.built
        and layer.input_spec.ndim == 4
        and layer.axis in (3, -1)
        and layer.epsilon >= LEAST_EPSILON
        and layer.variable_dtype == "float32"
        and not (layer.renorm or layer.synchronized)
    )


def _fused_call(layer: Any) -> Callable[..., tf.Tensor]:
    """Return what takes the place of a BatchNormalization layer's ``call``."""

    def call(inputs: tf.Tensor, training: bool = False, mask: Any = None) -> tf.Tensor:
        if mask is not None:
            return type(layer).call(layer, inputs, training=training, mask=mask)
        channels = layer.moving_mean.shape
        uses_batch = bool(training and layer.trainable)
        known = {} if uses_batch else {"mean": layer.moving_mean, "variance": layer.moving_variance}
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            # Keras turns what is less precise into float32 first; for bfloat16 the operation does so itself.
            inputs if inputs.dtype == tf.bfloat16 else tf.cast(inputs, tf.float32),
            layer.gamma if layer.scale else tf.ones(channels),
            layer.beta if layer.center else tf.zeros(channels),
            **known,
            epsilon=layer.epsilon,
            is_training=uses_batch,
        )
        if uses_batch:
            # The operation estimates a population's variance; Keras averages that of the batch itself.
            count = tf.cast(tf.size(inputs) // channels[0], tf.float32)
            _average(layer.moving_mean, mean, layer.momentum)
            _average(layer.moving_variance, variance * tf.maximum(count - 1, 1) / count, layer.momentum)
        return tf.cast(outputs, layer.compute_dtype)

    return call


def _average(variable: Any, value: tf.Tensor, momentum: float) -> None:
    variable.assign(variable * momentum + value * (1.0 - momentum))
