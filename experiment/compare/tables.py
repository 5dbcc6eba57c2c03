"""A ``Comparison`` as text, CSV and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiment.compare import answers
from experiment.compare.comparison import Comparison
from experiment.compare.directions import lower_is_better
from experiment.compare.groups import value_of
from experiment.compare.origins import test_set_of
from experiment.errors import UserError
from experiment.store.files import plain_json
from experiment.system.csv_table import write_rows
from experiment.system.names import short
from experiment.system.text_table import format_table, number_text

SIDE_BY_SIDE = 6  # that many runs at most are columns; more are rows
_COLUMNS = ("key", "name", "status", "mode", "epochs", "source", "epoch_s", "process_s")
_PREFIXES = ("best ", "last ", "test_", "delta ", "val_", "parameter ")
_AT_AN_EPOCH = ("val_loss", "val_accuracy")
_OF_THE_TEST = ("test_loss", "test_accuracy")


def as_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one flat row a run: key, name, status, parameters, metrics at best and last epoch, deltas.

    A ``delta`` is a metric minus the baseline's; None for those of the test set where the two have another.
    """
    columns = {name: parameter_column(name) for name in comparison.parameters}
    metrics = [_metrics(results, comparison.metric) for results in comparison.results]
    test_set = test_set_of(comparison.records[comparison.baseline])
    rows = []
    for record, results, each in zip(comparison.records, comparison.results, metrics, strict=True):
        rows.append(
            {
                **{"key": record.key, "name": record.name, "status": record.status, "mode": record.mode},
                **{column: record.params.get(name) for name, column in columns.items()},
                **{"epochs": results.get("epochs"), "best epoch": results.get("best", {}).get("epoch")},
                **each,
                **{name: results.get(name) for name in ("epoch_s", "process_s") if name in results},
                **_deltas(each, metrics[comparison.baseline], test_set_of(record) == test_set),
                "source": record.source,
            }
        )
    return rows


def _metrics(results: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """Return a run's metrics by their columns; the chosen one is always there, None without a value."""
    found = {
        f"{place} {name}": value
        for place in ("best", "last")
        for name, value in results.get(place, {}).items()
        if name != "epoch"
    }
    found |= {name: value for name, value in results.items() if name.startswith("test_")}
    return found | {metric: value_of(results, metric)}


def _deltas(
    metrics: Mapping[str, Any], baseline: Mapping[str, Any], same_test: bool
) -> dict[str, float | None]:
    pairs = {
        name: (value, baseline.get(name) if same_test or not name.startswith("test_") else None)
        for name, value in metrics.items()
    }
    return {
        f"delta {name}": None if value is None or base is None else float(value) - float(base)
        for name, (value, base) in pairs.items()
    }


def parameter_column(name: str) -> str:
    """Return the column of a parameter: its name, unless a column of ours is called so."""
    return f"parameter {name}" if name in _COLUMNS or name.startswith(_PREFIXES) else name


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return all of a comparison as what JSON can hold."""
    return plain_json(
        {
            "metric": comparison.metric,
            "lower_is_better": lower_is_better(comparison.metric),
            "baseline": comparison.records[comparison.baseline].key,
            "parameters": list(comparison.parameters),
            "runs": as_rows(comparison),
            "groups": [
                {
                    **{"label": group.label, "runs": [record.key for record in group.records]},
                    **{
                        "values": list(group.values),
                        "mean": group.mean,
                        "half_width": finite_or_none(group.half_width),
                    },
                }
                for group in comparison.groups
            ],
            "verdicts": [vars(verdict) for verdict in comparison.verdicts],
            "warnings": list(comparison.warnings),
        }
    )


def write_csv(comparison: Comparison, path: Path) -> None:
    """Write ``as_rows`` as CSV; a cell that a spreadsheet would run as a formula is quoted by an apostrophe.

    Raises:
        UserError: it cannot be written there.
    """
    try:
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            write_rows(file, as_rows(comparison))
    except OSError as error:
        raise UserError(f"--csv '{path}' cannot be written: {error.strerror}") from None


def as_text(comparison: Comparison) -> str:
    """Return tables of runs and groups, verdicts and warnings for a terminal."""
    parts = [format_table(_run_lines(comparison), transposed=len(comparison.records) <= SIDE_BY_SIDE)]
    answered = answers.blocks(comparison)
    titled = len(answered) > 1
    if any(len(group.values) > 1 for group in comparison.groups):
        lines = [["group", f"{comparison.metric}: mean ± 95 % interval", *(["tested on"] if titled else [])]]
        for block in answered:
            for group in block.groups:
                interval = interval_text(group.mean, group.half_width)
                lines.append([group.label, interval, *([block.title] if titled else [])])
        parts.append(format_table(lines))
    if comparison.verdicts:
        sentences = []
        for block in answered:
            sentences += [f"on {block.title}:"] if titled and block.verdicts else []
            sentences += map(answers.verdict_text, block.verdicts)
        for reason, pairs in answers.undecided(comparison).items():
            shown = f"{pairs[0]}: " if len(pairs) == 1 else f"{answers.count_text(pairs)}: "
            sentences.append(f"{shown}cannot say ({reason})")
        parts.append("\n".join([*sentences, answers.method_text(comparison)]))
    if comparison.warnings:
        parts.append("\n".join(f"warning: {sentence}" for sentence in comparison.warnings))
    return "\n\n".join(parts)


def finite_or_none(value: float) -> float | None:
    """Return a number that JSON and browsers know, or None."""
    return value if math.isfinite(value) else None


def interval_text(mean: float, half_width: float) -> str:
    """Return a mean with its interval."""
    return f"{mean:.4f}" if math.isnan(half_width) else f"{mean:.4f} ± {half_width:.4f}"


def _delta_text(value: float | None) -> str:
    """Return a difference to four places, ``+0.0000`` too; a smaller one to two digits."""
    if value is None:
        return ""
    return f"{value:+.4f}" if value == 0 or abs(value) >= 0.00005 else f"{value:+.2g}"


def _run_lines(comparison: Comparison) -> list[list[str]]:
    delta = f"delta {comparison.metric}"
    extra = [comparison.metric] if comparison.metric not in (*_AT_AN_EPOCH, *_OF_THE_TEST) else []
    done = "epochs done" if "epochs" in comparison.parameters else "epochs"
    header = ["run", "name", "status", *comparison.parameters, done, "best epoch"]
    header += [f"{name}, {place}" for name in _AT_AN_EPOCH for place in ("best", "last")]
    lines = [[*header, *_OF_THE_TEST, *extra, f"Δ {comparison.metric}"]]
    for place, row in enumerate(as_rows(comparison)):
        cells = [short(row["key"]), row["name"], row["status"]]
        values = [row[parameter_column(name)] for name in comparison.parameters]
        cells += ["" if value is None else str(value) for value in values]
        cells += [number_text(row["epochs"]), number_text(row.get("best epoch"))]
        names = [f"{place} {name}" for name in _AT_AN_EPOCH for place in ("best", "last")]
        cells += [number_text(row.get(name)) for name in (*names, *_OF_THE_TEST, *extra)]
        cells.append("baseline" if place == comparison.baseline else _delta_text(row[delta]))
        lines.append(cells)
    return lines
