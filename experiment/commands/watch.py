"""``python -m experiment watch``: runs looked at in the terminal while they train."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import sys

from experiment.commands.choice import add_where
from experiment.errors import UserError
from experiment.system import streams
from experiment.watch.live import LiveRun, chosen_records


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the runs that are meant."""
    parser.add_argument(
        "run",
        nargs="*",
        metavar="RUN",
        help="key, its beginning, name or directory (default: all that run or ended within the hour)",
    )
    add_where(parser)


def run(options: argparse.Namespace) -> int:
    """Show runs until ``q`` is pressed; with ``--json``, print one look at them."""
    choose = functools.partial(chosen_records, options.runs, options.run, options.where)
    records = choose()
    if options.json:
        streams.print_json([LiveRun(record).facts() for record in records])
        return 0
    missing = [name for name in ("textual", "textual_plotext") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError("watch needs textual: pip install -c constraints.txt -e '.[watch]'")
    if not (sys.stdin.isatty() and streams.is_terminal()):
        raise UserError("watch needs a terminal; --json prints one look at the runs")
    from experiment.watch.screen import Watch

    Watch(choose).run()
    return 0
