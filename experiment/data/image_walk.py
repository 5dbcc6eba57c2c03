"""Files below a folder, each with the reason why it is no picture to be read, if there is one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

# What systems leave beside people's files, in small letters; names that begin with a dot are hidden anyway.
DROPPINGS = frozenset(
    (
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),  # Windows
        *("__macosx", "icon\r"),  # macOS
        *("@eadir", "#recycle", "#snapshot"),  # network storage
        "lost+found",
    )
)


@dataclasses.dataclass(frozen=True)
class Found:
    """A file, a folder, or what stands in a folder's place; ``reason`` says why it can't be used, if so.

    A ``dropping`` was left by a system, not by people, and is never looked into.
    """

    path: Path
    reason: str = ""
    is_folder: bool = False
    dropping: bool = False


def look(folder: Path, within: Path | None = None) -> list[Found]:
    """Return what a folder holds, but for hidden files and folders, in order of their names.

    Args:
        folder: to be listed.
        within: links that lead out of this folder cannot be used; None lets them.

    Raises:
        OSError: it cannot be listed.
    """
    with os.scandir(folder) as entries:
        shown = sorted(
            (each for each in entries if not each.name.startswith(".")), key=lambda each: each.name
        )
    return [_found(entry, within) for entry in shown]


def walk(folder: Path, within: Path | None = None) -> Iterator[Found]:
    """Yield the files in a folder and below, in order, as well as every folder that cannot be listed."""
    waiting = [Found(folder, is_folder=True)]
    while waiting:
        entry = waiting.pop()
        if not entry.is_folder or entry.reason:
            yield entry
            continue
        try:
            waiting += reversed(look(entry.path, within))
        except OSError as error:
            yield unlisted(entry.path, error)


def unlisted(folder: Path, error: OSError) -> Found:
    """Return a folder that could not be listed, with the reason."""
    return Found(folder, f"a folder that cannot be listed: {error.strerror}", is_folder=True)


def _found(entry: os.DirEntry[str], within: Path | None) -> Found:
    path = Path(entry)
    if entry.name.casefold() in DROPPINGS:
        return Found(path, dropping=True)
    if not entry.is_symlink():
        return Found(path, is_folder=entry.is_dir(follow_symlinks=False))
    is_folder = os.path.isdir(path)
    reason = "a symbolic link to a folder" if is_folder else ""
    if not os.path.exists(path):
        reason = "a symbolic link to nothing"
    # A link out of the folder would make another set of it on each machine.
    elif within is not None and not path.resolve().is_relative_to(within):
        reason = "a symbolic link that leaves the folder"
    return Found(path, reason, is_folder=is_folder)
