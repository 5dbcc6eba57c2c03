"""Rows as CSV that spreadsheets open without running what is in it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any, TextIO


def write_rows(file: TextIO, rows: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> None:
    """Write rows under a header; a cell that a spreadsheet would run as a formula is quoted by an apostrophe.

    Args:
        file: opened with ``newline=""``.
        rows: values by the names of their columns; one that is missing is an empty cell.
        names: of the columns, in order; by default all that any row has.
    """
    names = names or list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(map(_cell, names))
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value
