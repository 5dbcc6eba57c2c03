"""Compile, fit and evaluate a Keras classifier over arrays in machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiment.data.arrays import Examples, StoredImages
from experiment.data.splits import Dataset
from experiment.system import machine
from experiment.training import compiled_epoch
from experiment.training.batches import pixels_and_targets
from experiment.training.epoch_programs import OFF
from experiment.training.normalization import PopulationStatistics
from experiment.training.plain_fit import EVALUATION_BATCH, OnStepLosses, StepLosses, plain_batches
from params.spec import GetParameter


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Loss and accuracy over every example once, and probabilities and logits, both float32 [N, classes]."""

    loss: float
    accuracy: float
    probabilities: np.ndarray
    logits: np.ndarray


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
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=get_parameter("label-smoothing")
        ),
        metrics=["accuracy"],
    )


def fit(
    model: keras.Model,
    dataset: Dataset,
    get_parameter: GetParameter,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    initial_epoch: int = 0,
    *,
    on_step_losses: OnStepLosses | None = None,
) -> Training:
    """Train a compiled model by Keras' own ``fit``, its epochs compiled as the parameter ``compile`` says.

    An epoch's order and every random number in it are drawn from (seed, epoch) or (seed, step): training
    resumed at ``initial_epoch``, with weights and optimizer restored, goes on as if it had never stopped.

    Args:
        model: compiled; one input of float pixels in 0–1, [N, …] of H·W·C values, and logits [N, classes].
        dataset: what to train on and to validate on after each epoch.
        get_parameter: reads ``batch-size``, ``epochs``, ``seed``, ``class-weights`` and ``compile``.
        callbacks: Keras callbacks; batch hooks fire once a compiled block, an epoch or about a second of one.
        initial_epoch: epochs that are done already.
        on_step_losses: called with the number of a first step, from 1, and the losses float [steps] from
            there on, before callbacks are told of the epoch's end.
    """
    batch_size, seed = get_parameter("batch-size"), get_parameter("seed")
    orders = _orders(seed, len(dataset.train), initial_epoch)
    callbacks = [
        *callbacks,
        _RandomLayersByEpoch(seed),
        PopulationStatistics(dataset.train, batch_size, seed),
    ]
    compiled = _way_to_compile(model, dataset, get_parameter("compile"))
    weights = class_weights(dataset) if get_parameter("class-weights") == "balanced" else None
    batches, notice = None, None
    try:
        if compiled != OFF:
            batches, notice = _try_to_compile(
                model, dataset, batch_size, seed, compiled, on_step_losses, orders, weights
            )
        if batches is None:
            compiled = OFF
            _release(model)
            batches = plain_batches(model, dataset, batch_size, orders)
            if on_step_losses:
                callbacks.append(StepLosses(on_step_losses, batch_size, len(dataset.train)))
        with machine.without_old_garbage():
            history = model.fit(
                batches[0],
                epochs=get_parameter("epochs"),
                initial_epoch=initial_epoch,
                validation_data=batches[1],
                callbacks=callbacks,
                # A compiled program has the weights among its inputs.
                class_weight=None if compiled != OFF or weights is None else dict(enumerate(weights)),
                shuffle=False,  # the orders do that
                verbose=0,
            )
    finally:
        _release(model)
    return Training(history, compiled, notice)


def _way_to_compile(model: keras.Model, dataset: Dataset, asked: str) -> str:
    """Return how epochs are compiled; XLA cannot call back to read images from disk, a graph can."""
    chosen = compiled_epoch.choose(model) if asked == "auto" else asked
    stays_on_disk = isinstance(dataset.train.images, StoredImages)
    return compiled_epoch.GRAPH if chosen == compiled_epoch.XLA and stays_on_disk else chosen


def evaluate(model: keras.Model, examples: Examples, classes: int) -> Evaluation:
    """Compute loss, accuracy and probabilities of a model that returns logits."""
    losses, logits = [], []
    size = compiled_epoch.evaluation_batch(examples, EVALUATION_BATCH)
    for start in range(0, len(examples), size):
        pixels, targets = pixels_and_targets(model, examples.take(slice(start, start + size)), classes)
        logits.append(np.asarray(model(pixels, training=False)))
        losses.append(np.asarray(keras.ops.categorical_crossentropy(targets, logits[-1], from_logits=True)))
    values = np.concatenate(logits)
    return Evaluation(
        loss=float(np.mean(np.concatenate(losses), dtype=np.float64)),
        accuracy=float(np.mean(values.argmax(-1) == examples.labels)),
        probabilities=np.asarray(keras.ops.softmax(values)),
        logits=values,
    )


def class_weights(dataset: Dataset) -> np.ndarray:
    """Return weights [classes] that give each class the same sum over the training set, 1 on average."""
    counts = np.bincount(dataset.train.labels, minlength=len(dataset.class_names))
    return (len(dataset.train) / (len(counts) * counts)).astype(keras.config.floatx())


def epoch_order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """Return the order of an epoch, int32 [examples]: a permutation drawn from (seed, epoch)."""
    return np.random.default_rng((seed, epoch)).permutation(examples).astype(np.int32)


def _try_to_compile(
    model: keras.Model,
    dataset: Dataset,
    batch_size: int,
    seed: int,
    compiled: str,
    on_step_losses: OnStepLosses | None,
    orders: Iterator[np.ndarray],
    weights: np.ndarray | None,
) -> tuple[tuple[tf.data.Dataset, tf.data.Dataset] | None, str | None]:
    """Put compiled programs in the place of Keras' own.

    Returns:
        Numbers of blocks for ``fit`` to count by, in training and validation; None with a sentence where the
        model cannot be compiled.
    """
    classes = len(dataset.class_names)
    try:
        build(model, *pixels_and_targets(model, dataset.train.take(slice(1)), classes))
        trainer = compiled_epoch.Trainer(
            model, dataset.train, classes, orders, batch_size, seed, compiled, on_step_losses, weights
        )
        model.test_function = compiled_epoch.Evaluator(model, dataset.validation, classes, compiled)
        model.train_function = trainer
    except Exception as error:  # tracing runs the model's own code: anything may come out of it
        return None, f"epochs of this model cannot be compiled, so plain fit trains it: {_first_line(error)}"
    return (tf.data.Dataset.range(trainer.blocks_per_epoch), tf.data.Dataset.range(1)), None


def _orders(seed: int, examples: int, epoch: int) -> Iterator[np.ndarray]:
    while True:
        yield epoch_order(seed, epoch, examples)
        epoch += 1


def build(model: keras.Model, pixels: np.ndarray, targets: np.ndarray) -> None:
    """Make the variables of weights, metrics and optimizer, which a compiled program can't."""
    logits = model(pixels, training=False)
    model.compute_loss(pixels, targets, logits)
    model.compute_metrics(pixels, targets, logits)
    model.optimizer.build(model.trainable_variables)
    model.reset_metrics()


def _release(model: keras.Model) -> None:
    """Give the model its own functions back."""
    model.train_function = model.test_function = None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"


class _RandomLayersByEpoch(keras.callbacks.Callback):
    """Sets the state of every random layer from (seed, epoch): a resumed run needs no other record of it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        for number, state in enumerate(compiled_epoch.random_states(self.model)):
            words = np.random.SeedSequence((self._seed, epoch, number)).generate_state(2)
            state.assign(words.astype(np.int64))
