"""``python -m experiment remove``: runs into the trash and back; checkpoints of finished runs for good."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiment.commands.choice import add_where, chosen
from experiment.errors import UserError
from experiment.store import trash
from experiment.store.directory import RunDirectory
from experiment.store.directory_reader import read_record
from experiment.store.find import read_runs
from experiment.store.record import FINISHED, RunRecord
from experiment.system import streams
from experiment.system.names import counted, printable, short, some
from experiment.system.parser import command_in


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which runs, and what is to be done with them."""
    parser.add_argument("run", nargs="*", metavar="RUN", help="key, its beginning, name, or directory")
    add_where(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--undo", action="store_true", help="bring RUN, or the last removal, back")
    what.add_argument(
        "--checkpoints-only", action="store_true", help="delete those of finished runs, for good"
    )
    what.add_argument("--empty-trash", action="store_true", help="delete what is in the trash, for good")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--archives", type=Path, action="append", default=[], metavar="DIR", help="where to look for archives"
    )


def run(options: argparse.Namespace) -> int:
    """Remove runs, or bring them back."""
    if options.undo:
        return _undo(options)
    if options.empty_trash:
        return _empty_trash(options)
    directories = chosen(options)
    if busy := [each for each in directories if each.is_alive() or each.is_being_sent()]:
        names = some([short(directory.key) for directory in busy], 3)
        hint = '; add "and status!=running"' if options.where is not None else ""
        count = counted(len(busy), "run is", "runs are")
        raise UserError(f"{count} alive or being sent, nothing is removed: {names}{hint}")
    return _checkpoints(directories, options) if options.checkpoints_only else _remove(directories, options)


@dataclasses.dataclass(frozen=True)
class _Facts:
    """What is said of a run before it is removed."""

    directory: RunDirectory
    name: str
    size: int
    whole: bool
    said: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return {
            **{"key": self.directory.key, "name": self.name, "bytes": self.size},
            **{"elsewhere": self.whole, "said": list(self.said)},
        }


def _remove(directories: Sequence[RunDirectory], options: argparse.Namespace) -> int:
    facts = _gather(directories, options)
    for each in facts:
        _say(f"run {short(each.directory.key)}  {printable(each.name)}  {_megabytes(each.size)}", options)
        for sentence in each.said:
            _say(f"  {sentence}", options)
    alone = [each for each in facts if not each.whole]
    if alone:
        whose = f"{len(alone)} of {counted(len(facts), 'run')}" if len(facts) > 1 else "the run"
        _ask(f"of {whose} no whole copy was found elsewhere", "remove", options)
    moved = [
        each.as_json() | {"path": str(path)}
        for each, path in zip(facts, trash.throw_away(directories), strict=True)
    ]
    size, runs = _megabytes(sum(each.size for each in facts)), directories[0].path.parent
    _say(f"moved {counted(len(facts), 'run')}, {size}, to {Path(moved[0]['path']).parent}", options)
    _say(f"to bring back: {command_in(runs, 'experiment', 'remove', '--undo')}", options)
    _say(f"to free the disk: {command_in(runs, 'experiment', 'remove', '--empty-trash')}", options)
    if options.json:
        streams.print_json(moved)
    return 0


def _gather(directories: Sequence[RunDirectory], options: argparse.Namespace) -> list[_Facts]:
    from experiment.comet.copies import archives_in, find_copies

    for folder in options.archives:
        if not folder.is_dir():
            raise UserError(f"--archives '{folder}' is no folder")
    archives = archives_in([Path(), options.runs, options.runs.absolute().parent, *options.archives])
    records, _ = read_runs(options.runs)
    gathered = []
    for directory in directories:
        copies = find_copies(directory, archives)
        record = read_record(directory.path)
        said = [*copies.said, *_references(record, records)]
        if not copies.whole:
            said.append("no whole copy of it was found elsewhere")
        gathered.append(_Facts(directory, record.name, trash.size_of(directory.path), copies.whole, said))
    return gathered


def _references(record: RunRecord, records: Sequence[RunRecord]) -> list[str]:
    """Return what points to a run: those that repeat it, and the sweep that it is a trial of."""
    said = []
    repeating = [short(each.key) for each in records if _part(each, "rerun").get("of") == record.key]
    if repeating:
        said.append(f"repeated by {some(repeating, 3, 'runs')}")
    if sweep := _part(record, "sweep").get("sweep"):
        said.append(f"trial {_part(record, 'sweep').get('number', '')} of sweep {sweep}: that trains it anew")
    return said


def _part(record: RunRecord, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = record.run.get(name) or {}
    return found


def _undo(options: argparse.Namespace) -> int:
    if options.where is not None:
        raise UserError("--undo takes names, or the last removal; --where does not see the trash")
    places = trash.bring_back(options.runs, options.run)
    if options.json:
        streams.print_json([{"key": RunDirectory(place).key, "path": str(place)} for place in places])
    for place in places:
        _say(f"back: {place}", options)
    return 0


def _empty_trash(options: argparse.Namespace) -> int:
    if options.run or options.where is not None:
        raise UserError("--empty-trash takes no runs: it deletes all that is in the trash")
    size = trash.size_of(options.runs / trash.TRASH)
    if size:
        _ask(f"the trash holds {_megabytes(size)}", "delete it for good", options)
    freed = trash.empty(options.runs)
    _say(f"freed {_megabytes(freed)}" if freed else "the trash is empty", options)
    if options.json:
        streams.print_json({"bytes": freed})
    return 0


def _checkpoints(directories: Sequence[RunDirectory], options: argparse.Namespace) -> int:
    finished = []
    for directory in directories:
        status = read_record(directory.path).status
        if status == FINISHED:
            finished.append(directory)
        elif options.run:
            raise UserError(
                f"run {short(directory.key)} is {status}: its checkpoints are what --resume needs"
            )
    if not finished:
        raise UserError("no run of these is finished: of others --resume needs the checkpoints")
    size = sum(trash.size_of(directory.checkpoints) for directory in finished)
    what = f"checkpoints of {counted(len(finished), 'finished run')}, {_megabytes(size)}"
    _ask(f"without them these runs cannot be trained further: {what}", "delete them for good", options)
    freed = {directory.key: trash.remove_checkpoints(directory) for directory in finished}
    left = len(directories) - len(finished)
    kept = f"; {counted(left, 'run')} not finished, left as they are" if left else ""
    _say(f"freed {_megabytes(sum(freed.values()))}{kept}", options)
    if options.json:
        streams.print_json([{"key": key, "bytes": count} for key, count in freed.items()])
    return 0


def _ask(fact: str, action: str, options: argparse.Namespace) -> None:
    """Let a person decide; where nobody sits there, ``--yes`` must have been given.

    Raises:
        UserError: it is not to be done.
    """
    if options.yes:
        return
    if options.json or not (streams.is_terminal() and sys.stdin is not None and sys.stdin.isatty()):
        raise UserError(f"{fact}: give --yes to {action} all the same")
    print(f"{fact}; {action}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("nothing is removed")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _say(text: str, options: argparse.Namespace) -> None:
    print(text, file=sys.stderr if options.json else sys.stdout)
