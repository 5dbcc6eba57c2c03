"""Uncompiled Keras models from parameters; they take float32 pixels in 0–1 and return logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

GetParameter = Callable[[str], Any]
ModelBuilder = Callable[[GetParameter, tuple[int, int, int], int], keras.Model]


def build_mlp(get_parameter: GetParameter, image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Build the tutorial's network: two dense layers over float32 [N, H·W·C], logits [N, classes]."""
    height, width, channels = image_shape
    return keras.Sequential(
        [
            keras.Input((height * width * channels,), name="pixels"),
            layers.Flatten(),
            layers.Dense(get_parameter("layer-1-size"), activation="relu", name="layer-1"),
            layers.Dense(get_parameter("layer-2-size"), activation="relu", name="layer-2"),
            layers.Dropout(get_parameter("dropout")),
            layers.Dense(classes, name="logits"),
        ],
        name="mlp",
    )


def build_cnn(get_parameter: GetParameter, image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Build a small convolutional network over float32 [N, H, W, C], logits [N, classes]."""
    model = keras.Sequential([keras.Input(image_shape, name="pixels")], name="cnn")
    for block, filters in enumerate((get_parameter("filters"), 2 * get_parameter("filters")), 1):
        for layer in (1, 2):
            model.add(layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv-{block}-{layer}"))
            model.add(layers.BatchNormalization(name=f"norm-{block}-{layer}"))
            model.add(layers.ReLU())
        model.add(layers.MaxPooling2D(padding="same"))
    model.add(layers.Flatten())
    model.add(layers.Dropout(get_parameter("dropout")))
    model.add(layers.Dense(classes, name="logits"))
    return model


MODELS: dict[str, ModelBuilder] = {"mlp": build_mlp, "cnn": build_cnn}


def build_model(get_parameter: GetParameter, image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Build the network that the parameter ``model`` names, for images [H, W, C] of so many classes."""
    return MODELS[get_parameter("model")](get_parameter, image_shape, classes)
