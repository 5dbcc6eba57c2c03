"""Compile, fit and evaluate a Keras classifier over arrays in machine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from experiment.data.arrays import Examples
from experiment.data.splits import Dataset
from experiment.system import machine
from experiment.training import compiled_epoch
from experiment.training.averaging import AveragedWeights, is_averaged
from experiment.training.batches import pixels_and_targets
from experiment.training.feed import make_feed, release, untuned
from experiment.training.normalization import PopulationStatistics
from experiment.training.optimizers import build_optimizer
from experiment.training.plain_fit import EVALUATION_BATCH, OnStepLosses
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


def compile_model(model: keras.Model, get_parameter: GetParameter, examples: int) -> None:
    """Compile with the optimizer and the schedule that the parameters ask for.

    Args:
        model: as a ``ModelBuilder`` returns it.
        get_parameter: reads the parameters of optimizer, schedule and loss.
        examples: in the training set, as schedules count steps.
    """
    model.compile(
        optimizer=build_optimizer(get_parameter, math.ceil(examples / get_parameter("batch-size"))),
        loss=keras.losses.CategoricalCrossentropy(
            # Softmax inside the loss stays exact where probabilities would round to 0 or 1.
            from_logits=True,
            label_smoothing=get_parameter("label-smoothing"),
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
        on_step_losses: called with a first step, from 1, and losses float [steps], before an epoch's end.
    """
    try:
        feed = make_feed(model, dataset, get_parameter, initial_epoch, on_step_losses)
        with machine.without_old_garbage():
            history = model.fit(
                untuned(feed.training),
                epochs=epochs or get_parameter("epochs"),
                initial_epoch=initial_epoch,
                validation_data=untuned(feed.validation),
                callbacks=[*callbacks, *_own_callbacks(model, dataset, get_parameter), *feed.callbacks],
                class_weight=feed.class_weight,
                shuffle=False,  # the orders do that
                verbose=0,  # the run's own console shows epochs
            )
    finally:
        release(model)
    return Training(history, feed.compiled, feed.notice)


def _own_callbacks(
    model: keras.Model, dataset: Dataset, get_parameter: GetParameter
) -> list[keras.callbacks.Callback]:
    seed = get_parameter("seed")
    return [
        _RandomLayersByEpoch(seed),
        # First, as normalisation's statistics are those of the weights that are validated.
        *([AveragedWeights()] if is_averaged(model) else []),
        PopulationStatistics(dataset.train, get_parameter("batch-size"), seed),
    ]


def evaluate(model: keras.Model, examples: Examples, classes: int) -> Evaluation:
    """Compute loss, accuracy and probabilities of a model that returns logits."""
    losses, logits = [], []
    size = compiled_epoch.evaluation_batch(examples, EVALUATION_BATCH)
    for start in range(0, len(examples), size):
        pixels, targets = pixels_and_targets(model, examples.take(slice(start, start + size)), classes)
        # Called, as `predict` would first trace a graph of this model, for a single pass.
        logits.append(np.asarray(model(pixels, training=False)))
        losses.append(np.asarray(keras.ops.categorical_crossentropy(targets, logits[-1], from_logits=True)))
    values = np.concatenate(logits)
    return Evaluation(
        # In float64: a float32 mean of thousands of losses would depend on how they were summed.
        loss=float(np.mean(np.concatenate(losses), dtype=np.float64)),
        accuracy=float(np.mean(values.argmax(-1) == examples.labels)),
        probabilities=np.asarray(keras.ops.softmax(values)),
        logits=values,
    )


class _RandomLayersByEpoch(keras.callbacks.Callback):
    """Sets the state of every random layer from (seed, epoch): a resumed run needs no other record of it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        for number, state in enumerate(compiled_epoch.random_states(self.model)):
            words = np.random.SeedSequence((self._seed, epoch, number)).generate_state(2)
            state.assign(words.astype(np.int64))
