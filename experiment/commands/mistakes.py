"""A run's errors, traced to files: ``show RUN --mistakes``, and ``suspects``, labels that may be wrong."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from experiment.errors import UserError
from experiment.store.find import Runs, read_runs
from experiment.store.held_out import FILE, Predicted, read_table
from experiment.store.record import FINISHED, RunRecord
from experiment.system import streams
from experiment.system.names import counted, short
from experiment.system.text_table import format_table

SHOWN = 40


def print_mistakes(record: RunRecord, as_json: bool) -> int:
    """Print every picture that a run classified wrongly, the most confident first.

    Raises:
        UserError: the run keeps no predictions by file.
    """
    content = record.file(FILE)
    if content is None:
        raise UserError(f"run {short(record.key)} has no {FILE}: only finished runs on pictures have one")
    rows = read_table(content, f"{FILE} of run {short(record.key)}")
    wrong = sorted((row for row in rows if row.label != row.predicted), key=lambda row: -row.probability)
    if as_json:
        streams.print_json([dataclasses.asdict(row) for row in wrong])
        return 0
    print(format_table([("file", "label", "predicted", "sure", "part"), *map(_cells, wrong)]))
    counts = {part: sum(row.part == part for row in rows) for part in ("validation", "test")}
    held = " and ".join(f"{count} {part}" for part, count in counts.items() if count)
    print(f"{len(wrong)} of {held} pictures; all of them are in {FILE}", file=sys.stderr)
    return 0


def _cells(row: Predicted) -> tuple[str, ...]:
    return row.file, row.label, row.predicted, f"{row.probability:.1%}", row.part


def suspects_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``suspects``."""
    parser.add_argument(
        "run", nargs="+", metavar="RUN", help="runs on one set; a fold's run stands for all its folds"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the set as a table of labels, suspects first"
    )
    parser.add_argument(
        "--top", type=int, default=SHOWN, metavar="N", help=f"how many to print (default: {SHOWN})"
    )


def _with_other_folds(record: RunRecord, runs: Path) -> list[RunRecord]:
    """Return a run and, if it held out one fold of several, those that were made with it for the others."""
    made = record.run.get("sweep", {}).get("sweep")
    if "fold" not in record.params or not made:
        return [record]
    others = (each for each in read_runs(runs)[0] if each.run.get("sweep", {}).get("sweep") == made)
    return [record, *(each for each in others if each.key != record.key and each.status == FINISHED)]


def suspects_command(options: argparse.Namespace) -> int:
    """Name labels that are probably wrong, the most suspicious first."""
    if options.top < 1:
        raise UserError(f"top = {options.top}: should be 1 or more")
    from experiment.compare import suspects

    runs = Runs(options.runs)
    records = [runs.read(run) for run in options.run]
    if len(records) == 1:
        records = _with_other_folds(records[0], options.runs)
    found = suspects.find_suspects(records)
    if options.csv:
        suspects.write_table(found, records[0], options.csv)
    flagged = found.flagged
    if options.json:
        shown = [dataclasses.asdict(each) for each in flagged]
        streams.print_json({"judged": len(found.judged), "pictures": found.pictures, "suspects": shown})
        return 0
    header = ("file", "label", "suggested", "quality", "part")
    lines = [
        (each.file, each.label, each.suggested, f"{each.quality:.4f}", each.part)
        for each in flagged[: options.top]
    ]
    print(format_table([header, *lines]))
    more = f", of which {options.top} are shown" if len(flagged) > options.top else ""
    judges = f"by {counted(found.runs, 'run')} not trained on them"
    judged = f"{len(found.judged)} of {found.pictures} pictures were judged, {judges}"
    print(f"{counted(len(flagged), 'suspected label')}{more}; {judged}", file=sys.stderr)
    if options.csv:
        print(f"{options.csv}: correct its labels, then train with --dataset {options.csv}", file=sys.stderr)
    return 0
