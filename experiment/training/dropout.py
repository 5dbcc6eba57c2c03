"""Dropout masks as a function of (seed, layer, step) alone: cheap under XLA, and the same after a resume."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

# Outside XLA a CPU has no kernel for threefry; philox is within XLA five times slower than threefry.
XLA_ALGORITHM, GRAPH_ALGORITHM = "threefry", "philox"
_part = (0, 1)


def is_dropout(layer: keras.layers.Layer) -> bool:
    """Tell whether a layer is stock Dropout; its subclasses draw in ways of their own."""
    return type(layer) is keras.layers.Dropout


def precision(rate: float) -> int:
    """Return how many random bits a unit decide on a rate: none for 0, 8 for a multiple of 1/256, else 32."""
    return 0 if rate == 0 else 8 if rate * 256 == int(rate * 256) else 32


@contextlib.contextmanager
def part_of_batch(number: int, parts: int) -> Iterator[None]:
    """While one of a batch's equal parts is traced, let masks be that part of the whole batch's."""
    global _part
    before, _part = _part, (number, parts)
    try:
        yield
    finally:
        _part = before


def masked_call(
    layer: Any, rate: tf.Tensor, seed: tf.Tensor, number: int, iterations: Any, algorithm: str
) -> Callable[..., tf.Tensor]:
    """Return what takes the place of a Dropout layer's ``call`` while a program is traced.

    XLA on a CPU takes 1.3 s an epoch for TensorFlow's default generator and 9 ms for threefry.

    Args:
        layer: gives the shape of its noise, and the ``precision`` of its rate.
        rate: float [], the fraction of units dropped; an input of the program.
        seed: int32 [].
        number: of the layer in its model.
        iterations: the optimizer's count of steps.
        algorithm: of the random numbers.
    """
    bits = precision(layer.rate)

    def call(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training or not bits:
            return inputs
        noise_shape = layer.noise_shape or (None,) * len(inputs.shape)
        part, parts = (0, 1) if noise_shape[0] else _part
        shape = _noise_shape(inputs, noise_shape, parts)
        step = tf.cast(iterations.value, tf.int32)
        # Multiples of the golden ratio's bits lie far apart, so that layers of one seed draw unlike masks.
        key = tf.stack([tf.bitwise.bitwise_xor(seed, number * 0x9E3779B1 & 0x7FFFFFFF), step])
        # All of the batch's, for each part anew: XLA computes once what is asked for twice.
        keep = _keep_mask(shape, key, rate, bits, algorithm)
        size = shape[0] // parts
        keep = keep[part * size : (part + 1) * size]
        return tf.where(keep, inputs / tf.cast(1 - rate, inputs.dtype), tf.zeros_like(inputs))

    return call


def _keep_mask(shape: tf.Tensor, key: tf.Tensor, rate: tf.Tensor, bits: int, algorithm: str) -> tf.Tensor:
    """Return a mask bool of a shape, true with probability 1 − rate."""

    def draw(size: Any) -> tf.Tensor:
        return tf.random.stateless_uniform(size, key, minval=None, maxval=None, dtype=tf.int32, alg=algorithm)

    # In float64, as float32 cannot tell 2^32 steps apart.
    threshold = tf.round(tf.cast(rate, tf.float64) * 2.0**bits)
    if bits == 8:
        # One draw of 32 bits decides on four units: drawing is what a mask costs.
        count = tf.reduce_prod(shape)
        bytes_ = tf.reshape(tf.bitcast(draw([(count + 3) // 4]), tf.uint8), [-1])[:count]
        return tf.reshape(bytes_ >= tf.cast(threshold, tf.uint8), shape)
    # The draws are signed, from -2^31 on, and so is the threshold.
    return draw(shape) >= tf.cast(threshold - 2.0**31, tf.int32)


def _noise_shape(inputs: tf.Tensor, noise_shape: tuple[int | None, ...], parts: int) -> tf.Tensor:
    """Return the shape int32 of a mask for the whole of a batch, of which inputs are one of its parts."""
    sizes = [inputs.shape[axis] or tf.shape(inputs)[axis] for axis in range(len(noise_shape))]
    sizes[0] *= parts
    return tf.stack([sizes[axis] if size is None else size for axis, size in enumerate(noise_shape)])
