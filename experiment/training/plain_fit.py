"""Stock ``fit`` over batches from a generator: the reference that compiled epochs must agree with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiment.data.arrays import Examples
from experiment.data.splits import Dataset
from experiment.evaluation.measures import class_measures, ranks_of
from experiment.training.batches import input_shape, pixels_and_targets, pixels_of
from experiment.training.mixing import COLUMNS, Mixing, mix

# Images at once: activations of a whole test set may not fit in memory.
EVALUATION_BATCH = 1000
OnStepLosses = Callable[[int, np.ndarray], None]


def plain_batches(
    model: keras.Model,
    dataset: Dataset,
    batch_size: int,
    orders: Iterator[tuple[np.ndarray, np.ndarray]],
    weights: np.ndarray | None,
    mixing: Mixing,
) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Return batches of pixels and targets for stock ``fit``: the reference.

    Where images are mixed, their weights go with them, as Keras' class weights know no mixed labels.
    """
    classes, kind = len(dataset.class_names), keras.config.floatx()

    def batches(
        examples: Examples, plan: tuple[np.ndarray, np.ndarray], size: int
    ) -> Iterator[tuple[Any, ...]]:
        order, drawn = plan
        for start in range(0, len(order), size):
            part = examples.take(order[start : start + size])
            batch, rows = pixels_and_targets(model, part, classes), drawn[start : start + size]
            if len(rows):
                of_each = np.ones(len(part), kind) if weights is None else weights[part.labels]
                yield mix(*batch, of_each, rows, examples.images.shape[1:])
            else:
                yield batch

    shape = input_shape(model, dataset.train)
    signature = tuple(tf.TensorSpec((None, *rest), kind) for rest in (shape, (classes,), ()))
    pair = signature[:2]
    everyone = (np.arange(len(dataset.validation)), np.zeros((0, COLUMNS)))

    def stream(examples: Examples, orders: Iterator[Any], size: int, signature: Any) -> tf.data.Dataset:
        batched = tf.data.Dataset.from_generator(
            lambda: batches(examples, next(orders), size), output_signature=signature
        )
        return batched.apply(_cardinality(math.ceil(len(examples) / size))).prefetch(2)

    return (
        stream(dataset.train, orders, batch_size, signature if mixing else pair),
        stream(dataset.validation, itertools.repeat(everyone), EVALUATION_BATCH, pair),
    )


# Without it Keras takes the end of a generator for the end of all data, with a warning.
_cardinality = tf.data.experimental.assert_cardinality


class PlainEvaluator:
    """Keras' own ``test_function``, with the measures of classes among what it returns of the last batch."""

    def __init__(self, model: keras.Model, examples: Examples, classes: int, top_k: int) -> None:
        self._model = model
        self._examples = examples
        self._classes, self._top_k = classes, top_k
        self._steps, self._done = math.ceil(len(examples) / EVALUATION_BATCH), 0
        model.make_test_function(force=True)
        self._stock = model.test_function

    def __call__(self, iterator: Iterator[Any]) -> dict[str, Any]:
        """Evaluate a batch; return the metrics so far."""
        logs: dict[str, Any] = self._stock(iterator)
        self._done += 1
        return logs | self._measures() if self._done % self._steps == 0 else logs

    def _measures(self) -> dict[str, float]:
        logits = []
        for start in range(0, len(self._examples), EVALUATION_BATCH):
            part = self._examples.take(slice(start, start + EVALUATION_BATCH))
            logits.append(np.asarray(self._model(pixels_of(self._model, part), training=False)))
        values, labels = np.concatenate(logits), self._examples.labels
        return class_measures(labels, values.argmax(-1), ranks_of(values, labels), self._classes, self._top_k)


class StepLosses(keras.callbacks.Callback):
    """Recovers the losses of single steps from the running mean that stock ``fit`` gives its callbacks."""

    def __init__(self, on_step_losses: OnStepLosses, batch_size: int, examples: int) -> None:
        super().__init__()
        self._on_step_losses = on_step_losses
        self._sizes = [min(batch_size, examples - start) for start in range(0, examples, batch_size)]
        self._means: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Begin with no step."""
        self._means = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Note the mean so far; after the last step, tell the losses of all."""
        self._means.append(float((logs or {})["loss"]))
        if len(self._means) == len(self._sizes):
            sizes = np.array(self._sizes)
            # A running mean over n examples, times n, is a sum of losses; differences of sums are steps.
            totals = np.diff(np.array(self._means) * np.cumsum(sizes), prepend=0.0)
            self._on_step_losses(1, totals / sizes)
