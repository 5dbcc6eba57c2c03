"""Which runs a folder holds, and which of them a word on a command line means."""

from __future__ import annotations

import bisect
import contextlib
import functools
import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from experiment.errors import UserError
from experiment.store.archive_reader import read_archive
from experiment.store.directory import RunDirectory
from experiment.store.directory_reader import read_record
from experiment.store.record import KEY, RUNNING, RunRecord, read_run
from experiment.system.names import printable, short
from params.words import did_you_mean


class UnknownRun(UserError):
    """A word on a command line means no run that is here."""


class Runs:
    """The runs in a folder, which is listed once however many of them are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, run: str) -> RunRecord:
        """Read a run by its archive's path, or by what ``find`` takes.

        Raises:
            UnknownRun: there is none.
            UserError: several match, or it cannot be read.
        """
        if os.path.isfile(run):  # unlike Path's, false for a name too long to be one
            return read_archive(Path(run))
        return read_record(self.find(run).path)

    def find(self, run: str) -> RunDirectory:
        """Find a run by its key, a unique prefix of one, its name, its directory, or the archive in that.

        Raises:
            UnknownRun: there is none.
            UserError: several match, or the folder cannot be read.
        """
        if run and os.path.isfile(os.path.join(run, "run.json")):
            return RunDirectory(Path(run).resolve())
        found = (self._by_word(run) or self._by_name.get(run, [])) if run else []
        if len(found) == 1:
            return RunDirectory(found[0])
        if found:
            several = ", ".join(short(path.name) if KEY.fullmatch(path.name) else path.name for path in found)
            raise UserError(f"run '{run}' is not unique in '{self.folder}': {several}")
        if os.path.isfile(run):
            return _directory_around(Path(run))
        but = ", and the folder of that name holds no run.json" if run and os.path.isdir(run) else ""
        raise UnknownRun(f"no run '{run}' in '{self.folder}'{but or self._suggestion(run)}")

    def _suggestion(self, word: str) -> str:
        """Return the end of the sentence about an unknown run: the name that was probably meant."""
        names = [*self._by_name, *(path.name for path in self._paths if not KEY.fullmatch(path.name))]
        spelled = {name.lower().replace("_", "-"): printable(name) for name in names}
        said = did_you_mean(word, (), spelled)
        parts = (name for name in spelled if word and word.lower().replace("_", "-") in name)
        return said or next((f": did you mean '{spelled[name]}'?" for name in parts), "")

    def _by_word(self, word: str) -> Sequence[Path]:
        """Return the directories whose name or key is this, or else begins with it."""
        # In a folder of thousands, `compare` asks for hundreds of runs by their beginnings.
        begins = bisect.bisect_left(self._words, (word,))
        found: dict[Path, None] = {}
        for known, path in self._words[begins:]:
            if not known.startswith(word) or (known != word and self._words[begins][0] == word):
                break
            found[path] = None
        return list(found)

    @functools.cached_property
    def _paths(self) -> Sequence[Path]:
        return list_runs(self.folder)

    @functools.cached_property
    def _words(self) -> Sequence[tuple[str, Path]]:
        """Directories by their names, and by their keys where somebody renamed them; in order."""
        renamed = (path for path in self._paths if not KEY.fullmatch(path.name))
        keys = ((RunDirectory(path).key, path) for path in renamed)
        return sorted({*((path.name, path) for path in self._paths), *keys})

    @functools.cached_property
    def _by_name(self) -> Mapping[str, Sequence[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self._paths:
            with contextlib.suppress(UserError):
                found.setdefault(read_run(path)["name"], []).append(path)
        return found


def find_run(runs: Path, run: str) -> RunDirectory:
    """Find one run, as ``Runs.find`` does."""
    return Runs(runs).find(run)


def _directory_around(archive: Path) -> RunDirectory:
    """Return the run directory that an archive lies in.

    Raises:
        UserError: it lies in none.
    """
    # runs/KEY/comet/KEY.zip
    path = archive.resolve().parent.parent
    if not os.path.isfile(path / "run.json"):
        raise UserError(
            f"'{archive}' is a file, where a run directory is needed; an archive alone can be shown, "
            "compared and repeated"
        )
    return RunDirectory(path)


def list_runs(runs: Path) -> list[Path]:
    """Return the run directories in a folder, oldest name first; none where there is no folder.

    Raises:
        UserError: it cannot be read.
    """
    if not os.path.isdir(runs):
        return []
    try:
        with os.scandir(runs) as entries:
            return sorted(Path(entry) for entry in entries if os.path.exists(f"{entry.path}/run.json"))
    except OSError as error:
        raise UserError(f"runs = '{runs}' cannot be read: {error.strerror}") from None


def read_runs(runs: Path) -> tuple[list[RunRecord], list[str]]:
    """Read all runs in a folder, the oldest first; of those that cannot be read, a sentence each."""
    records, problems = read_records(list_runs(runs))
    return sorted(records, key=lambda record: record.run.get("started") or 0), problems


def read_records(paths: Iterable[Path]) -> tuple[list[RunRecord], list[str]]:
    """Read run directories in their order; of those that cannot be read, return a sentence each."""
    records, problems = [], []
    with _without_collections():
        for path in paths:
            try:
                records.append(read_record(path))
            except UserError as error:
                problems.append(f"left out: {error}")
    return records, problems


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Keep Python from looking for garbage meanwhile: none arises, and to look took a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def waiting_runs(runs: Path) -> list[RunDirectory]:
    """Return the runs whose process was killed: they say that they run, and nobody holds their lock."""
    found = []
    for path in list_runs(runs):
        directory = RunDirectory(path)
        with contextlib.suppress(UserError):
            # The lock alone does not tell: a finished run has no process either.
            if read_run(path)["status"] == RUNNING and not directory.is_alive():
                found.append(directory)
    return found
