"""Runs as the columns that ``list`` prints."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from experiment.store import columns as store_columns
from experiment.store.columns import Row
from experiment.system.names import short
from experiment.system.text_table import Column, number_text

_SPANS = ((7 * 86400, "w"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def usual(rows: Sequence[Row]) -> list[Column]:
    """Return what is shown where nobody chose: what is empty everywhere is left out."""
    from params.spec import default_parameters

    defaults = default_parameters()
    best = [row.results.get("best_val_accuracy") for row in rows]
    last = [row.results.get("val_accuracy") for row in rows]
    test = [row.results.get("test_accuracy") for row in rows]
    table = [
        Column("run", [short(row.record.key) for row in rows]),
        Column("age", [_age(row) for row in rows], rank=5, right=True),
        Column("status", [row.status for row in rows], rank=1),
        Column("name", [row.record.name for row in rows], rank=3, shortest=16),
        Column("epochs", [_epochs(row) for row in rows], rank=6, right=True),
        *(
            Column(title, [_decimals(value, 4) for value in values], rank=rank, right=True)
            for title, values, rank in (("best val", best, 4), ("last val", last, 9), ("test", test, 2))
        ),
        Column("seconds", [_decimals(row.results.get("seconds"), 0) for row in rows], rank=10, right=True),
        Column("tags", [" ".join(row.record.run.get("tags") or []) for row in rows], rank=8, shortest=10),
        Column("note", [one_line(row.record.run.get("note")) for row in rows], rank=7, shortest=10),
        Column("dataset", [_dataset(row) for row in rows], rank=11, shortest=10),
        Column("mode", [row.record.mode for row in rows], rank=13),
        Column("changes", [_changes(row, defaults) for row in rows], rank=12, shortest=16),
    ]
    return [column for column in table if any(column.cells)]


def of_columns(chosen: Sequence[store_columns.Column], rows: Sequence[Row]) -> list[Column]:
    """Return chosen columns; where there is no room, the last one is dropped first."""
    table = []
    for place, column in enumerate(chosen):
        values = [column.of(row) for row in rows]
        right = all(isinstance(value, (int, float, type(None))) for value in values)
        cells = [cell_text(column.name, value) for value in values]
        table.append(Column(column.name, cells, rank=place, right=right, shortest=None if right else 12))
    return table


def cell_text(name: str, value: Any) -> str:
    """Return a value of a column as a cell shows it."""
    if value is None:
        return ""
    if name == "key":
        return short(value)
    if name == "started":
        return clock_text(value)
    if name == "age":
        return span_text(value)
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return number_text(value) if isinstance(value, (int, float)) else one_line(value)


def clock_text(seconds: float) -> str:
    """Return a time, in seconds since 1970, as a local date and time of day."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def span_text(seconds: float) -> str:
    """Return how long something lasts, in its largest unit: '45 s', '3 d'."""
    size, unit = next((span for span in _SPANS if seconds >= 2 * span[0]), (1, "s"))
    return f"{seconds / size:.0f} {unit}"


def _age(row: Row) -> str:
    age = store_columns.FACTS["age"].of(row)
    return "" if age is None else span_text(max(age, 0))


def _epochs(row: Row) -> str:
    """Return how many epochs a run trained; of one that stopped early or goes on, of how many."""
    done, planned = row.results.get("epoch"), row.record.params.get("epochs")
    return "" if not done else f"{done}" if done == planned or planned is None else f"{done}/{planned}"


def _dataset(row: Row) -> str:
    return str(row.record.params.get("dataset") or row.record.run.get("dataset", {}).get("name") or "")


def _changes(row: Row, defaults: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in changed(row, defaults).items() if name != "dataset")


def changed(row: Row, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run that are not at their defaults."""
    return {name: value for name, value in row.record.params.items() if defaults.get(name) != value}


def _decimals(value: Any, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def one_line(text: Any) -> str:
    """Return a text without its line breaks."""
    return " ".join(str(text or "").split())
