"""List runs and show one: from the run directories alone, so that the answer comes at once."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from experiment.commands.mistakes import print_mistakes
from experiment.store.curves import results_of
from experiment.store.directory import RunDirectory
from experiment.store.files import plain_json
from experiment.store.find import Runs, read_runs
from experiment.store.record import RUNNING, RunRecord
from experiment.store.usage import usage_lines
from experiment.system import streams
from experiment.system.names import short
from experiment.system.text_table import format_table, printable

_HEADER = ("run", "started", "status", "mode", "dataset", "epochs", "best val", "last val", "test", "seconds")
_TIMES = ("started", "ended", "process.since")


def list_arguments(parser: argparse.ArgumentParser) -> None:  # noqa: ARG001
    """Add none."""


def show_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run that is meant."""
    parser.add_argument("run", metavar="RUN", help="key, its beginning, name, directory or Comet archive")
    parser.add_argument("--mistakes", action="store_true", help="list pictures that it classified wrongly")


def list_command(options: argparse.Namespace) -> int:
    """List runs, newest first."""
    records, problems = read_runs(options.runs)
    for problem in problems:
        print(problem, file=sys.stderr)
    defaults = _defaults()
    rows = [_row(record, defaults) for record in reversed(records)]
    if options.json:
        streams.print_json(plain_json(rows))
    elif not rows:
        print(f"no runs in {options.runs}", file=sys.stderr)
    else:
        print(format_table([(*_HEADER, "name, changes"), *map(_cells, rows)]))
    return 0


def show_command(options: argparse.Namespace) -> int:
    """Show one run whole."""
    record = Runs(options.runs).read(options.run)
    if options.mistakes:
        return print_mistakes(record, options.json)
    whole = {"run": record.run, "params": record.params, "results": record.results}
    if options.json:
        streams.print_json(plain_json(whole))
        return 0
    for title, values in whole.items():
        print(f"{title}")
        for name, value in _flatten(values):
            shown = _clock(value, "%Y-%m-%d %H:%M:%S") if name in _TIMES and value else value
            # Names and errors may hold what moves a terminal's cursor.
            text = "\n".join(map(printable, str(shown).splitlines()))
            print(f"  {name:<28} {text}")
    if lines := usage_lines(record):
        print("machine", *lines, sep="\n  ")
    print(f"files\n  {record.source}")
    return 0


def _defaults() -> dict[str, Any]:
    from params.spec import Params, parameter_name

    return {parameter_name(name): field.default for name, field in Params.model_fields.items()}


def _row(record: RunRecord, defaults: dict[str, Any]) -> dict[str, Any]:
    results = results_of(record)
    return {
        "key": record.key,
        "name": record.name,
        "started": record.run.get("started"),
        "status": record.status if record.status != RUNNING or _alive(record) else "killed",
        "mode": record.mode,
        "dataset": record.run.get("dataset", {}).get("name"),
        "changed": {name: value for name, value in record.params.items() if defaults.get(name) != value},
        "epochs": results.get("epochs"),
        "best_val_accuracy": results.get("best", {}).get("val_accuracy"),
        "val_accuracy": results.get("last", {}).get("val_accuracy"),
        "test_accuracy": results.get("test_accuracy"),
        "seconds": results.get("process_s"),
    }


def _alive(record: RunRecord) -> bool:
    return RunDirectory(Path(record.source)).is_alive()


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    accuracies = (row["best_val_accuracy"], row["val_accuracy"], row["test_accuracy"])
    changed = " ".join(f"{name}={value}" for name, value in row["changed"].items() if name != "dataset")
    return (
        short(row["key"]),
        _clock(row["started"], "%Y-%m-%d %H:%M"),
        *(row["status"], row["mode"], row["dataset"] or "", str(row["epochs"] or "")),
        *("" if value is None else f"{float(value):.4f}" for value in accuracies),
        "" if row["seconds"] is None else f"{row['seconds']:.0f}",
        f"{row['name']}  {changed}".rstrip(),
    )


def _clock(seconds: float | None, form: str) -> str:
    return "" if seconds is None else time.strftime(form, time.localtime(seconds))


def _flatten(values: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += _flatten(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", " ".join(map(str, value)) if isinstance(value, list) else value))
    return found
