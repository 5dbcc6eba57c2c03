"""Batches inside a compiled program: from images in memory, or from pictures that stay on disk."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiment.data.arrays import Examples, StoredImages

Batch = tuple[tf.Tensor, tf.Tensor]


def input_shape(model: keras.Model, examples: Examples) -> tuple[int, ...]:
    """Return the shape of a model's input, without the batch; the images' own where it was not declared."""
    declared = getattr(model, "input_shape", None) if model.built else None
    return tuple(declared[1:]) if declared else tuple(examples.images.shape[1:])


class Source:
    """Where a program's batches come from.

    Images in memory are an input, so that another set of the same size needs no other program. Those on disk
    are read by a callback out of the program, which XLA has not; such a program is ``shareable`` with none.
    """

    def __init__(self, model: keras.Model, examples: Examples) -> None:
        self._shape = input_shape(model, examples)
        self.image_shape = tuple(examples.images.shape[1:])
        self._stored = examples.images if isinstance(examples.images, StoredImages) else None
        self.shareable = self._stored is None

    def inputs(self, examples: Examples) -> tuple[tf.Tensor, tf.Tensor]:
        """Return a program's inputs, images uint8 and labels int32 [N]; a program that is kept keeps none."""
        shape = [0] if self._stored else [len(examples), *self._shape]
        images = tf.zeros(shape, tf.uint8) if self._stored else examples.images.reshape(shape)
        return tf.convert_to_tensor(images), tf.convert_to_tensor(examples.labels)

    def gather(self, images: tf.Tensor, labels: tf.Tensor, indices: tf.Tensor) -> Batch:
        """Return images uint8, shaped as the model's input, and labels at indices int32 [M]."""
        if self._stored is None:
            return tf.gather(images, indices), tf.gather(labels, indices)
        read = tf.numpy_function(self._stored.__getitem__, [indices], tf.uint8)
        return tf.reshape(read, [indices.shape[0], *self._shape]), tf.gather(labels, indices)

    def window(self, images: tf.Tensor, labels: tf.Tensor, start: tf.Tensor, size: int) -> Batch:
        """Return so many images and labels from a start on."""
        if self._stored is not None:
            return self.gather(images, labels, start + tf.range(size))
        rest: list[Any] = [0] * len(self._shape)
        return tf.slice(images, [start, *rest], [size, *self._shape]), tf.slice(labels, [start], [size])


def scaled(images: Any) -> Any:
    """Return images uint8 0–255 as floats in 0–1, as what they were: array, tensor or symbol.

    What is float already, the features that stand in the place of images, is left as it is.
    """
    kind = keras.config.floatx()
    values = images.astype(kind) if isinstance(images, np.ndarray) else keras.ops.cast(images, kind)
    return values / 255 if keras.backend.standardize_dtype(images.dtype) == "uint8" else values


def pixels_of(model: keras.Model, examples: Examples) -> np.ndarray:
    """Return images as a model takes them: floats in 0–1, or features; shaped as its input."""
    return scaled(examples.images[:]).reshape(-1, *input_shape(model, examples))


def pixels_and_targets(model: keras.Model, examples: Examples, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels in 0–1, shaped as the model's input, and one-hot targets [N, classes], floats."""
    targets = np.eye(classes, dtype=keras.config.floatx())[examples.labels]
    return pixels_of(model, examples), targets


def prepare(images: tf.Tensor, labels: tf.Tensor, classes: int) -> Batch:
    """Return pixels in 0–1 and one-hot targets, both floats, inside a program."""
    return scaled(images), tf.one_hot(labels, classes, dtype=keras.config.floatx())
