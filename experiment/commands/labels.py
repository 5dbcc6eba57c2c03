"""``tag``, ``note`` and ``rename``: what people call runs afterwards."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from typing import Any

from experiment.commands.choice import add_where, chosen
from experiment.errors import UserError
from experiment.store.directory import RunDirectory
from experiment.store.find import find_run
from experiment.store.labels import Change, change_labels
from experiment.store.record import read_run
from experiment.system import streams
from experiment.system.names import printable, short
from experiment.system.parser import command_in, command_on

_LIKE_A_KEY = re.compile("[A-Za-z0-9]{20}")
_RUN = "key, its beginning, name, or directory"


def tag_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run, and tags to add and to remove."""
    parser.add_argument("run", nargs="?", metavar="RUN", help=_RUN)
    parser.add_argument("tags", nargs="*", metavar="TAG", help="tags to add; without any, print those it has")
    parser.add_argument("--remove", action="append", default=[], metavar="TAG", help="a tag to remove")
    add_where(parser)


def note_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run and the note."""
    parser.add_argument("run", metavar="RUN", help=_RUN)
    parser.add_argument(
        "text", nargs="?", metavar="TEXT", help="the note; '' clears it; without it, print it"
    )


def rename_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run and its new name."""
    parser.add_argument("run", metavar="RUN", help=_RUN)
    parser.add_argument("name", metavar="NAME", help="the run's new name; its key and directory stay")


def tag_command(options: argparse.Namespace) -> int:
    """Add and remove tags of one run, or of all that ``--where`` means."""
    tags = list(options.tags)
    if options.where is not None:
        # Without RUN, the first word is a tag.
        tags = [options.run, *tags] if options.run is not None else tags
        options.run = []
        if not tags and not options.remove:
            raise UserError("name tags to add, or --remove one")
    else:
        options.run = [options.run] if options.run is not None else []
    directories = chosen(options)
    for tag in set(tags) & set(options.remove):
        raise UserError(f"tag {tag!r} is to be added and removed")
    if not tags and not options.remove:
        return _print(directories, [read_run(directory.path) for directory in directories], "tags", options)
    everywhere = options.where is None
    changes = [
        Change(add=tags, remove=options.remove if everywhere else _there(directory, options.remove))
        for directory in directories
    ]
    return _change(directories, changes, "tags", options)


def note_command(options: argparse.Namespace) -> int:
    """Write, print or clear a run's note."""
    directory = find_run(options.runs, options.run)
    if options.text is None:
        return _print([directory], [read_run(directory.path)], "note", options)
    return _change([directory], [Change(note=options.text)], "note", options)


def rename_command(options: argparse.Namespace) -> int:
    """Give a run another name."""
    directory = find_run(options.runs, options.run)
    return _change([directory], [Change(name=options.name)], "name", options)


def _there(directory: RunDirectory, tags: Sequence[str]) -> list[str]:
    has = read_run(directory.path).get("tags") or []
    return [tag for tag in tags if tag in has]


def _change(
    directories: Sequence[RunDirectory],
    changes: Sequence[Change],
    field: str,
    options: argparse.Namespace,
) -> int:
    checked = [change.check(_secrets(change)) for change in changes]
    runs = [change_labels(directory, change) for directory, change in zip(directories, checked, strict=True)]
    _print(directories, runs, field, options)
    known = [directory for directory in directories if directory.upload_file.exists()]
    if known and not options.json:
        print(f"to change it in Comet, too: {_upload(known, options)}")
    return 0


def _secrets(change: Change) -> list[str | None]:
    """Return the API key where a text could hold it."""
    if any(_LIKE_A_KEY.search(text or "") for text in (change.name, change.note, *change.add)):
        from experiment.comet.settings import api_key_if_any

        return [api_key_if_any()]
    return []


def _upload(directories: Sequence[RunDirectory], options: argparse.Namespace) -> str:
    if len(directories) == 1:
        return command_on(directories[0].path, "experiment", "upload")
    return command_in(options.runs, "experiment", "upload", "--all")


def _print(
    directories: Sequence[RunDirectory],
    runs: Sequence[Mapping[str, Any]],
    field: str,
    options: argparse.Namespace,
) -> int:
    if options.json:
        facts = [{name: run.get(name) for name in ("key", "name", "tags", "note")} for run in runs]
        streams.print_json(facts if options.where is not None else facts[0])
        return 0
    for directory, run in zip(directories, runs, strict=True):
        value = run.get(field)
        text = "  ".join(value) if isinstance(value, list) else str(value or "")
        print(f"run {short(directory.key)}  {field}: {printable(text) or 'none'}")
    return 0
