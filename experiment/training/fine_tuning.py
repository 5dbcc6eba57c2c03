"""Train the last blocks of a pretrained backbone, too, after its head, and keep that only if it is better.

What lies before those blocks stays frozen, so training starts from what it makes of each picture, computed
once. BatchNormalization stays in inference mode throughout: its averages are ImageNet's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import layers

from experiment.data.splits import Dataset
from experiment.evaluation.measures import best_epoch
from experiment.training import checkpoints, trainer
from experiment.training.backbones import first_of_block
from experiment.training.callbacks import EarlyStopping, keeps_best
from experiment.training.checkpoints import Checkpoint
from experiment.training.precision import with_loss_scale
from experiment.training.pretrained import Features, Stage, compute_all, moves, stage_on
from params.spec import GetParameter

NEVER = 2**31  # epochs without a lower val_loss, until training stops


class KeepBetter(EarlyStopping):
    """Keeps the weights of the epoch with the lowest val_loss, or those that fine-tuning began with.

    Args:
        model: what is fitted.
        began: how many epochs were before.
        best: of those the one, counted from 0, whose weights the model has.
        val_loss: of that epoch.
        checkpoint: of this phase, to go on from.
    """

    def __init__(
        self, model: keras.Model, began: int, best: int, val_loss: float, checkpoint: Checkpoint | None
    ) -> None:
        weights = checkpoints.trained_weights(model)
        start = {"wait": 0.0, "stopped_epoch": 0.0, "best_epoch": float(best), "best": val_loss}
        super().__init__(NEVER, checkpoint or Checkpoint(began, weights, [], weights, {"stopping": start}))
        self._began = began

    def verdict(self) -> dict[str, Any]:
        """Return which epoch's weights were kept, counted from 1, and whether they are fine-tuned ones."""
        return {"fine_tuning_kept": self.best_epoch >= self._began, "kept_epoch": int(self.best_epoch) + 1}


def fine_tune(
    model: keras.Model,
    dataset: Dataset,
    get_parameter: GetParameter,
    callbacks: Callable[[EarlyStopping, int], Sequence[keras.callbacks.Callback]],
    history: Mapping[str, Sequence[float]],
    checkpoint: Checkpoint | None,
    *,
    budget: int,
    on_step_losses: trainer.OnStepLosses,
) -> tuple[trainer.Training, dict[str, Any]]:
    """Train a whole model for ``fine-tune-epochs``, and keep what it began with unless val_loss fell.

    Args:
        model: the whole one, compiled, its head trained or its training to be gone on with.
        dataset: images uint8.
        get_parameter: reads ``fine-tune-…``, ``early-stopping`` and what ``pretrained`` and ``fit`` read.
        callbacks: returns those of the run, given the one that keeps weights and how many epochs were before.
        history: metrics of all epochs so far.
        checkpoint: of this phase, to go on from.
        budget: bytes that the frozen layers' results may take.
        on_step_losses: as for ``fit``.

    Returns:
        What ``fit`` did, and which epoch's weights were kept.
    """
    stage = tuning_stage(model, dataset, get_parameter, budget)
    began = int(checkpoint.state["tuned_from"]) if checkpoint else len(history["val_loss"])
    monitor = get_parameter("monitor")
    best = best_epoch(history[monitor][:began], monitor) if keeps_best(get_parameter) else began - 1
    keeping = KeepBetter(stage.model, began, best, history["val_loss"][best], checkpoint)
    if checkpoint:
        checkpoints.restore(checkpoint, stage.model)
    training = trainer.fit(
        stage.model,
        stage.dataset,
        get_parameter,
        callbacks(keeping, began),
        checkpoint.epochs if checkpoint else began,
        epochs=began + get_parameter("fine-tune-epochs"),
        on_step_losses=on_step_losses,
    )
    return training, keeping.verdict()


def tuning_stage(model: keras.Model, dataset: Dataset, get_parameter: GetParameter, budget: int) -> Stage:
    """Unfreeze a whole model from the block ``fine-tune-from`` on, and return what to fit.

    The stage starts from what the layers before that block make of pictures, unless augmentation shifts or
    turns those, or that would take more memory than there is: then it is the whole model on its images. The
    model gets a new optimizer. Its steps count from 0: Adam corrects its first averages by that count, and
    would take steps of up to six times the rate at a later one.
    """
    trunk, tail = _unfreeze(model.layers[-3], get_parameter("fine-tune-from"))
    rate = {"learning_rate": get_parameter("fine-tune-lr")}
    stock = keras.optimizers.get({"class_name": get_parameter("optimizer"), "config": rate})
    optimizer = with_loss_scale(stock, get_parameter("precision"))
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, loss=model.loss, metrics=["accuracy"])
    flips = bool(get_parameter("augment-flip"))
    images = (len(dataset.train) + len(dataset.validation)) * (1 + flips)
    if moves(get_parameter) or images * 4 * math.prod(trunk.output_shape[1:]) > budget:
        return Stage(model, dataset)
    computing = Features(trunk, (), lambda *_: None, compute_all)
    return stage_on(computing, model, tail, dataset, flips=flips)


def _unfreeze(backbone: keras.Model, block: str) -> tuple[keras.Model, keras.Model]:
    """Make a backbone trainable from a block on, but for BatchNormalization; cut it in two there."""
    index = first_of_block(backbone, block)
    backbone.trainable = True
    for number, layer in enumerate(backbone.layers):
        layer.trainable = number >= index and not isinstance(layer, layers.BatchNormalization)
    cut = backbone.layers[index].input
    return keras.Model(backbone.input, cut), keras.Model(cut, backbone.output, name="tail")
