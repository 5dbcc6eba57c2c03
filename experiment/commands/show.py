"""``python -m experiment show``: one run as a page for people; all of it with ``--all`` or ``--json``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from typing import Any

from experiment.commands import show_page
from experiment.commands.mistakes import print_mistakes
from experiment.commands.registry import RUNS, local
from experiment.store.files import plain_json
from experiment.store.find import Runs
from experiment.store.usage import usage_lines
from experiment.system import streams
from experiment.system.text_table import printable, terminal_width

_TIMES = ("started", "ended", "process.since")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run that is meant."""
    parser.add_argument("run", metavar="RUN", help=f"{RUNS}, or a Comet archive")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--all", action="store_true", help="everything that is recorded of it")
    what.add_argument("--mistakes", action="store_true", help="list pictures that it classified wrongly")
    what.add_argument("--figures", action="store_true", help="draw figures that are missing, and list all")


def run(options: argparse.Namespace) -> int:
    """Show one run."""
    record = Runs(options.runs).read(local(options.run))
    if options.mistakes:
        return print_mistakes(record, options.json)
    if options.figures:
        # A tenth of a second that no other command needs.
        from experiment.commands.figures import print_figures

        return print_figures(record, options.json)
    whole = {"run": record.run, "params": record.params, "results": record.results}
    if options.json:
        streams.print_json(plain_json(whole))
    elif options.all:
        _print_all(whole)
        if lines := usage_lines(record):
            print("machine", *lines, sep="\n  ")
        print(f"files\n  {record.source}")
    else:
        print(show_page.page(record, terminal_width(), streams.takes("▁█×")))
    return 0


def _print_all(whole: Mapping[str, Mapping[str, Any]]) -> None:
    for title, values in whole.items():
        print(title)
        for name, value in _flatten(values):
            clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value)) if name in _TIMES else value
            print(f"  {name:<28} " + "\n".join(map(printable, str(clock).splitlines())))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what is known, by names with a dot between their levels; what is None or empty is not."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif value is not None and value != []:
            yield f"{prefix}{name}", " ".join(map(str, value)) if isinstance(value, list) else value
