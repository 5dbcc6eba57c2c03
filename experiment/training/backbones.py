"""Networks that were trained on ImageNet, from float32 pixels in 0–1 to features, frozen.

Each network's own scaling is a stock layer inside, so that a saved model needs nothing but Keras and pixels.
Mixed-up scaling is the classic silent failure: three of these networks expect −1…1, one 0–255, and one 0–255
in the order blue, green, red, less ImageNet's means.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import layers

from experiment.data import downloads, efficientnet_lite0
from experiment.data.weights import LEAST_SIDE, LITE0, Weights
from experiment.errors import UserError
from experiment.system.names import counted

Tensor: TypeAlias = keras.KerasTensor
Shape = tuple[int, int, int]


def build_backbone(backbone: str, weights: Weights, image_shape: Shape) -> keras.Model:
    """Build a backbone with its weights: float32 [N, H, W, C] in 0–1 to pooled features float32 [N, F].

    Grey pictures (C = 1) are repeated in three channels inside. The model is frozen (``trainable`` is False)
    and no layer acts by chance, so it gives the same in training. Its layers are flat, named as Keras names
    them, and can be saved and loaded by plain Keras.

    Raises:
        UserError: the file is of another network, damaged, or has changed since it was found; or pictures are
            smaller than ``LEAST_SIDE``, or of neither 1 nor 3 channels.
    """
    height, width, channels = image_shape
    if min(height, width) < LEAST_SIDE[backbone] or channels not in (1, 3):
        raise UserError(
            f"pictures of {height} × {width} pixels and {counted(channels, 'channel')} do not fit the "
            f"backbone {backbone}: {LEAST_SIDE[backbone]} × {LEAST_SIDE[backbone]} or more, "
            "and 1 or 3 channels, do"
        )
    if not weights.path.is_file() or downloads.digest(weights.path, "sha256") != weights.sha256:
        raise UserError(f"'{weights.path}' has changed since the run began: start the run again")
    pixels = keras.Input(image_shape, name="pixels")
    colours = layers.Concatenate(name="grey_to_colour")([pixels] * 3) if channels == 1 else pixels
    model = keras.Model(pixels, NETWORKS[backbone](colours, (height, width, 3)), name=backbone)
    if any(not isinstance(each, layers.Layer) for each in model.operations):
        model = keras.models.clone_model(model, call_function=_as_layer)
    if backbone == LITE0:
        arrays = efficientnet_lite0.read_weights(weights.path)
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(arrays[layer.name])
    else:
        _load(model, weights)
    for layer in model.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0  # EfficientNetB0 drops whole blocks in training, frozen or not
    model.trainable = False
    return model


def first_of_block(model: keras.Model, block: str) -> int:
    """Return where in ``model.layers`` a block of a backbone begins.

    All layers of this block and of later ones are there or behind, and ``model.layers[index].input`` is the
    one tensor that goes into them: a backbone can be cut there.
    """
    return next(index for index, layer in enumerate(model.layers) if layer.name.startswith(block))


def _lite0(colours: Tensor, _shape: Shape) -> Tensor:
    x = layers.Rescaling(2.0, -1.0, name="scaling")(colours)
    x = _convolution(x, "stem_conv", efficientnet_lite0.STEM, 3, 2)
    x = _norm(x, "stem", activation=True)
    for block in efficientnet_lite0.blocks():
        inside, name = x, block.name
        if block.expanded != block.inputs:
            inside = _convolution(inside, f"{name}_expand_conv", block.expanded, 1)
            inside = _norm(inside, f"{name}_expand", activation=True)
        inside = layers.DepthwiseConv2D(
            block.kernel, block.stride, "same", use_bias=False, name=f"{name}_dwconv"
        )(inside)
        inside = _norm(inside, name, activation=True)
        inside = _convolution(inside, f"{name}_project_conv", block.filters, 1)
        inside = _norm(inside, f"{name}_project", activation=False)
        repeats = block.stride == 1 and block.inputs == block.filters
        x = layers.Add(name=f"{name}_add")([inside, x]) if repeats else inside
    x = _norm(_convolution(x, "top_conv", efficientnet_lite0.TOP, 1), "top", activation=True)
    return layers.GlobalAveragePooling2D(name="avg_pool")(x)


def _convolution(x: Tensor, name: str, filters: int, kernel: int, stride: int = 1) -> Tensor:
    return layers.Conv2D(filters, kernel, stride, "same", use_bias=False, name=name)(x)


def _norm(x: Tensor, name: str, *, activation: bool) -> Tensor:
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_activation")(x) if activation else x


def _mobilenet_v2(colours: Tensor, shape: Shape) -> Tensor:
    return _features(keras.applications.MobileNetV2, _to_minus_one(colours), shape)


def _mobilenet_v3_small(colours: Tensor, shape: Shape) -> Tensor:
    build = keras.applications.MobileNetV3Small
    return _features(build, _to_minus_one(colours), shape, include_preprocessing=False)


def _efficientnet_b0(colours: Tensor, shape: Shape) -> Tensor:
    # Its own first layer divides by 255.
    scaled = layers.Rescaling(255.0, name="scaling")(colours)
    return _features(keras.applications.EfficientNetB0, scaled, shape)


def _resnet50(colours: Tensor, shape: Shape) -> Tensor:
    # ImageNet's means, red, green, blue; its first kernel is turned to that order.
    scaled = layers.Rescaling(255.0, (-123.68, -116.779, -103.939), name="scaling")(colours)
    return _features(keras.applications.ResNet50, scaled, shape)


def _to_minus_one(colours: Tensor) -> Tensor:
    return layers.Rescaling(2.0, -1.0, name="scaling")(colours)


def _features(build: Callable[..., keras.Model], scaled: Tensor, shape: Shape, **options: bool) -> Tensor:
    network = build(
        include_top=False, weights=None, input_tensor=scaled, input_shape=shape, pooling="avg", **options
    )
    return network.output


def _as_layer(operation: Callable[..., Tensor], *arguments: Any, **options: Any) -> Tensor:
    """Call a layer of a network on its input, or the layer that does the same as an operation x + c or x · c.

    MobileNetV3's hard sigmoids are written with such operations: Keras cannot load them from ``.h5``, and
    they are missing in ``model.layers``.
    """
    if isinstance(operation, layers.Layer):
        return operation(*arguments, **options)
    x, constant = arguments
    scale, offset = {"Add": (1.0, constant), "Multiply": (constant, 0.0)}[type(operation).__name__]
    return layers.Rescaling(scale, offset)(x)


def _turn_colours(model: keras.Model) -> None:
    """Let ResNet50 take red, green, blue: its weights were trained on blue, green, red."""
    layer = model.get_layer("conv1_conv")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel[:, :, ::-1], bias])


def _deviate_twice(model: keras.Model) -> None:
    """Divide by the root of ImageNet's deviations once more, as EfficientNetB0 was trained.

    Keras adds a layer for that, but only where it fetches ImageNet's weights itself: built with
    ``weights=None`` or a path, the network gets pixels of another scale, and says nothing.
    """
    (layer,) = (each for each in model.layers if isinstance(each, layers.Normalization))
    mean, variance, count = layer.get_weights()
    layer.set_weights([mean, variance * np.array([0.229, 0.224, 0.225], variance.dtype), count])
    layer.finalize_state()  # set_weights alone leaves the old values at work


NETWORKS: dict[str, Callable[[Tensor, Shape], Tensor]] = {
    LITE0: _lite0,
    "mobilenet-v2": _mobilenet_v2,
    "mobilenet-v3-small": _mobilenet_v3_small,
    "efficientnet-b0": _efficientnet_b0,
    "resnet50": _resnet50,
}
ADJUSTMENTS = {"efficientnet-b0": _deviate_twice, "resnet50": _turn_colours}


def _load(model: keras.Model, weights: Weights) -> None:
    """Load a file of Keras' into a network of its own, adjusted to pixels in 0–1."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each layer that does not fit
            model.load_weights(weights.path)
    except Exception as error:  # Keras raises nearly anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"'{weights.path}' holds weights of another network than {weights.backbone} without its top: "
            f"{reason}"
        ) from None
    if adjust := ADJUSTMENTS.get(weights.backbone):
        adjust(model)
