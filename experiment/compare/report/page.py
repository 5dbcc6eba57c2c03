"""A ``Comparison`` as one HTML file that needs nothing but a browser: no network, no other file."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiment.compare import answers
from experiment.compare.comparison import Comparison
from experiment.compare.directions import direction_of
from experiment.compare.groups import value_of
from experiment.compare.importance import parameter_importance
from experiment.compare.report import mistakes
from experiment.compare.tables import finite_or_none
from experiment.errors import UserError
from experiment.store.curves import Curve, collect_curves
from experiment.store.files import plain_json
from experiment.store.record import RunRecord
from experiment.system.names import counted

FOLDER = Path(__file__).parent
SCRIPTS = ("page.js", "pair.js", "charts.js")  # the last one starts
POINTS_OF_ALL_CURVES = 400_000  # 8 bytes each in the page; what is over is thinned out, evenly
MOST_POINTS, FEWEST_POINTS = 500, 20
_NOT_DRAWN = re.compile(r"test_|sys\.cpu\.percent\.\d|sys\.ram\.total")  # single values, and each core


def check_installed() -> None:
    """Check that what a report needs is there.

    Raises:
        UserError: it is not; the sentence says what to install.
    """
    missing = [name for name in ("plotly", "jinja2") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--html needs {' and '.join(missing)}: pip install -c constraints.txt -e '.[report]' "
            "(or pip install plotly jinja2)"
        )


def write_report(comparison: Comparison, path: Path) -> None:
    """Write the report.

    Raises:
        UserError: it cannot be written there, or plotly or jinja2 is not installed.
    """
    check_installed()
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("page.html").render(
        title=f"{counted(len(comparison.records), 'run')} compared",
        comparison=comparison,
        answers=[
            (block.title, [(verdict.verdict, answers.verdict_text(verdict)) for verdict in block.verdicts])
            for block in answers.blocks(comparison)
        ],
        undecided=answers.undecided(comparison),
        method=answers.method_text(comparison),
        written=time.strftime("%Y-%m-%d %H:%M"),
        data=_for_script(_payload(comparison)),
        plotly=get_plotlyjs(),
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        scripts=[(FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS],
    )
    try:
        path.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"--html '{path}' cannot be written: {error.strerror}") from None


def _for_script(content: Any) -> str:
    """Return JSON that no HTML parser can take for the end of a script, whatever names users typed."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _payload(comparison: Comparison) -> dict[str, Any]:
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
    return {
        "key": record.key,
        "name": record.name,
        "status": record.status,
        "mode": record.mode,
        "started": record.run.get("started"),
        "tags": list(record.run.get("tags") or []),
        "dataset": record.run.get("dataset", {}).get("name"),
        "testSet": record.run.get("dataset", {}).get("test_fingerprint"),
        "url": record.run.get("url"),
        "params": dict(record.params),
        "value": value_of(results, metric),
        "best": results.get("best", {}),
        "last": results.get("last", {}),
        "test": {name: value for name, value in results.items() if name.startswith("test_")},
        "seconds": results.get("process_s"),
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
