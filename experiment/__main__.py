"""What is done with runs afterwards (list, compare, upload, predict …), and with pictures before: inspect."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiment import not_installed

try:
    from experiment.commands import compare as compare_command
    from experiment.commands import list_show as listing
    from experiment.commands import models as model_commands
    from experiment.errors import UserError
    from experiment.store.directory import RunDirectory
    from experiment.store.files import DamagedFile
    from experiment.store.find import Runs, list_runs
    from experiment.store.record import RUNNING, read_run
    from experiment.system import streams
    from experiment.system.environment import read_environment
    from experiment.system.parser import RUNS, Parser, end
except ModuleNotFoundError as error:
    sys.exit(f"python -m experiment: {not_installed(error)}")


@dataclasses.dataclass(frozen=True)
class Command:
    """A subcommand: what it is for, the arguments it takes beside ``--runs`` and ``--json``, what it does."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 not all of it, 2 bad input."""
    parser = Parser(prog="python -m experiment", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(name, help=command.help, description=command.help)
        subparser.add_argument("--runs", type=Path, default=Path(RUNS), metavar="DIR", help="run directories")
        subparser.add_argument("--json", action="store_true", help="print JSON")
        command.add_arguments(subparser)
        subparser.set_defaults(run_command=command.run)
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        return options.run_command(options)
    except UserError as error:
        parser.error(str(error))


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
            print(f"run {directory.key[:12]}: {directory.archive}")
            for sentence in missing:
                print(f"  {sentence}")
    _close(options, results, "no run waits for recovery")
    return 1 if problems else 0


def upload_command(options: argparse.Namespace) -> int:
    """Send runs to Comet and verify that they arrived."""
    read_environment()
    from experiment.comet import upload

    ledgers = []
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
                f"run {directory.key[:12]}: {upload.counted(ledger)} verified"
                if ledger["verified"]
                else f"run {directory.key[:12]}: not verified: {', '.join(ledger['missing'])}"
            )
            if ledger["url"]:
                print(f"  {ledger['url']}")
    _close(options, ledgers, "no run waits for upload")
    return 0 if all(ledger["verified"] for ledger in ledgers) and not problems else 1


def _no_arguments(parser: argparse.ArgumentParser) -> None:  # noqa: ARG001
    """Add none."""


def _one_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="key, its beginning, name, directory or Comet archive")


def _runs_or_all(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="*", metavar="RUN", help="key, its beginning, name, or path")
    parser.add_argument("--all", action="store_true", help="every run that needs it")


def _upload_arguments(parser: argparse.ArgumentParser) -> None:
    _runs_or_all(parser)
    parser.add_argument("--workspace", help="instead of the run's own")
    parser.add_argument("--project", help="instead of the run's own")


COMMANDS = {
    "list": Command("list runs, newest first", _no_arguments, listing.list_command),
    "show": Command("show one run whole", _one_run, listing.show_command),
    "compare": Command(
        "compare runs: what differs, groups of seeds, verdicts, one HTML file",
        *(compare_command.add_arguments, compare_command.run),
    ),
    "recover": Command("build the archives of runs that were killed", _runs_or_all, recover_command),
    "upload": Command("send runs to Comet and verify that they arrived", _upload_arguments, upload_command),
    "inspect": Command(
        "look at a folder of pictures, or at arrays, as training would, without training",
        *(model_commands.inspect_arguments, model_commands.inspect_command),
    ),
    "predict": Command(
        "classify pictures with a run's model, or with a copy of its model/",
        *(model_commands.predict_arguments, model_commands.predict_command),
    ),
    "export": Command(
        "export a run's model, checked against Keras",
        *(model_commands.export_arguments, model_commands.export_command),
    ),
}


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


def _leave_out(error: ValueError, options: argparse.Namespace) -> list[str]:
    """Say which run of several is left out, and why; of a single one that was named it is bad input."""
    if len(options.run) == 1:
        raise error
    print(f"left out: {error}", file=sys.stderr)
    return [str(error)]


def _needs_upload(directory: RunDirectory) -> bool:
    from experiment.comet import upload

    run = read_run(directory.path)
    return run["mode"] != "disabled" and run["status"] != RUNNING and not upload.is_verified(directory)


def _close(options: argparse.Namespace, results: list[Any], nothing: str) -> None:
    if options.json:
        streams.print_json(results)
    elif not results:
        print(nothing, file=sys.stderr)


if __name__ == "__main__":
    streams.settle_for_command("python -m experiment")
    end(main)
