"""What a run said of each example that it was not trained on: written, and logged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiment.comet.tracker import Tracker
from experiment.data.splits import Dataset
from experiment.evaluation import calibration
from experiment.run import figures
from experiment.store import held_out as store
from experiment.store.directory import RunDirectory
from experiment.store.files import atomic_path

if TYPE_CHECKING:
    from experiment.training.trainer import Evaluation


def log_predictions(
    tracker: Tracker,
    directory: RunDirectory,
    dataset: Dataset,
    on_validation: Evaluation,
    on_test: Evaluation,
    temperature: float,
) -> None:
    """Write ``predictions.npz`` and, of pictures, ``predictions.csv``; log both."""
    labels, probabilities = dataset.test.labels, on_test.probabilities
    arrays: dict[str, Any] = {"labels": labels, "probabilities": probabilities}
    arrays["confident_mistakes"] = figures.confident_mistakes(labels, probabilities)
    paths = [directory.predictions_file]
    if dataset.test.files is not None:
        held_out = _held_out(dataset, on_validation, on_test, temperature)
        arrays |= store.to_arrays(held_out)
        paths.append(directory.path / store.FILE)
        _write(paths[-1], store.table_text(held_out.rows(dataset.class_names)).encode())
    with atomic_path(directory.predictions_file) as beside, beside.open("wb") as file:
        np.savez(file, **arrays)
    for path in paths:
        tracker.log_asset(str(path), file_name=path.name, step=0)


def _held_out(
    dataset: Dataset, on_validation: Evaluation, on_test: Evaluation, temperature: float
) -> store.HeldOut:
    """Return validation and test pictures, in this order; where the two are the same, they count as test."""
    parts = {"validation": (dataset.validation, on_validation), "test": (dataset.test, on_test)}
    if dataset.validation is dataset.test:
        del parts["validation"]
    held = [(part, *each) for part, each in parts.items()]
    return store.HeldOut(
        files=[file for _, examples, _ in held for file in examples.files],  # type: ignore[union-attr]
        parts=[part for part, examples, _ in held for _ in range(len(examples))],
        labels=np.concatenate([examples.labels for _, examples, _ in held]),
        probabilities=np.concatenate(
            [calibration.calibrated(evaluation.logits, temperature) for _, _, evaluation in held]
        ),
    )


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as beside:
        beside.write_bytes(content)
