"""Compile, fit and evaluate a Keras classifier over arrays in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiment.data import Dataset, Examples

GetParameter = Callable[[str], Any]
EVALUATION_BATCH = 1000


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Loss and accuracy over every example once, and the probabilities float32 [N, classes]."""

    loss: float
    accuracy: float
    probabilities: np.ndarray


@dataclasses.dataclass(frozen=True)
class Training:
    """What ``fit`` did: Keras' history, how epochs were compiled, and why not otherwise."""

    history: keras.callbacks.History
    compiled: str
    notice: str | None = None


def compile_model(model: keras.Model, get_parameter: GetParameter) -> None:
    """Compile with the decay schedule acting through whichever optimizer is chosen."""
    schedule = keras.optimizers.schedules.ExponentialDecay(
        get_parameter("initial-lr"), get_parameter("decay-steps"), get_parameter("decay-rate")
    )
    model.compile(
        optimizer=keras.optimizers.get(
            {"class_name": get_parameter("optimizer"), "config": {"learning_rate": schedule}}
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def fit(
    model: keras.Model,
    dataset: Dataset,
    get_parameter: GetParameter,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    initial_epoch: int = 0,
    *,
    on_step_losses: Callable[[int, np.ndarray], None] | None = None,  # noqa: ARG001
) -> Training:
    """Train a compiled model; each epoch's order is drawn from (seed, epoch), resumed or not."""
    classes = len(dataset.class_names)
    batch_size, seed = get_parameter("batch-size"), get_parameter("seed")
    epoch = initial_epoch

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nonlocal epoch
        order = epoch_order(seed, epoch, len(dataset.train))
        epoch += 1
        for start in range(0, len(order), batch_size):
            batch = dataset.train.take(order[start : start + batch_size])
            yield prepare(model, batch, classes)

    signature = (
        tf.TensorSpec((None, *model.input_shape[1:]), tf.float32),
        tf.TensorSpec((None, classes), tf.float32),
    )
    steps = -(-len(dataset.train) // batch_size)
    training = tf.data.Dataset.from_generator(batches, output_signature=signature)
    training = training.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(2)
    history = model.fit(
        training,
        epochs=get_parameter("epochs"),
        initial_epoch=initial_epoch,
        validation_data=prepare(model, dataset.validation, classes),
        validation_batch_size=EVALUATION_BATCH,
        callbacks=list(callbacks),
        shuffle=False,
        verbose=0,
    )
    return Training(history, "off")


def evaluate(model: keras.Model, examples: Examples, classes: int) -> Evaluation:
    """Compute loss, accuracy and probabilities of a model that returns logits."""
    pixels, targets = prepare(model, examples, classes)
    logits = model.predict(pixels, batch_size=EVALUATION_BATCH, verbose=0)
    losses = keras.ops.categorical_crossentropy(targets, logits, from_logits=True)
    return Evaluation(
        loss=float(np.mean(losses, dtype=np.float64)),
        accuracy=float(np.mean(logits.argmax(-1) == examples.labels)),
        probabilities=np.asarray(keras.ops.softmax(logits)),
    )


def epoch_order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """Return the order of an epoch, int32 [examples]: a permutation drawn from (seed, epoch)."""
    return np.random.default_rng((seed, epoch)).permutation(examples).astype(np.int32)


def prepare(model: keras.Model, examples: Examples, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels float32 in 0–1, shaped as the model's input, and one-hot targets float32 [N, classes]."""
    pixels = examples.images.astype(np.float32) / 255
    return pixels.reshape(-1, *model.input_shape[1:]), np.eye(classes, dtype=np.float32)[examples.labels]
