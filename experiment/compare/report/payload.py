"""What the page's script draws of a ``Comparison``, as JSON can hold it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiment.compare import answers
from experiment.compare.comparison import Comparison
from experiment.compare.directions import direction_of
from experiment.compare.groups import value_of
from experiment.compare.importance import parameter_importance
from experiment.compare.report import mistakes
from experiment.compare.report.details import changed_parameters, facts
from experiment.compare.tables import finite_or_none
from experiment.store.columns import Row
from experiment.store.curves import Curve, collect_curves
from experiment.store.files import plain_json
from experiment.store.record import RunRecord
from params.load import NAMES

POINTS_OF_ALL_CURVES = 400_000  # 8 bytes each in the page; what is over is thinned out, evenly
MOST_POINTS, FEWEST_POINTS = 500, 20
_NOT_DRAWN = re.compile(r"test_|sys\.cpu\.percent\.\d|sys\.ram\.total")  # single values, and each core


def payload(comparison: Comparison) -> dict[str, Any]:
    """Return all that the page's script draws."""
    predicted = mistakes.read_predicted(comparison.records)
    places = {record.key: place for place, record in enumerate(comparison.records)}
    ranked, looked_at = parameter_importance(comparison.records, comparison.results, comparison.metric)
    small = {
        "metric": comparison.metric,
        "directions": {name: direction_of(name) for name in _quantities(comparison)},
        "baseline": comparison.baseline,
        "parameters": list(comparison.parameters),
        "runs": [
            _run(record, results, comparison.metric)
            for record, results in zip(comparison.records, comparison.results, strict=True)
        ],
        "groups": [
            {
                **{"label": group.label, "runs": [places[record.key] for record in group.records]},
                "block": block,
                **{"values": list(group.values), "mean": group.mean},
                "halfWidth": finite_or_none(group.half_width),
            }
            for block, answered in enumerate(answers.blocks(comparison))
            for group in answered.groups
        ],
        "declared": list(NAMES),
        "importance": ranked,
        "importanceRuns": looked_at,
    }
    return plain_json(small) | {
        "curves": _curves([collect_curves(record.points()) for record in comparison.records]),
        "tests": mistakes.tests(comparison.records, predicted),
        "predictions": [each.encoded() if each else None for each in predicted],
    }


def _quantities(comparison: Comparison) -> set[str]:
    """Return the names of all that the page shows as better or worse."""
    found = {comparison.metric, "seconds"}
    for results in comparison.results:
        found |= {*results.get("best", {}), *results.get("last", {}), *results}
    return found


def _run(record: RunRecord, results: Mapping[str, Any], metric: str) -> dict[str, Any]:
    run, row = record.run, Row(record)
    return {
        **{"key": record.key, "name": record.name, "status": row.status, "mode": record.mode},
        **{"started": run.get("started") or None, "ended": run.get("ended"), "url": run.get("url")},
        **{"tags": list(run.get("tags") or []), "note": str(run.get("note") or "")},
        **{"project": run.get("project"), "workspace": run.get("workspace")},
        "commit": (run.get("git") or {}).get("commit"),
        "results": row.results,
        "dataset": run.get("dataset", {}).get("name"),
        "testSet": run.get("dataset", {}).get("test_fingerprint"),
        "params": dict(record.params),
        "changed": changed_parameters(record),
        "facts": facts(record),
        "value": value_of(results, metric),
        **{"best": results.get("best", {}), "last": results.get("last", {})},
        "test": {name: value for name, value in results.items() if name.startswith("test_")},
        **{"epochs": results.get("epochs"), "seconds": results.get("process_s")},
    }


def _curves(of_runs: Sequence[Mapping[str, Curve]]) -> dict[str, Any]:
    """Return each metric's curves: its axis, and a run's x and y, or None for a run without it.

    A metric with one point an epoch in every run is drawn over epochs, others over steps.
    """
    names = sorted({name for curves in of_runs for name in curves if not _NOT_DRAWN.match(name)})
    share = POINTS_OF_ALL_CURVES // max(1, len(of_runs) * len(names))
    limit = max(FEWEST_POINTS, min(MOST_POINTS, share))
    found = {}
    for name in names:
        curves = [curves.get(name) for curves in of_runs]
        by_epoch = all(_is_by_epoch(curve) for curve in curves if curve)
        if max(len(curve.values) for curve in curves if curve) > 1:
            lines = [_line(curve, by_epoch, limit) if curve else None for curve in curves]
            found[name] = {"axis": "epoch" if by_epoch else "step", "lines": lines}
    return found


def _is_by_epoch(curve: Curve) -> bool:
    return min(curve.epochs) >= 0 and len(set(curve.epochs)) == len(curve.epochs)


def _line(curve: Curve, by_epoch: bool, limit: int) -> dict[str, Any]:
    count = len(curve.values)
    kept: Sequence[int] = range(count)
    if count > limit:
        kept = np.unique(np.linspace(0, count - 1, limit).astype(np.int64)).tolist()
    across = curve.epochs if by_epoch else curve.steps
    values = (curve.values[place] for place in kept)
    return {
        "x": [across[place] for place in kept],
        # Plotly leaves a gap at null; JSON has no NaN.
        "y": [float(f"{value:.6g}") if math.isfinite(value) else None for value in values],
    }
