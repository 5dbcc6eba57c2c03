"""The trash of a folder of runs, ``runs/.trash/``: a folder for each removal, with the run directories in it.

A run is moved by one rename, so that a kill leaves it either here or there, and whole. No reader looks into
the trash: it holds no ``run.json`` of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiment.errors import UserError
from experiment.store.directory import RunDirectory
from experiment.store.files import sync_folder
from experiment.store.find import Runs

TRASH = ".trash"
_DELETING = ".deleting-"  # before the name of what is being deleted, and is never brought back
_CHECKPOINTS = ".removed-checkpoints"


def throw_away(directories: Sequence[RunDirectory]) -> Iterator[Path]:
    """Move runs into the trash beside them, one after the other; yield where each lies then.

    Raises:
        UserError: a run is alive, or its folder cannot be written to; those before it are in the trash.
    """
    # In the order of removals, for the last one is brought back first.
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**9:09d}"
    for directory in directories:
        folder = directory.path.parent / TRASH / name
        with _writing(directory.path.parent), directory.exclusive():
            folder.mkdir(parents=True, exist_ok=True)
            _move(directory.path, folder / directory.path.name)
        yield folder / directory.path.name


def bring_back(runs: Path, words: Sequence[str] = ()) -> list[Path]:
    """Move runs out of the trash: those that are named, or all of the last removal; return where they are.

    Args:
        runs: the folder of run directories.
        words: keys, their beginnings, or names.

    Raises:
        UserError: the trash is empty or has no such run, or its place is taken.
    """
    batches = _batches(runs)
    if not batches:
        raise UserError(f"nothing to bring back: '{runs / TRASH}' is empty")
    thrown = [_find(batches, word, runs) for word in words] if words else sorted(batches[-1].iterdir())
    places = {path: runs.absolute() / path.name for path in thrown}
    for place in places.values():
        if os.path.lexists(place):
            raise UserError(f"'{place}' is there already: rename it, then bring back the one from the trash")
    with _writing(runs):
        for path, place in places.items():
            _move(path, place)
            with contextlib.suppress(OSError):  # other runs are in it yet
                path.parent.rmdir()
    return list(places.values())


def trash_size(runs: Path) -> int:
    """Return how many bytes the trash holds."""
    return size_of(runs / TRASH)


def empty(runs: Path) -> int:
    """Delete what is in the trash, for good; return how many bytes that were.

    Raises:
        UserError: it cannot be deleted.
    """
    freed = 0
    with _writing(runs):
        for batch in _batches(runs):
            # What is half deleted when a process dies must not be brought back.
            batch.rename(batch.with_name(f"{_DELETING}{batch.name}"))
        for batch in sorted((runs / TRASH).glob(f"{_DELETING}*")):
            freed += size_of(batch)
            shutil.rmtree(batch)
    return freed


def remove_checkpoints(directory: RunDirectory) -> int:
    """Delete the checkpoints of a run, for good; return how many bytes that were.

    Raises:
        UserError: the run is alive, or cannot be written to.
    """
    aside = directory.path / _CHECKPOINTS
    with _writing(directory.path), directory.exclusive():
        freed = size_of(directory.checkpoints) + size_of(aside)
        # What is half deleted when a process dies must not be resumed from.
        if aside.exists():
            shutil.rmtree(aside)
        if directory.checkpoints.exists():
            directory.checkpoints.rename(aside)
            directory.checkpoints.mkdir()
            shutil.rmtree(aside)
    return freed


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder; 0 without one."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_size
    return total


def _batches(runs: Path) -> list[Path]:
    """Return the removals in the trash that hold runs, the oldest first."""
    try:
        found = [path for path in (runs / TRASH).iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
    return sorted(path for path in found if path.is_dir() and any(path.iterdir()))


def _find(batches: Sequence[Path], word: str, runs: Path) -> Path:
    """Return the run in the trash that a word means; of several removals the last that has it."""
    for batch in reversed(batches):
        with contextlib.suppress(UserError):
            found = Runs(batch).find(word).path
            if found.parent == batch.absolute():
                return found
    raise UserError(f"no run '{word}' in '{runs / TRASH}'")


def _move(path: Path, to: Path) -> None:
    os.rename(path, to)
    sync_folder(to.parent)
    sync_folder(path.parent)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"'{folder}' cannot be written to: {error.strerror or error}") from None
