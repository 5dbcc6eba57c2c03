"""Whether a model that a caller built is one that the pipeline trains: float pixels in, logits out."""

from __future__ import annotations

import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from experiment.data.arrays import Examples
from experiment.errors import UserError
from experiment.system.names import counted
from experiment.training import checkpoints
from experiment.training.augmentation import without_augmentation
from experiment.training.batches import input_shape, pixels_and_targets

# Logits of so many examples do not all sum to nearly 1 by chance.
EXAMPLES = 8
REASON_CHARACTERS = 200
PROBABILITIES = ("softmax", "sigmoid", "hard_sigmoid")


def check_model(model: Any, examples: Examples, classes: int) -> None:
    """Refuse a model that would train to something else than what is recorded of it.

    Args:
        model: what ``build_model`` returned.
        examples: some of them are run through the model.
        classes: how many logits there should be.

    Raises:
        UserError: no Keras model, compiled already, of another input or output, or one that returns
            probabilities instead of logits.
    """
    if not isinstance(model, keras.Model):
        raise UserError(f"build_model returned {type(model).__name__}: should be an uncompiled keras.Model")
    if model.compiled:
        raise UserError(
            "build_model returned a compiled model: the parameters optimizer, initial-lr, decay-steps, "
            "decay-rate and label-smoothing compile it; leave out compile() and set those"
        )
    few = examples.take(slice(EXAMPLES))
    _check_input(model, few)
    outputs = model(pixels_and_targets(model, few, classes)[0], training=False)
    shape = getattr(outputs, "shape", None)
    if shape is None or tuple(shape) != (len(few), classes):
        found = f"shape {[None, *shape[1:]]}" if shape else f"a {type(outputs).__name__}"
        raise UserError(
            f"build_model's model has outputs of {found}: should be one tensor of logits, "
            f"[None, {classes}] for {classes} classes; end in Dense({classes})"
        )
    if reason := _probabilities(model, np.asarray(outputs, np.float64)):
        raise UserError(
            f"build_model's model returns probabilities ({reason}): the loss takes logits, and would apply "
            f"softmax twice; end in Dense({classes}) without an activation"
        )


def check_saving(model: Any, examples: Examples, classes: int, file_name: str) -> None:
    """Refuse a compiled model that Keras cannot save and read back: all of its training would be lost.

    Args:
        model: of the caller's.
        examples: some of them are run through both.
        classes: how many logits there are.
        file_name: what it will be saved as; its ending tells the format.

    Raises:
        UserError: one sentence with what to do.
    """
    pixels = pixels_and_targets(model, examples.take(slice(EXAMPLES)), classes)[0]
    remedy = "give each layer of your own get_config(), and @keras.saving.register_keras_serializable()"
    if file_name.endswith(".h5") and not isinstance(model, (keras.Sequential, keras.src.models.Functional)):
        remedy = "a subclassed model needs Keras' own format: give --model-file model.keras"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Of an optimizer that has made no step yet.
        warnings.simplefilter("ignore")
        try:
            saved = checkpoints.save_model(without_augmentation(model), Path(folder, f"model-{file_name}"))
            again = checkpoints.load_model(saved)
            same = np.allclose(model(pixels, training=False), again(pixels, training=False), atol=1e-4)
        except Exception as error:  # whatever a layer of the caller's raises when it is read back
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:REASON_CHARACTERS]
            raise UserError(
                f"build_model's model cannot be saved as {file_name} and read back ({reason}): {remedy}"
            ) from error
    if not same:
        raise UserError(
            f"build_model's model, saved as {file_name} and read back, answers otherwise: some of its state "
            f"is not saved; {remedy}"
        )


def _check_input(model: keras.Model, examples: Examples) -> None:
    declared = getattr(model, "input_shape", None) if model.built else None
    if declared is None:
        return
    images = examples.images.shape[1:]
    asked = f"should be one of {math.prod(images)} values, as images {list(images)} have"
    if isinstance(declared, (list, dict)):
        raise UserError(f"build_model's model has {counted(len(declared), 'input')}: {asked}")
    shape = input_shape(model, examples)
    if None in shape or math.prod(shape) != math.prod(images):
        raise UserError(f"build_model's model has an input of {list(shape)}: {asked}")


def _probabilities(model: keras.Model, outputs: np.ndarray) -> str:
    """Say why a model's outputs float [N, classes] must be probabilities; '' where they need not be."""
    last: Any = model
    while getattr(last, "outputs", None) and last.layers:  # a subclassed model's last layer may be any
        last = last.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    if isinstance(last, keras.layers.Softmax) or activation in PROBABILITIES:
        return f"its last layer is {last.name}, {activation or 'softmax'}"
    if outputs.shape[1] > 1 and (outputs >= 0).all() and np.allclose(outputs.sum(1), 1, atol=1e-2):
        return "they are positive and sum to 1"
    return ""
