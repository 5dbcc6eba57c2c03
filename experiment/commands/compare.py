"""``python -m experiment compare``: its arguments, and what is printed and written."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiment.commands.choice import add_where, no_match, read_all
from experiment.errors import UserError
from experiment.store.files import DamagedFile
from experiment.store.find import Runs, list_runs
from experiment.store.record import RunRecord
from experiment.store.selection import matching
from experiment.system import streams
from experiment.system.environment import read_environment
from experiment.system.names import short, some

if TYPE_CHECKING:
    from experiment.compare.comparison import Comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "run",
        nargs="*",
        metavar="RUN",
        help="key, its beginning, name, run directory or Comet archive (default: all there are)",
    )
    add_where(parser)
    parser.add_argument(
        "--online", metavar="WORKSPACE/PROJECT", help="read runs that are not here from Comet"
    )
    parser.add_argument(
        "--baseline", metavar="RUN", help="what deltas are taken against (default: the first run)"
    )
    parser.add_argument("--metric", metavar="M", help="what verdicts are about (default: test_accuracy)")
    parser.add_argument("--all-params", action="store_true", help="show parameters that agree, too")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write a report that needs nothing but a browser"
    )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="with --html: serve the report to this machine alone, its curves growing while runs train",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table of runs")


def run(options: argparse.Namespace) -> int:
    """Compare runs."""
    from experiment.compare import tables as compare_tables

    _check(options)
    if options.html:
        from experiment.compare.report import page as report

        report.check_installed()
    comparison = _compare(options)
    if options.csv:
        compare_tables.write_csv(comparison, options.csv)
    if options.html:
        report.write_report(comparison, options.html)
    if options.json:
        streams.print_json(compare_tables.as_json(comparison))
    else:
        print(compare_tables.as_text(comparison))
    if online := [record for record in comparison.records if record.run.get("url")]:
        _say_where(online)
    if options.follow:
        _follow(options)
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.follow and not options.html:
        raise UserError("--follow serves the report: say by --html FILE where it is to be written, too")
    if options.follow and options.online:
        raise UserError("--follow reads runs of this machine as they train: leave out --online")


def _compare(options: argparse.Namespace, say: Callable[[str], None] | None = None) -> Comparison:
    """Compare what the options name; ``say`` is told of runs that cannot be read, by default stderr."""
    from experiment.compare import comparison as compare

    runs = Runs(options.runs)
    records = _load(options.run, options, runs, say)
    if options.where is not None and records:
        records = matching(records, options.where)
        if not records:
            raise UserError(no_match(options))
    baseline = _load([options.baseline], options, runs)[0] if options.baseline else None
    return compare.compare_runs(
        records, metric=options.metric, baseline=baseline, all_params=options.all_params
    )


def _follow(options: argparse.Namespace) -> None:
    """Serve the report until Ctrl-C, and write it once more then."""
    from experiment.compare.report import page as report
    from experiment.compare.report.server import Followed, Server

    followed = Followed(lambda: _compare(options, say=lambda _: None), lambda: list_runs(options.runs))
    with Server(followed) as server:
        print(f"follow at {server.address} until Ctrl-C; only this machine can", file=sys.stderr, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.2)
    report.write_report(followed.comparison, options.html)
    print(f"written as it was at the end: {options.html}", file=sys.stderr)


def _load(
    names: Sequence[str],
    options: argparse.Namespace,
    runs: Runs,
    say: Callable[[str], None] | None = None,
) -> list[RunRecord]:
    """Read runs from here and, with ``--online``, from Comet what is not here; in the order of names."""
    if options.online:
        return _load_with_online(names, options, runs)
    if names:
        return [runs.read(name) for name in names]
    return read_all(options, say)


def _load_with_online(names: Sequence[str], options: argparse.Namespace, runs: Runs) -> list[RunRecord]:
    read_environment()
    from experiment.comet import runs as online

    found: dict[str, RunRecord] = {}
    for name in names:
        try:
            found[name] = runs.read(name)
        # It is here, and damaged: Comet's copy must not take its place in silence.
        except DamagedFile:
            raise
        except UserError:
            # A path was meant; no key or name in Comet looks like one.
            if os.path.exists(name):
                raise
    elsewhere = [name for name in names if name not in found]
    if names and not elsewhere:
        return [found[name] for name in names]
    fetched = online.fetch_runs(options.online, elsewhere, with_tags=options.html is not None)
    if not names:
        return fetched
    found |= dict(zip(elsewhere, fetched, strict=True))
    return [found[name] for name in names]


def _say_where(online: Sequence[RunRecord]) -> None:
    """Print where Comet shows the runs.

    No address of chosen runs side by side is to be found in its SDK or documentation: the project's page is
    as near as an honest link comes.
    """
    projects = dict.fromkeys(record.run["url"].rpartition("/")[0] for record in online)
    keys = some([short(record.key) for record in online], 6)
    for url in projects:
        print(f"in Comet: {url} – tick {keys} and choose Compare", file=sys.stderr)
