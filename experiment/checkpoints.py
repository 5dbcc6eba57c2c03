"""The saved model of a run: written whole, read back, checked."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from experiment.rundir import sync_folder


def save_model(model: keras.Model, path: Path) -> Path:
    """Save a compiled model as ``.h5`` or ``.keras``, whole or not at all.

    Save a model object once: after ``.h5``, a ``.keras`` of the same object lacks the optimizer's state.
    """
    beside = path.with_name(f".tmp-{path.name}")
    try:
        with _without_warnings():
            model.save(beside)
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
