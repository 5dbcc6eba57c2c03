"""Uncompiled Keras models from parameters; they take float32 pixels in 0–1 and return logits."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers

from experiment.data.weights import find_weights
from experiment.training.augmentation import augmentation_layers
from experiment.training.backbones import build_backbone
from params.spec import GetParameter

# Called with (get_parameter, image_shape (H, W, C), classes); returns an uncompiled model over float32 pixels
# in 0–1, [N, …] of any shape that holds H·W·C values, with logits [N, classes].
ModelBuilder = Callable[[GetParameter, tuple[int, int, int], int], keras.Model]

# A convolutional network halves its images until they are at most so wide, and widens to so many times.
LAST_WIDTH, WIDEST = 8, 8


def build_mlp(get_parameter: GetParameter, image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Build the tutorial's network: two dense layers over float32 [N, H·W·C], logits [N, classes]."""
    height, width, channels = image_shape
    model = keras.Sequential([keras.Input((height * width * channels,), name="pixels")], name="mlp")
    if augmentation := augmentation_layers(get_parameter, channels):
        for layer in (layers.Reshape(image_shape), *augmentation):
            model.add(layer)
    for layer in (
        layers.Flatten(),
        layers.Dense(get_parameter("layer-1-size"), activation="relu", name="layer-1"),
        layers.Dense(get_parameter("layer-2-size"), activation="relu", name="layer-2"),
        layers.Dropout(get_parameter("dropout")),
        layers.Dense(classes, name="logits"),
    ):
        model.add(layer)
    return model


def build_cnn(get_parameter: GetParameter, image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Build a convolutional network over float32 [N, H, W, C], logits [N, classes].

    One convolution and a halving, as most of the arithmetic lies where images are large; then pairs of
    convolutions with twice the filters and a halving, until images are small: 5 convolutions for 28 × 28
    pixels, 7 for 64 × 64, 11 for 224 × 224.
    """
    model = keras.Sequential([keras.Input(image_shape, name="pixels")], name="cnn")
    for layer in augmentation_layers(get_parameter, image_shape[2]):
        model.add(layer)
    first, width, block = get_parameter("filters"), min(image_shape[:2]), 1
    _add_convolution(model, "1", first)
    while block == 1 or width > LAST_WIDTH:
        # Padded, so that a side of odd length keeps its last row.
        model.add(layers.MaxPooling2D(padding="same"))
        width = (width + 1) // 2
        for number in (1, 2):
            _add_convolution(model, f"{block + 1}-{number}", first * min(2**block, WIDEST))
        block += 1
    model.add(layers.Flatten())
    model.add(layers.Dropout(get_parameter("dropout")))
    model.add(layers.Dense(classes, name="logits"))
    return model


def build_pretrained(
    get_parameter: GetParameter, image_shape: tuple[int, int, int], classes: int
) -> keras.Model:
    """Build a frozen ImageNet backbone under a dense layer: float32 [N, H, W, C] to logits [N, classes].

    Raises:
        UserError: the backbone's weights cannot be had.
    """
    backbone = get_parameter("backbone")
    weights = find_weights(backbone, get_parameter("backbone-weights"))
    stack = [
        keras.Input(image_shape, name="pixels"),
        *augmentation_layers(get_parameter, image_shape[2]),
        build_backbone(backbone, weights, image_shape),
        layers.Dropout(get_parameter("dropout"), name="dropout"),
        layers.Dense(classes, name="logits"),
    ]
    return keras.Sequential(stack, name="pretrained")


def _add_convolution(model: keras.Sequential, name: str, filters: int) -> None:
    # No bias: BatchNormalization subtracts the mean, bias included, and adds its own offset.
    model.add(layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv-{name}"))
    model.add(layers.BatchNormalization(name=f"norm-{name}"))
    model.add(layers.ReLU())


MODELS: dict[str, ModelBuilder] = {"mlp": build_mlp, "cnn": build_cnn, "pretrained": build_pretrained}


def build_model(get_parameter: GetParameter, image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """Build the network that the parameter ``model`` names, for images [H, W, C] of so many classes."""
    return MODELS[get_parameter("model")](get_parameter, image_shape, classes)
