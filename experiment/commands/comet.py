"""``recover`` and ``upload``: what brings runs of this machine to Comet."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiment.commands.choice import add_where, no_match, read_all
from experiment.errors import UserError
from experiment.store.directory import RunDirectory
from experiment.store.files import DamagedFile
from experiment.store.find import Runs, list_runs
from experiment.store.record import RUNNING, read_run
from experiment.store.selection import matching
from experiment.system import streams
from experiment.system.environment import read_environment
from experiment.system.names import short


def runs_or_all(parser: argparse.ArgumentParser) -> None:
    """Add the runs that are meant: by name, or all that need it."""
    parser.add_argument("run", nargs="*", metavar="RUN", help="key, its beginning, name, or path")
    parser.add_argument("--all", action="store_true", help="every run that needs it")


def upload_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``upload``."""
    runs_or_all(parser)
    add_where(parser)
    parser.add_argument("--workspace", help="instead of the run's own")
    parser.add_argument("--project", help="instead of the run's own")


def recover_command(options: argparse.Namespace) -> int:
    """Build the archives of runs that were killed."""
    from experiment.store import archive_writer as archives

    results = []
    chosen, problems = _chosen(options, lambda directory: read_run(directory.path)["status"] == RUNNING)
    for directory in chosen:
        try:
            missing = archives.recover(directory)
        except UserError as error:
            problems += _leave_out(error, options)
            continue
        results.append({"key": directory.key, "archive": str(directory.archive), "missing": missing})
        if not options.json:
            print(f"run {short(directory.key)}: {directory.archive}")
            for sentence in missing:
                print(f"  {sentence}")
    _close(options, results, "no run waits for recovery")
    return 1 if problems else 0


def upload_command(options: argparse.Namespace) -> int:
    """Send runs to Comet and verify that they arrived."""
    read_environment()
    from experiment.comet import upload

    ledgers = []
    if options.where is not None:
        chosen, problems = _matching(options)
    else:
        chosen, problems = _chosen(options, _needs_upload)
    for directory in chosen:
        try:
            ledger = upload.upload(
                directory, lambda text: print(text, file=sys.stderr), options.workspace, options.project
            )
        except DamagedFile as error:
            problems += _leave_out(error, options)
            continue
        ledgers.append(ledger)
        if not options.json:
            print(
                f"run {short(directory.key)}: {upload.contents(ledger)} verified"
                if ledger["verified"]
                else f"run {short(directory.key)}: not verified: {', '.join(ledger['missing'])}"
            )
            if ledger["url"]:
                print(f"  {ledger['url']}")
    _close(options, ledgers, "no run waits for upload")
    return 0 if all(ledger["verified"] for ledger in ledgers) and not problems else 1


def _chosen(
    options: argparse.Namespace, needs: Callable[[RunDirectory], bool]
) -> tuple[list[RunDirectory], list[str]]:
    """Return the runs that were named, or with --all those that need it and are not alive.

    Of runs that cannot be read --all prints and returns a sentence each.
    """
    if bool(options.run) == options.all:
        raise UserError("name runs, or give --all")
    if options.run:
        runs = Runs(options.runs)
        return [runs.find(run) for run in options.run], []
    chosen: list[RunDirectory] = []
    problems: list[str] = []
    for directory in map(RunDirectory, list_runs(options.runs)):
        try:
            chosen += [directory] if not directory.is_alive() and needs(directory) else []
        except UserError as error:
            problems += _leave_out(error, options)
    return chosen, problems


def _matching(options: argparse.Namespace) -> tuple[list[RunDirectory], list[str]]:
    """Return the runs that ``--where`` means and need an upload, and a sentence about each unreadable."""
    if options.run or options.all:
        raise UserError("name runs, give --all, or say which by --where: one of them")
    problems: list[str] = []
    records = matching(read_all(options, problems.append), options.where)
    if not records:
        raise UserError(no_match(options))
    for problem in problems:
        print(problem, file=sys.stderr)
    found = [RunDirectory(Path(record.source)) for record in records]
    return [each for each in found if not each.is_alive() and _needs_upload(each)], problems


def _leave_out(error: ValueError, options: argparse.Namespace) -> list[str]:
    """Say which run of several is left out, and why; of a single one that was named it is bad input."""
    if len(options.run) == 1:
        raise error
    print(f"left out: {error}", file=sys.stderr)
    return [str(error)]


def _needs_upload(directory: RunDirectory) -> bool:
    from experiment.comet import upload

    run = read_run(directory.path)
    # A killed run counts as running until it is recovered, and has no archive yet.
    return run["mode"] != "disabled" and run["status"] != RUNNING and not upload.is_verified(directory)


def _close(options: argparse.Namespace, results: list[Any], nothing: str) -> None:
    if options.json:
        streams.print_json(results)
    elif not results:
        print(nothing, file=sys.stderr)
