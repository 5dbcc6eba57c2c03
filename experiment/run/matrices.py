"""The numbers in what can be drawn of a run: its confusion matrix and its weights, as JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, RootModel, model_validator

from experiment.evaluation.measures import confusion
from experiment.store.files import Schema, encode_json, read_json, write_atomically
from experiment.system.names import as_utf8

CONFUSION, WEIGHTS = "confusion-matrix.json", "weights.json"
BINS = 30


def write_confusion_matrix(
    folder: Path, labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> None:
    """Write ``confusion-matrix.json``, true classes down and predicted ones across.

    Args:
        folder: where to.
        labels: int [N].
        probabilities: float [N, classes].
        class_names: of the classes, in order.
    """
    counts = confusion(labels, probabilities.argmax(-1), len(class_names))
    content = {"classes": list(map(as_utf8, class_names)), "counts": counts.tolist()}
    write_atomically(folder / CONFUSION, encode_json(content) + b"\n")


def write_weight_histograms(folder: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write ``weights.json``, histograms of arrays' finite values."""
    described = {name: _describe(np.asarray(values)) for name, values in weights.items()}
    write_atomically(folder / WEIGHTS, encode_json(described) + b"\n")


def _describe(values: np.ndarray) -> dict[str, Any]:
    """Return shape, mean, standard deviation, edges [BINS + 1] and counts [BINS] of an array."""
    finite = values[np.isfinite(values)].astype(np.float64)
    found: dict[str, Any] = {"shape": list(values.shape), "not_finite": values.size - finite.size}
    if not finite.size:
        return found | {"mean": None, "std": None, "edges": [], "counts": []}
    counts, edges = np.histogram(finite, BINS)
    return found | {
        **{"mean": float(finite.mean()), "std": float(finite.std())},
        **{"edges": edges.tolist(), "counts": counts.tolist()},
    }


_Count = Annotated[int, Field(ge=0)]


class _Confusion(Schema):
    classes: Annotated[list[str], Field(min_length=1)]
    counts: list[list[_Count]]

    @model_validator(mode="after")
    def _is_square(self) -> _Confusion:
        sizes = {len(self.counts), *map(len, self.counts)}
        if sizes != {len(self.classes)}:
            raise ValueError("counts should have a row and a column for each class")
        return self


class _Histogram(Schema):
    shape: list[_Count]
    edges: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=BINS + 1)]
    counts: list[_Count]

    @model_validator(mode="after")
    def _is_whole(self) -> _Histogram:
        if self.counts and (len(self.counts) != BINS or len(self.edges) != BINS + 1 or not any(self.counts)):
            raise ValueError(f"counts should be {BINS}, not all of them 0, between as many edges and one")
        return self


class _Weights(RootModel[dict[str, _Histogram]]):
    pass


def read_confusion_matrix(folder: Path) -> dict[str, Any]:
    """Return what ``write_confusion_matrix`` wrote, ``classes`` and ``counts``; nothing where there is none.

    Raises:
        DamagedFile: it is something else by now.
    """
    return read_json(folder / CONFUSION, _Confusion) if os.path.exists(folder / CONFUSION) else {}


def read_weight_histograms(folder: Path) -> dict[str, Any]:
    """Return what ``write_weight_histograms`` wrote, by names of arrays; nothing where there is none.

    Raises:
        DamagedFile: it is something else by now.
    """
    return read_json(folder / WEIGHTS, _Weights) if os.path.exists(folder / WEIGHTS) else {}
