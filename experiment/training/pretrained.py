"""The head of a pretrained model, trained on features that its frozen backbone computes once an image.

While nothing random changes pixels, a frozen backbone says the same of an image in every epoch. So the head,
which shares its layers and its optimizer with the whole model, is trained on features instead, and an epoch
takes milliseconds. The whole model is what is saved.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from experiment.data import feature_cache
from experiment.data.arrays import Dataset, Examples
from experiment.data.weights import Weights, find_weights
from experiment.training.batches import scaled
from experiment.training.models import GetParameter

# Sums of another batch size differ in their last bits: all features are computed by this one.
BATCH = 32

Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class Stage:
    """What ``fit`` is given in the place of a whole model and its images.

    ``facts`` tell of the features: seconds, how many images have them, of how many they were kept.
    """

    model: keras.Model
    dataset: Dataset
    facts: Mapping[str, float] = dataclasses.field(default_factory=dict)
    notice: str | None = None


def head_stage(
    model: keras.Model,
    dataset: Dataset,
    get_parameter: GetParameter,
    progress: Progress,
    notify: Callable[[str], None],
) -> Stage:
    """Return the head of a whole model, and features in the place of images, from the cache where it can.

    Where images are shifted or turned by chance, there are no features to keep: then the stage is the whole
    model on its images, with a notice.

    Args:
        model: the whole one, compiled; training the head trains it.
        dataset: images uint8.
        get_parameter: reads the parameters of backbone and augmentation.
        progress: told of what is computed, how many are done, of how many.
        notify: called with what goes wrong with the cache.
    """
    moving = [name for name in ("augment-shift", "augment-rotation") if get_parameter(name)]
    if moving:
        return Stage(model, dataset, notice=_cost(moving))
    backbone, flips = model.layers[-3], bool(get_parameter("augment-flip"))
    weights = find_weights(get_parameter("backbone"), get_parameter("backbone-weights"))
    computing = _Features(backbone, weights, progress, notify)
    started = time.perf_counter()
    train = computing.of(dataset.train, mirrored=flips)
    validation = computing.of(dataset.validation)
    if flips:  # a head that chooses between two takes two; outside training it takes the first
        validation = dataclasses.replace(validation, images=np.stack([validation.images] * 2, axis=1))
    facts = {
        "features_s": time.perf_counter() - started,
        "features": computing.images,
        "features_from_cache": computing.kept,
    }
    head = _head(model, train.images.shape[1:])
    return Stage(head, dataclasses.replace(dataset, train=train, validation=validation), facts)


def _cost(moving: list[str]) -> str:
    return (
        f"{' and '.join(moving)} change{'s' if len(moving) == 1 else ''} pictures anew in every epoch, so "
        "features cannot be kept: each epoch runs the backbone over the whole training and validation set"
    )


def _head(model: keras.Model, shape: tuple[int, ...]) -> keras.Model:
    """Return a model over features [N, F], or over two [N, 2, F] of which training takes either by chance."""
    dropout, dense = model.layers[-2:]
    features = keras.Input(shape, name="features")
    chosen = features if len(shape) == 1 else _either(features)
    head = keras.Model(features, dense(dropout(chosen)), name="head")
    head.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])
    return head


def _either(pairs: Any) -> Any:
    """Choose one of two vectors by chance in training, else the first, with stock layers.

    Dropout of ones is 0 or 2 in training and 1 elsewhere. Its masks follow from (seed, step), as all do.
    """
    coin = layers.Dropout(0.5, name="flip")(ops.ones_like(pairs[:, 0, :1]))
    return ops.where(coin > 1.5, pairs[:, 1], pairs[:, 0])


class _Features:
    """Features of examples by one backbone, and how many of them had to be computed."""

    def __init__(
        self, backbone: keras.Model, weights: Weights, progress: Progress, notify: Callable[[str], None]
    ) -> None:
        self._progress = progress
        self._notify = notify
        self._shape = tuple(backbone.output_shape[1:])
        self._settings = _settings(backbone, weights)
        self.images = self.kept = 0

        @tf.function(autograph=False)
        def run(images: tf.Tensor) -> tf.Tensor:
            return backbone(scaled(images), training=False)

        self._run = run

    def of(self, examples: Examples, mirrored: bool = False) -> Examples:
        """Return features float32 [N, F] in the place of images; [N, 2, F] with those of mirrored ones."""
        contents = feature_cache.contents_of(examples.images)
        flips = (False, True) if mirrored else (False,)
        sides = [self._side(examples.images, contents, flip) for flip in flips]
        return Examples(np.stack(sides, axis=1) if mirrored else sides[0], examples.labels)

    def _side(self, images: Any, contents: np.ndarray, flip: bool) -> np.ndarray:
        total = len(np.unique(contents))

        def compute(rows: np.ndarray, done: int) -> np.ndarray:
            features = np.empty((len(rows), *self._shape), np.float32)
            for start in range(0, len(rows), BATCH):
                batch = np.asarray(images[rows[start : start + BATCH]])
                size = len(batch)
                full = np.concatenate([batch, np.repeat(batch[-1:], BATCH - size, axis=0)])
                features[start : start + size] = self._run(full[:, :, ::-1] if flip else full)[:size]
                self._progress("features of mirrored" if flip else "features of", done + start + size, total)
            return features

        settings = [*self._settings, "mirrored" if flip else "as it is"]
        features, kept = feature_cache.look_up(settings, contents, self._shape, compute, self._notify)
        self.images += total
        self.kept += kept
        return features


def _settings(backbone: keras.Model, weights: Weights) -> list[Any]:
    """Return what features depend on beside pixels; on a CPU, the number of threads changes no bit of them."""
    device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    shape = list(backbone.input_shape[1:])
    return [weights.backbone, weights.sha256, shape, BATCH, keras.__version__, tf.__version__, device]
