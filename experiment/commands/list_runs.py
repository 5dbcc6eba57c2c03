"""``python -m experiment list``: from the run directories alone, so that the answer comes at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiment.commands import list_table
from experiment.commands.choice import add_where, no_match, read_all
from experiment.errors import UserError
from experiment.store import columns as store_columns
from experiment.store import selection
from experiment.store.columns import Columns, Row
from experiment.store.files import plain_json
from experiment.system import streams
from experiment.system.csv_table import write_rows
from experiment.system.names import counted
from experiment.system.text_table import fit_table, terminal_width

_STDOUT = Path("-")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which runs, in which order, and as what."""
    add_where(parser)
    parser.add_argument(
        "--sort", metavar="COLUMN,…", help="order by columns; -COLUMN the greatest first (default: -started)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="the first N")
    parser.add_argument("--columns", metavar="COLUMN,…", help="parameters, results, or facts of a run")
    parser.add_argument(
        "--csv", type=Path, nargs="?", const=_STDOUT, metavar="FILE", help="write CSV (default: to stdout)"
    )


def run(options: argparse.Namespace) -> int:
    """List runs, the newest first."""
    if options.csv == _STDOUT and options.json:
        raise UserError("--csv and --json both print: give --csv a file")
    records = read_all(options)
    rows = selection.select(reversed(records), options.where, options.sort, options.limit)
    chosen = selected_columns(options.columns, rows) if options.columns is not None else None
    if options.csv:
        _write_csv(options.csv, rows, chosen)
    if options.json:
        streams.print_json(plain_json(_as_json(rows, chosen)))
    elif not rows:
        said = no_match(options) if options.where is not None and records else f"no runs in {options.runs}"
        print(said, file=sys.stderr)
    elif not options.csv:
        _print_table(rows, chosen, len(records))
    return 0


def selected_columns(names: str, rows: Sequence[Row]) -> list[store_columns.Column]:
    """Return the columns of names with commas between them.

    Raises:
        UserError: there is none of a name.
    """
    known = Columns(rows)
    return [selection.column_of(name.strip(), known, "--columns") for name in names.split(",")]


def _print_table(rows: Sequence[Row], chosen: Sequence[store_columns.Column] | None, of: int) -> None:
    table = list_table.usual(rows) if chosen is None else list_table.of_columns(chosen, rows)
    text, dropped = fit_table(table, terminal_width())
    print(text)
    notes = [selection.count_text(rows, of)] if len(rows) < of else []
    if dropped:
        names = ", ".join(column.title for column in table if column.title in dropped)
        notes.append(
            f"no room for {counted(len(dropped), 'column')}: {names}; widen the terminal, or give --columns"
        )
    if notes:
        print("; ".join(notes), file=sys.stderr)


def _as_json(rows: Sequence[Row], chosen: Sequence[store_columns.Column] | None) -> list[dict[str, Any]]:
    if chosen is not None:
        return [{"key": row.record.key} | {each.name: each.of(row) for each in chosen} for row in rows]
    from params.spec import default_parameters

    defaults = default_parameters()
    return [_usual_json(row, defaults) for row in rows]


def _usual_json(row: Row, defaults: Mapping[str, Any]) -> dict[str, Any]:
    record = row.record
    return {
        "key": record.key,
        "name": record.name,
        "tags": record.run.get("tags") or [],
        "note": record.run.get("note"),
        "started": record.run.get("started"),
        "status": row.status,
        "mode": record.mode,
        "dataset": record.run.get("dataset", {}).get("name"),
        "changed": list_table.changed(row, defaults),
        "epochs": row.results.get("epoch"),
        "best_val_accuracy": row.results.get("best_val_accuracy"),
        "val_accuracy": row.results.get("val_accuracy"),
        "test_accuracy": row.results.get("test_accuracy"),
        "seconds": row.results.get("seconds"),
    }


def _write_csv(path: Path, rows: Sequence[Row], chosen: Sequence[store_columns.Column] | None) -> None:
    """Write runs as CSV, by default all that is known of them.

    Raises:
        UserError: it cannot be written there.
    """
    columns = Columns(rows).stored() if chosen is None else chosen
    table = [{column.name: _plain(column.of(row)) for column in columns} for row in rows]
    names = [column.name for column in columns]
    if path == _STDOUT:
        write_rows(sys.stdout, table, names)
        return
    try:
        with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
            write_rows(file, table, names)
    except OSError as error:
        raise UserError(f"--csv '{path}' cannot be written: {error.strerror}") from None


def _plain(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
