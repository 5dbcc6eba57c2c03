"""The state of a run on disk: checkpoints to go on from, and the saved model; each whole or not there."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from experiment.store.directory import RUN_BYTES
from experiment.store.files import (
    DAMAGED,
    Schema,
    atomic_path,
    check_space,
    one_line,
    parse_json,
    sync_folder,
)
from experiment.training.optimizers import build_variables, with_stock_optimizer
from experiment.training.programs import walk

# The one before serves where a disk damaged the newest.
KEPT = 2


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The state after so many epochs; orders and random numbers follow from (seed, epoch), so none are in it.

    ``state`` holds what is no array: the history, the counters of early stopping, and in fine-tuning the
    number of epochs before it.
    """

    epochs: int
    weights: Sequence[np.ndarray]
    optimizer: Sequence[np.ndarray]
    best_weights: Sequence[np.ndarray]
    state: dict[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole, then drop all but the newest KEPT.

    Raises:
        OSError: no space for it, or none for the end of the run after it; the earlier ones are untouched.
    """
    arrays = {
        f"{group}_{number:05}": array
        for group in ("weights", "optimizer", "best_weights")
        for number, array in enumerate(getattr(checkpoint, group))
    }
    # Ahead of the write: a disk that a checkpoint fills has no room for the run's archive.
    check_space(folder, RUN_BYTES + sum(array.nbytes for array in arrays.values()))
    # JSON as bytes in the same file: one rename makes all of it valid, and nothing is unpickled.
    state = np.frombuffer(json.dumps(checkpoint.state).encode(), np.uint8)
    with atomic_path(folder / f"{checkpoint.epochs:06}.npz") as beside, beside.open("wb") as file:
        np.savez(file, state=state, allow_pickle=False, **arrays)
    for old in sorted(folder.glob("*.npz"))[:-KEPT]:
        old.unlink()


def trained_weights(model: keras.Model, values: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
    """Return a model's weights, or as many ``values`` in their place, but for those of frozen models in it.

    Frozen backbones are large, never change, and come back from where they came.
    """
    values = model.get_weights() if values is None else values
    return [value for value, kept in zip(values, _is_trained(model), strict=True) if kept]


def all_weights(model: keras.Model, trained: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return what ``trained_weights`` did, with the weights of the model's frozen models in their places.

    Raises:
        ValueError: there are too few or too many.
    """
    kept = _is_trained(model)
    if sum(kept) != len(trained):
        raise ValueError(f"a checkpoint of {len(trained)} weights for a model that trains {sum(kept)}")
    rest = iter(trained)
    return [next(rest) if own else value for value, own in zip(model.get_weights(), kept, strict=True)]


def _is_trained(model: keras.Model) -> list[bool]:
    inner = [layer for layer in walk(model) if hasattr(layer, "layers")]
    frozen = {
        id(weight)
        for each in inner
        for layer in (each, *walk(each))
        if not layer.trainable
        for weight in layer.weights
    }
    return [id(weight) not in frozen for weight in model.weights]


class _State(Schema):
    history: dict[str, list[float]]
    stopping: dict[str, float | None]
    stopped: bool
    tuned_from: int | None = None


def read_checkpoint(folder: Path, notify: Callable[[str], None] = lambda _: None) -> Checkpoint | None:
    """Read the newest whole checkpoint; None without any.

    A damaged one is passed over for the one before; ``notify`` is called with a sentence about it.
    """
    for path in sorted(folder.glob("*.npz"), reverse=True):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in sorted(stored.files)}
            groups = {
                group: [array for name, array in arrays.items() if name.startswith(f"{group}_0")]
                for group in ("weights", "optimizer", "best_weights")
            }
            state = parse_json(arrays["state"].tobytes(), "its state", _State)
            return Checkpoint(int(path.stem), state=state, **groups)
        except DAMAGED as error:
            notify(f"checkpoint '{path}' is damaged and passed over: {one_line(error)}")
    return None


def restore(checkpoint: Checkpoint, model: keras.Model) -> None:
    """Give a freshly built and compiled model the weights and the optimizer's state of a checkpoint."""
    model.set_weights(all_weights(model, checkpoint.weights))
    # An optimizer makes its variables at the first step; there must be some to assign to.
    build_variables(model)
    for variable, value in zip(model.optimizer.variables, checkpoint.optimizer, strict=True):
        variable.assign(value)


def save_model(model: keras.Model, path: Path) -> Path:
    """Save a compiled model as ``.h5`` or ``.keras``, whole or not at all.

    Save a model object once: after ``.h5``, a ``.keras`` of the same object lacks the optimizer's state.
    """
    # The ending stays last: Keras chooses the format by it.
    beside = path.with_name(f".tmp-{path.name}")
    try:
        with _without_warnings(), with_stock_optimizer(model):
            model.save(beside)
        # On disk before the rename, or a power loss may leave the name with an empty file.
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)
    return path


def load_model(path: Path) -> Any:
    """Load a saved model with its optimizer; code inside the file is never run."""
    with _without_warnings():
        return keras.saving.load_model(path, safe_mode=True)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence Keras' two remarks about .h5: its being a legacy format, and metrics that are built later."""
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        yield
    finally:
        absl.setLevel(level)
