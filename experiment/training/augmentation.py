"""Keras' own layers that change images by chance in training; the saved model has none of them.

What they draw follows from (seed, epoch): the trainer sets the state of each random layer as an epoch begins.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras import layers

from params.spec import GetParameter

LAYERS = (
    layers.RandomFlip,
    layers.RandomTranslation,
    layers.RandomRotation,
    layers.RandomZoom,
    layers.RandAugment,
    layers.RandomBrightness,
    layers.RandomContrast,
    layers.RandomSaturation,
    layers.RandomErasing,
)
# Of parameters, those after which an image is another one in every epoch; a mirrored image is one of two.
ALWAYS_NEW = (
    *("augment-shift", "augment-rotation", "augment-zoom"),
    *("augment-rand", "augment-colour", "augment-erase", "augment-mixup", "augment-cutmix"),
)
ERASED = (0.02, 0.33)  # part of an image: the range of Zhong et al., "Random Erasing", 2017
RAND_AUGMENT_CHANGES = 2  # of an image, as in Cubuk et al., "RandAugment", 2019


def augmentation_layers(get_parameter: GetParameter, channels: int) -> list[keras.layers.Layer]:
    """Return layers that change images float32 [N, H, W, channels] in 0–1, and in training alone."""
    return [*_moving(get_parameter), *_colouring(get_parameter, channels), *_erasing(get_parameter)]


def without_augmentation(model: keras.Model) -> keras.Model:
    """Return a compiled model that shares a model's weights and optimizer, without augmentation layers.

    Keras' random layers act wherever ``training=False`` is not said: a saved model must not depend on that.
    """
    if not any(type(layer) in LAYERS for layer in model.layers) or type(model) is not keras.Sequential:
        return model
    kept = [layer for layer in model.layers if type(layer) not in LAYERS]
    plain = keras.Sequential([keras.Input(model.input_shape[1:], name="pixels"), *kept], name=model.name)
    plain.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])
    return plain


def _moving(get_parameter: GetParameter) -> Iterator[keras.layers.Layer]:
    # `nearest` repeats the border: edges that only training pictures have would be learned.
    if get_parameter("augment-flip"):
        yield layers.RandomFlip("horizontal", name="flip")
    if shift := get_parameter("augment-shift"):
        yield layers.RandomTranslation(shift, shift, fill_mode="nearest", name="shift")
    if degrees := get_parameter("augment-rotation"):
        yield layers.RandomRotation(degrees / 360, fill_mode="nearest", name="rotation")
    if zoom := get_parameter("augment-zoom"):
        yield layers.RandomZoom((-zoom, 0.0), fill_mode="nearest", name="zoom")


def _colouring(get_parameter: GetParameter, channels: int) -> Iterator[keras.layers.Layer]:
    if strength := get_parameter("augment-rand"):
        yield layers.RandAugment((0.0, 1.0), RAND_AUGMENT_CHANGES, strength, name="rand")
    if strength := get_parameter("augment-colour"):
        yield layers.RandomBrightness(strength, (0.0, 1.0), name="brightness")
        yield layers.RandomContrast(strength, (0.0, 1.0), name="contrast")
        if channels == 3:
            # Keras' factor is 0 for grey, 0.5 for the colours as they are, 1 for the strongest.
            factor = ((1 - strength) / 2, (1 + strength) / 2)
            yield layers.RandomSaturation(factor, (0.0, 1.0), name="saturation")


def _erasing(get_parameter: GetParameter) -> Iterator[keras.layers.Layer]:
    if fraction := get_parameter("augment-erase"):
        yield layers.RandomErasing((fraction, fraction), ERASED, value_range=(0.0, 1.0), name="erase")
