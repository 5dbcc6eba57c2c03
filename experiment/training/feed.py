"""What stock ``fit`` is fed: numbers of blocks that compiled programs train on, or batches of a generator."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from experiment.data.arrays import Examples, StoredImages
from experiment.data.splits import Dataset
from experiment.training import compiled_epoch
from experiment.training.batches import pixels_and_targets
from experiment.training.epoch_programs import OFF
from experiment.training.mixing import Mixing, read_mixing
from experiment.training.optimizers import build_variables
from experiment.training.plain_fit import OnStepLosses, PlainEvaluator, StepLosses, plain_batches
from experiment.training.precision import called_in
from params.spec import GetParameter

Plan = tuple[np.ndarray, np.ndarray]  # of an epoch: its order, and what ``Mixing.draw`` drew for it


@dataclasses.dataclass(frozen=True)
class Feed:
    """What stock ``fit`` iterates over, and what it is given beside it."""

    training: tf.data.Dataset
    validation: tf.data.Dataset
    compiled: str
    notice: str | None = None
    class_weight: dict[int, float] | None = None
    callbacks: tuple[keras.callbacks.Callback, ...] = ()


def make_feed(
    model: keras.Model,
    dataset: Dataset,
    get_parameter: GetParameter,
    initial_epoch: int,
    on_step_losses: OnStepLosses | None,
) -> Feed:
    """Compile epochs as the parameter ``compile`` says; where that fails, feed stock ``fit`` and say why."""
    batch_size, seed, top_k = (get_parameter(name) for name in ("batch-size", "seed", "top-k"))
    precision, mixing = get_parameter("precision"), read_mixing(get_parameter)
    orders = _orders(seed, dataset.train, batch_size, mixing, initial_epoch)
    compiled = _way_to_compile(model, dataset, get_parameter("compile"))
    weights = class_weights(dataset) if get_parameter("class-weights") == "balanced" else None
    notice = None
    if compiled != OFF:
        try:
            return _compiled_feed(
                *(model, dataset, orders, batch_size, seed, top_k, compiled),
                *(on_step_losses, weights, precision, mixing),
            )
        except Exception as error:  # tracing runs the model's own code: anything may come out of it
            notice = f"epochs of this model cannot be compiled, so plain fit trains it: {_first_line(error)}"
    release(model)  # compiling may have failed after one of the two was in place
    model.make_train_function()
    model.train_function = called_in(model.train_function, model, precision)
    model.test_function = PlainEvaluator(model, dataset.validation, len(dataset.class_names), top_k)
    return Feed(
        *plain_batches(model, dataset, batch_size, orders, weights, mixing),
        OFF,
        notice,
        None if weights is None or mixing else dict(enumerate(weights)),
        (StepLosses(on_step_losses, batch_size, len(dataset.train)),) if on_step_losses else (),
    )


def untuned(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Let TensorFlow not tune how batches are read.

    There is nothing to tune, and the end of an iterator often waits 0.3 s for the tuner's thread.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


def _compiled_feed(
    model: keras.Model,
    dataset: Dataset,
    orders: Iterator[Plan],
    batch_size: int,
    seed: int,
    top_k: int,
    compiled: str,
    on_step_losses: OnStepLosses | None,
    weights: np.ndarray | None,
    precision: str,
    mixing: Mixing,
) -> Feed:
    """Put compiled programs in the place of Keras' own, and number their blocks for ``fit`` to count by.

    Raises:
        Exception: the model cannot be compiled; of any class.
    """
    classes = len(dataset.class_names)
    # One example is enough to make every variable; a program that is being traced cannot make any.
    build(model, *pixels_and_targets(model, dataset.train.take(slice(1)), classes))
    trainer = compiled_epoch.Trainer(
        *(model, dataset.train, classes, orders, batch_size, seed, compiled),
        *(on_step_losses, weights, precision, mixing),
    )
    # Keras makes functions of its own only where none stand here: fit, callbacks and metrics stay stock.
    model.test_function = compiled_epoch.Evaluator(model, dataset.validation, classes, top_k, compiled)
    model.train_function = trainer
    # Class weights are among the program's inputs, so fit is given none.
    return Feed(tf.data.Dataset.range(trainer.blocks_per_epoch), tf.data.Dataset.range(1), compiled)


def _way_to_compile(model: keras.Model, dataset: Dataset, asked: str) -> str:
    """Return how epochs are compiled; XLA cannot call back to read images from disk, a graph can."""
    chosen = compiled_epoch.choose(model) if asked == "auto" else asked
    stays_on_disk = isinstance(dataset.train.images, StoredImages)
    return compiled_epoch.GRAPH if chosen == compiled_epoch.XLA and stays_on_disk else chosen


def class_weights(dataset: Dataset) -> np.ndarray:
    """Return weights [classes] that give each class the same sum over the training set, 1 on average."""
    counts = np.bincount(dataset.train.labels, minlength=len(dataset.class_names))
    # The formula of scikit-learn's `class_weight='balanced'`.
    return (len(dataset.train) / (len(counts) * counts)).astype(keras.config.floatx())


def epoch_order(seed: int, epoch: int, examples: int) -> np.ndarray:
    """Return the order of an epoch, int32 [examples]: a permutation drawn from (seed, epoch)."""
    # Keyed by the epoch: a resumed run draws its next order without drawing those before it again.
    return np.random.default_rng((seed, epoch)).permutation(examples).astype(np.int32)


def _orders(seed: int, examples: Examples, batch_size: int, mixing: Mixing, epoch: int) -> Iterator[Plan]:
    while True:
        drawn = mixing.draw(seed, epoch, len(examples), batch_size, examples.images.shape[1:])
        yield epoch_order(seed, epoch, len(examples)), drawn
        epoch += 1


def build(model: keras.Model, pixels: np.ndarray, targets: np.ndarray) -> None:
    """Make the variables of weights, metrics and optimizer, which a compiled program can't."""
    logits = model(pixels, training=False)
    model.compute_loss(pixels, targets, logits)
    model.compute_metrics(pixels, targets, logits)
    build_variables(model)
    model.reset_metrics()


def release(model: keras.Model) -> None:
    """Give the model its own functions back."""
    model.train_function = model.test_function = None


def _first_line(error: Exception) -> str:
    # TensorFlow's messages go on for pages: a trace of the graph, then advice.
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"
