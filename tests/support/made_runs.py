"""Run directories made by hand, where a test needs many or odd ones."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from experiment.store.files import write_json
from experiment.store.journal import MetricsJournal, Point
from experiment.store.record import RunRecord

KEYS = itertools.count(1)
LABELS = np.arange(200, dtype=np.int32) % 4


def make_run(
    runs: Path,
    name: str,
    accuracy: float = 0.9,
    *,
    predicted: np.ndarray | None = None,
    losses: tuple[float, ...] = (0.5, 0.2, 0.3),
    **changes: Any,
) -> Path:
    """Write a finished run directory and return it.

    Args:
        runs: where to.
        name: of the run; its key is the name's hash.
        accuracy: on the test set.
        predicted: classes int [200] that it gave the test examples; None for no stored predictions.
        losses: val_loss of each epoch.
        changes: parameters with underscores, or fields of ``run.json`` with ``run_`` before their names.
    """
    key = hashlib.sha1(name.encode()).hexdigest()
    path = runs / key
    path.mkdir(parents=True)
    params: dict[str, Any] = {"dataset": "made", "validation": 0.1, "layer-1-size": 32, "seed": 0}
    facts = {
        **{"key": key, "name": name, "tags": [], "mode": "offline", "status": "finished", "url": None},
        **{"started": 1.7e9, "ended": 1.7e9 + 60, "code_fingerprint": "c" * 64, "git": {}},
        "dataset": {
            **{"name": "made", "source": "made", "fingerprint": "d" * 64, "split_fingerprint": "e" * 64},
            **{"test_fingerprint": "f" * 64, "classes": ["cat", "dog", "<b>owl</b>", "newt"]},
        },
    }
    for field, value in changes.items():
        if field.startswith("run_"):
            facts[field.removeprefix("run_")] = value
        else:
            params[field.replace("_", "-")] = value
    write_json(path / "run.json", facts)
    write_json(path / "params.json", params)
    MetricsJournal(path / "metrics.jsonl").append(_points(losses, accuracy))
    if facts["status"] == "finished":
        best = int(np.argmin(losses))
        at = [{"val_loss": loss, "val_accuracy": 1 - loss} for loss in losses]
        results = {"epochs": len(losses), "last": at[-1], "best": {"epoch": best + 1, **at[best]}}
        write_json(path / "results.json", results | {"test_loss": 1 - accuracy, "test_accuracy": accuracy})
    if predicted is not None:
        probabilities = np.full((len(LABELS), 4), 0.1, np.float32)
        probabilities[np.arange(len(LABELS)), predicted] = 0.7
        np.savez(path / "predictions.npz", labels=LABELS, probabilities=probabilities)
    return path


def with_mistakes(*indices: int) -> np.ndarray:
    """Return predictions of all test examples that are right but for some."""
    predicted = LABELS.copy()
    predicted[list(indices)] = (predicted[list(indices)] + 1) % 4
    return predicted


def made_record(
    accuracy: float,
    *,
    name: str = "",
    test: str | None = "f",
    code: str = "c",
    dataset: str = "made",
    results: dict[str, Any] | None = None,
    **params: Any,
) -> RunRecord:
    """Return a finished run that is in no file.

    Args:
        accuracy: on the test set.
        name: of the run; its key, if there is none.
        test: a letter for the test set's fingerprint, None for none.
        code: a letter for the code's fingerprint.
        dataset: the name of what it was trained on.
        results: more of them.
        params: parameters with underscores.
    """
    key = f"{next(KEYS):040x}"[::-1]
    described = {"name": dataset, "test_fingerprint": test and test * 64}
    named = {parameter.replace("_", "-"): value for parameter, value in params.items()}
    facts = {"dataset": described, "code_fingerprint": code * 64}
    results = {"test_accuracy": accuracy} | (results or {})
    return RunRecord(key, name or key, "finished", "offline", facts, named, results, key)


def seeds(mean: float, count: int = 3, spread: float = 0.001, **named: Any) -> list[RunRecord]:
    """Return runs that differ in their seed, and by ``spread`` a seed in their accuracy."""
    return [made_record(mean + spread * seed, seed=seed, **named) for seed in range(count)]


def _points(losses: tuple[float, ...], accuracy: float) -> list[Point]:
    points = []
    for epoch, loss in enumerate(losses, 1):
        for name, value in (("val_loss", loss), ("val_accuracy", 1 - loss)):
            points.append(Point(name, value, 10 * epoch, epoch, 1.7e9 + epoch))
        points += [Point("batch_loss", loss, 10 * epoch - 5 + k, epoch, 1.7e9) for k in range(5)]
    return [*points, Point("test_accuracy", accuracy, 10 * len(losses), len(losses), 1.7e9)]
