"""Logged points as columns: the curves of a run, and its results where none were written."""

from __future__ import annotations

import dataclasses
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from experiment.evaluation.measures import MONITORS
from experiment.store.journal import Point
from experiment.store.record import RunRecord

# Series that have no value of their own at an epoch's end.
_NOT_OF_AN_EPOCH = ("batch_", "test_", "sys.", "process ")


@dataclasses.dataclass
class Curve:
    """The points of one metric by step: 24 bytes a point; ``epochs`` are −1 where nobody logged them."""

    # Arrays: a list of Python's numbers would take four times as much for a long run's points.
    steps: array[int] = dataclasses.field(default_factory=lambda: array("q"))
    epochs: array[int] = dataclasses.field(default_factory=lambda: array("q"))
    values: array[float] = dataclasses.field(default_factory=lambda: array("d"))

    def at(self, epoch: int, step: int) -> float | None:
        """Return the value of an epoch or, where that is unknown (−1), of a step; None without one."""
        place = _last_index(self.epochs, epoch) if epoch >= 0 else _last_index(self.steps, step)
        return None if place is None else self.values[place]


def collect_curves(points: Iterable[Point]) -> dict[str, Curve]:
    """Sort points into curves by their names, each by step."""
    curves: dict[str, Curve] = {}
    for point in points:
        curve = curves.setdefault(point.name, Curve())
        curve.steps.append(point.step)
        curve.epochs.append(point.epoch)
        curve.values.append(point.value)
    for curve in curves.values():
        _sort(curve)
    return curves


def points_of(curves: Mapping[str, Curve]) -> Iterator[Point]:
    """Yield the points that curves hold; their times are lost: 0."""
    for name, curve in curves.items():
        for step, epoch, value in zip(curve.steps, curve.epochs, curve.values, strict=True):
            yield Point(name, value, step, epoch, 0.0)


def summarize_curves(curves: Mapping[str, Curve], monitor: str = "val_loss") -> dict[str, Any]:
    """Return what ``results.json`` would hold: last and best epoch by ``monitor``, test metrics."""
    shown = {name: curve for name, curve in curves.items() if not name.startswith(_NOT_OF_AN_EPOCH)}
    results: dict[str, Any] = {
        name: curve.values[-1] for name, curve in curves.items() if name.startswith("test_")
    }
    if not shown:
        return results
    results["epochs"] = max(_epochs(curve) for curve in shown.values())
    results["last"] = {name: curve.values[-1] for name, curve in shown.items()}
    watched = curves[monitor] if monitor in curves else Curve()
    finite = [index for index, value in enumerate(watched.values) if math.isfinite(value)]
    if finite:
        sign = 1 if MONITORS.get(monitor, True) else -1
        best = min(finite, key=lambda index: sign * watched.values[index])
        epoch, step = watched.epochs[best], watched.steps[best]
        values = {name: curve.at(epoch, step) for name, curve in shown.items()}
        results["best"] = {"epoch": epoch if epoch >= 0 else best + 1} | {
            name: value for name, value in values.items() if value is not None
        }
    return results


def results_of(record: RunRecord) -> Mapping[str, Any]:
    """Return the results of a run: its own or, where it ended before it wrote them, from its points."""
    monitor = record.params.get("monitor", "val_loss")
    return record.results or summarize_curves(collect_curves(record.points()), str(monitor))


def _epochs(curve: Curve) -> int:
    last = max(curve.epochs)
    return last if last >= 0 else len(curve.values)


def _last_index(places: array[int], wanted: int) -> int | None:
    # From the end: a run that was resumed by another tool may have an epoch twice, the last one counts.
    for index in range(len(places) - 1, -1, -1):
        if places[index] == wanted:
            return index
    return None


def _sort(curve: Curve) -> None:
    """Put a curve in the order of its steps; a recovered archive holds some points at its end."""
    steps = curve.steps
    if all(steps[index] <= steps[index + 1] for index in range(len(steps) - 1)):
        return
    order = sorted(range(len(steps)), key=steps.__getitem__)
    for column in ("steps", "epochs", "values"):
        values = getattr(curve, column)
        setattr(curve, column, array(values.typecode, (values[index] for index in order)))
