"""The head of a pretrained model, trained on features that its frozen backbone computes once an image.

While nothing random changes pixels, a frozen backbone says the same of an image in every epoch. So the head,
which shares its layers and its optimizer with the whole model, is trained on features instead, and an epoch
takes milliseconds. The whole model is what is saved.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from experiment.data import feature_cache
from experiment.data.arrays import Examples
from experiment.data.splits import Dataset
from experiment.data.weights import Weights, find_weights
from experiment.system.keras_settings import has_gpu
from experiment.training.augmentation import ALWAYS_NEW
from experiment.training.batches import scaled
from params.spec import GetParameter

# Sums of another batch size differ in their last bits: all features are computed by this one.
BATCH = 32

Progress = Callable[[str, int, int], None]
Notify = Callable[[str], None]
LookUp = Callable[..., tuple[np.ndarray, int]]


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
    notify: Notify,
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
    if notice := moves(get_parameter):
        return Stage(model, dataset, notice=notice)
    weights = find_weights(get_parameter("backbone"), get_parameter("backbone-weights"))
    look_up = functools.partial(feature_cache.look_up, notify=notify)
    backbone = model.layers[-3]
    computing = Features(backbone, _settings(backbone, weights), progress, look_up)
    return stage_on(computing, model, None, dataset, flips=get_parameter("augment-flip"))


def moves(get_parameter: GetParameter) -> str | None:
    """Return a notice where images change anew in every epoch, so that no features can be kept."""
    moving = [name for name in ALWAYS_NEW if get_parameter(name)]
    return _cost(moving) if moving else None


def stage_on(
    computing: Features, model: keras.Model, tail: keras.Model | None, dataset: Dataset, *, flips: bool
) -> Stage:
    """Return the stage that trains what comes behind some layers, on what those make of a set's images.

    Args:
        computing: of the layers.
        model: the whole one, compiled.
        tail: the backbone's layers behind them; None for none.
        dataset: images uint8.
        flips: whether half of the images are mirrored in training.
    """
    started = time.perf_counter()
    train = computing.of(dataset.train, mirrored=flips)
    validation = computing.of(dataset.validation)
    if flips:  # what chooses between two takes two; outside training it takes the first
        validation = dataclasses.replace(validation, images=np.stack([validation.images] * 2, axis=1))
    facts = {
        "features_s": time.perf_counter() - started,
        "features": computing.images,
        "features_from_cache": computing.kept,
    }
    top = _top(model, tail, train.images.shape[1:], flips)
    return Stage(top, dataclasses.replace(dataset, train=train, validation=validation), facts)


def _cost(moving: list[str]) -> str:
    return (
        f"{' and '.join(moving)} change{'s' if len(moving) == 1 else ''} pictures anew in every epoch, so "
        "features cannot be kept: each epoch runs the backbone over the whole training and validation set"
    )


def _top(model: keras.Model, tail: keras.Model | None, shape: tuple[int, ...], flips: bool) -> keras.Model:
    """Return the end of a whole model over features [N, …], or [N, 2, …] of which training takes either."""
    dropout, dense = model.layers[-2:]
    features = keras.Input(shape, name="features")
    chosen = _either(features) if flips else features
    top = keras.Model(features, dense(dropout(tail(chosen) if tail else chosen)), name="head")
    top.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"])
    return top


def _either(pairs: Any) -> Any:
    """Choose one of two arrays of features by chance in training, else the first, with stock layers.

    Dropout of ones is 0 or 2 in training and 1 elsewhere. Its masks follow from (seed, step), as all do.
    """
    one_each = pairs[(slice(None), 0, *[slice(1)] * (len(pairs.shape) - 2))]
    coin = layers.Dropout(0.5, name="flip")(ops.ones_like(one_each))
    return ops.where(coin > 1.5, pairs[:, 1], pairs[:, 0])


def compute_all(
    _settings: Sequence[Any],
    contents: np.ndarray,
    _shape: tuple[int, ...],
    compute: Callable[[np.ndarray, int], np.ndarray],
) -> tuple[np.ndarray, int]:
    """Do as ``feature_cache.look_up`` does, without a cache: what is large is not worth its disk."""
    _, firsts, places = np.unique(contents, return_index=True, return_inverse=True)
    return compute(firsts, 0)[places], 0


class Features:
    """What frozen layers make of examples, and how many of those had to be computed.

    Args:
        backbone: the layers.
        settings: what features depend on beside images and mirroring, where they are kept.
        progress: told of what is computed, how many are done, of how many.
        look_up: that of ``feature_cache``, told whom to notify, or ``compute_all``.
    """

    def __init__(
        self, backbone: keras.Model, settings: Sequence[Any], progress: Progress, look_up: LookUp
    ) -> None:
        self._progress = progress
        self._look_up = look_up
        self._shape = tuple(backbone.output_shape[1:])
        self._settings = settings
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
        return dataclasses.replace(examples, images=np.stack(sides, axis=1) if mirrored else sides[0])

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
        features, kept = self._look_up(settings, contents, self._shape, compute)
        self.images += total
        self.kept += kept
        return features


def _settings(backbone: keras.Model, weights: Weights) -> list[Any]:
    """Return what features depend on beside pixels; the number of threads changes no bit of them."""
    device = "GPU" if has_gpu() else "CPU"
    shape = list(backbone.input_shape[1:])
    return [weights.backbone, weights.sha256, shape, BATCH, keras.__version__, tf.__version__, device]
