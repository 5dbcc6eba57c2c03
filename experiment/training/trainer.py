"""Compile, fit and evaluate a Keras classifier over arrays in memory."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiment.data.arrays import Dataset, Examples, StoredImages
from experiment.system import machine as memory
from experiment.training import compiled_epoch
from experiment.training.batches import input_shape, pixels_of
from experiment.training.compiled_epoch import OFF
from experiment.training.normalization import PopulationStatistics

GetParameter = Callable[[str], Any]
OnStepLosses = Callable[[int, np.ndarray], None]
EVALUATION_BATCH = 1000


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
    epochs: int | None = None,
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
        epochs: how many there are in the end, instead of the parameter ``epochs``.
        on_step_losses: called with the number of a first step, from 1, and the losses float [steps] from
            there on, before callbacks are told of the epoch's end.
    """
    batch_size, seed = get_parameter("batch-size"), get_parameter("seed")
    orders = _orders(seed, len(dataset.train), initial_epoch)
    statistics = PopulationStatistics(dataset.train, batch_size, seed)
    callbacks = [*callbacks, _RandomLayersByEpoch(seed), statistics]
    compiled, notice = get_parameter("compile"), None
    compiled = compiled_epoch.choose(model) if compiled == "auto" else compiled
    if compiled == compiled_epoch.XLA and isinstance(dataset.train.images, StoredImages):
        compiled = compiled_epoch.GRAPH
    weights = class_weights(dataset) if get_parameter("class-weights") == "balanced" else None
    try:
        if compiled != OFF:
            try:
                training, validation = _compile(
                    model, dataset, batch_size, seed, compiled, on_step_losses, orders, weights
                )
            except Exception as error:  # tracing runs the model's own code: anything may come out of it
                notice = (
                    f"epochs of this model cannot be compiled, so plain fit trains it: {_first_line(error)}"
                )
                compiled = OFF
        if compiled == OFF:
            _release(model)
            training, validation = _plain(model, dataset, batch_size, orders)
            callbacks += (
                [_StepLosses(on_step_losses, batch_size, len(dataset.train))] if on_step_losses else []
            )
        with memory.without_old_garbage():
            history = model.fit(
                training,
                epochs=epochs or get_parameter("epochs"),
                initial_epoch=initial_epoch,
                validation_data=validation,
                callbacks=callbacks,
                class_weight=None if compiled != OFF or weights is None else dict(enumerate(weights)),
                shuffle=False,
                verbose=0,
            )
    finally:
        _release(model)
    return Training(history, compiled, notice)


def evaluate(model: keras.Model, examples: Examples, classes: int) -> Evaluation:
    """Compute loss, accuracy and probabilities of a model that returns logits."""
    losses, logits = [], []
    size = compiled_epoch.evaluation_batch(examples, EVALUATION_BATCH)
    for start in range(0, len(examples), size):
        pixels, targets = prepare(model, examples.take(slice(start, start + size)), classes)
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


def prepare(model: keras.Model, examples: Examples, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels in 0–1, shaped as the model's input, and one-hot targets [N, classes], floats."""
    targets = np.eye(classes, dtype=keras.config.floatx())[examples.labels]
    return pixels_of(model, examples), targets


def _compile(
    model: keras.Model,
    dataset: Dataset,
    batch_size: int,
    seed: int,
    compiled: str,
    on_step_losses: OnStepLosses | None,
    orders: Iterator[np.ndarray],
    weights: np.ndarray | None,
) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Put compiled programs in the place of Keras' own; return numbers of blocks for ``fit`` to count by."""
    classes = len(dataset.class_names)
    build(model, *prepare(model, dataset.train.take(slice(1)), classes))
    trainer = compiled_epoch.Trainer(
        model, dataset.train, classes, orders, batch_size, seed, compiled, on_step_losses, weights
    )
    model.test_function = compiled_epoch.Evaluator(model, dataset.validation, classes, compiled)
    model.train_function = trainer
    return tf.data.Dataset.range(trainer.blocks_per_epoch), tf.data.Dataset.range(1)


def _plain(
    model: keras.Model, dataset: Dataset, batch_size: int, orders: Iterator[np.ndarray]
) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Return batches of pixels and targets for stock ``fit``: the reference."""
    classes, kind = len(dataset.class_names), keras.config.floatx()

    def batches(examples: Examples, order: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(order), size):
            yield prepare(model, examples.take(order[start : start + size]), classes)

    shape = input_shape(model, dataset.train)
    signature = (tf.TensorSpec((None, *shape), kind), tf.TensorSpec((None, classes), kind))
    everyone = np.arange(len(dataset.validation))

    def stream(examples: Examples, orders: Iterator[np.ndarray], size: int) -> tf.data.Dataset:
        batched = tf.data.Dataset.from_generator(
            lambda: batches(examples, next(orders), size), output_signature=signature
        )
        return batched.apply(_cardinality(math.ceil(len(examples) / size))).prefetch(2)

    return (
        stream(dataset.train, orders, batch_size),
        stream(dataset.validation, itertools.repeat(everyone), EVALUATION_BATCH),
    )


# Without it Keras takes the end of a generator for the end of all data, with a warning.
_cardinality = tf.data.experimental.assert_cardinality


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


class _StepLosses(keras.callbacks.Callback):
    """Recovers the losses of single steps from the running mean that stock ``fit`` gives its callbacks."""

    def __init__(self, on_step_losses: OnStepLosses, batch_size: int, examples: int) -> None:
        super().__init__()
        self._on_step_losses = on_step_losses
        self._sizes = [min(batch_size, examples - start) for start in range(0, examples, batch_size)]
        self._means: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._means = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._means.append(float((logs or {})["loss"]))
        if len(self._means) == len(self._sizes):
            sizes = np.array(self._sizes)
            totals = np.diff(np.array(self._means) * np.cumsum(sizes), prepend=0.0)
            last = int(self.model.optimizer.iterations.numpy())
            self._on_step_losses(last - len(sizes) + 1, totals / sizes)
