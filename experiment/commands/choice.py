"""The runs that a command is about, by their names or by ``--where``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from experiment.errors import UserError
from experiment.store import selection
from experiment.store.directory import RunDirectory
from experiment.store.find import Runs, read_runs
from experiment.store.record import RunRecord

EXAMPLE = '"optimizer=adam and test_accuracy>0.97"'


def add_where(parser: argparse.ArgumentParser) -> None:
    """Add ``--where``."""
    parser.add_argument(
        "--where", metavar="EXPRESSION", help=f"runs that are so, such as {EXAMPLE} (see docs/runs.md)"
    )


def read_all(options: argparse.Namespace, say: Callable[[str], None] | None = None) -> list[RunRecord]:
    """Return all runs that can be read, the oldest first; of others a sentence goes to ``say``, or stderr."""
    records, problems = read_runs(options.runs)
    for problem in problems:
        (say or _to_stderr)(problem)
    return records


def chosen(options: argparse.Namespace) -> list[RunDirectory]:
    """Return the runs that were named, or else those that ``--where`` means.

    Raises:
        UserError: both were given, or neither; a name means none; the expression is wrong or means none.
    """
    if bool(options.run) == (options.where is not None):
        raise UserError("name runs, or say which by --where, not both" if options.run else NEITHER)
    if options.run:
        runs = Runs(options.runs)
        named = map(runs.find, options.run)
        return list({directory.path: directory for directory in named}.values())
    found = selection.matching(read_all(options), options.where)
    if not found:
        raise UserError(no_match(options))
    return [RunDirectory(Path(record.source)) for record in found]


NEITHER = f"name runs, or say which: --where {EXAMPLE}"


def no_match(options: argparse.Namespace) -> str:
    """Return the sentence about an expression that means no run."""
    return f"no run in {options.runs} is so: --where {options.where!r}"


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr)
