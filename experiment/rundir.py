"""The run directory: paths, atomic writes, the metrics journal, and what other commands read from it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import json
import math
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from experiment.predictions import Predictions, stored_predictions

# For the saved model, figures and predictions of a run, and all of it once more in its archive.
RUN_BYTES = 48_000_000
RUNNING, FINISHED, FAILED, INTERRUPTED = "running", "finished", "failed", "interrupted"


@dataclasses.dataclass(frozen=True)
class Point:
    """One value of one metric; ``step`` counts optimizer steps, ``time`` is seconds since 1970.

    Of other tools' runs ``epoch`` may be unknown: −1.
    """

    name: str
    value: float
    step: int
    epoch: int
    time: float


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """All that is known of a run; a run directory, an offline archive and Comet's API each yield one.

    What may be large is read when it is called for, from its source, anew at each call: ``points()`` are all
    logged points; ``predictions()`` those of the test set, None where none are kept.
    """

    key: str
    name: str
    status: str
    mode: str
    run: Mapping[str, Any]
    params: Mapping[str, Any]
    results: Mapping[str, Any]
    source: str
    points: Callable[[], Iterable[Point]] = tuple
    predictions: Callable[[], Predictions | None] = type(None)


class RunDirectory:
    """The paths of one run, ``runs/<key>/``, and its only writer's methods."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.key = self.path.name
        self.run_file = self.path / "run.json"
        self.params_file = self.path / "params.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.predictions_file = self.path / "predictions.npz"
        self.results_file = self.path / "results.json"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.figures = self.path / "figures"
        self.comet = self.path / "comet"
        self.segments = self.comet / "segments"
        self.archive = self.comet / f"{self.key}.zip"
        self.upload_file = self.comet / "upload.json"
        self.lock = FileLock(self.path / ".lock", timeout=0)

    def create(self) -> None:
        """Make the directory and its folders.

        Raises:
            ValueError: the place cannot be written to, or has too little space.
        """
        try:
            check_space(self.path, RUN_BYTES)
            for folder in (self.checkpoints, self.model, self.figures, self.segments):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"runs = '{self.path.parent}' cannot be written to: {error.strerror}") from None

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the run's lock: one process at a time writes to a run.

        Raises:
            ValueError: another process holds it.
        """
        try:
            self.lock.acquire()
        except Timeout:
            raise ValueError(f"run {self.key[:12]} is alive: a process is working on it") from None
        try:
            yield
        finally:
            self.lock.release()

    def segment_folders(self) -> list[Path]:
        """Return the folders of the processes that worked on this run, in their order."""
        if not self.segments.is_dir():
            return []
        return sorted(
            (folder for folder in self.segments.iterdir() if folder.name.isdigit()),
            key=lambda folder: int(folder.name),
        )

    def new_segment(self) -> Path:
        """Make and return the folder of the next process that works on this run."""
        folders = self.segment_folders()
        segment = self.segments / str(int(folders[-1].name) + 1 if folders else 1)
        segment.mkdir()
        return segment

    def update_run(self, **fields: Any) -> dict[str, Any]:
        """Change fields of ``run.json`` and return all of them."""
        run = (read_json(self.run_file) if self.run_file.exists() else {}) | fields
        write_json(self.run_file, run)
        return run

    def is_alive(self) -> bool:
        """Tell whether a process on this machine still works on the run, by its lock."""
        if not Path(self.lock.lock_file).exists():
            return False
        try:
            with FileLock(self.lock.lock_file, timeout=0):
                return False
        except Timeout:
            return True


class MetricsJournal:
    """The append-only record of a run's metrics; each (name, step) is written once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        _drop_torn_line(path)  # before it is read: a line that lacks its end alone would count as written
        self._written = {(point.name, point.step) for point in read_metrics(path)} if path.exists() else set()

    def append(self, points: Iterable[Point]) -> list[Point]:
        """Write the points that are new, fsync, and return them."""
        fresh = []
        for point in points:
            if (point.name, point.step) not in self._written:
                self._written.add((point.name, point.step))
                fresh.append(point)
        with self._path.open("ab") as file:
            for point in fresh:
                file.write(_encode(dataclasses.asdict(point)) + b"\n")
            _sync(file)
        return fresh


def read_metrics(path: Path) -> Iterator[Point]:
    """Yield the journal's points in order, none without a journal; a torn or damaged line is skipped."""
    if not path.exists():
        return
    with path.open("rb") as file:
        while lines := file.readlines(1 << 16):  # many at once: parsing them singly takes twice as long
            for fields in _parse(lines):
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    value = float(fields["value"])
                    yield Point(fields["name"], value, fields["step"], fields["epoch"], fields["time"])


def _parse(lines: list[bytes]) -> list[Any]:
    try:
        return json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        parsed = []
        for line in lines:
            with contextlib.suppress(ValueError):
                parsed.append(json.loads(line))
        return parsed


def read_record(path: Path) -> RunRecord:
    """Read what a run directory says of its run.

    Raises:
        ValueError: it is no run directory.
    """
    try:
        run, params = read_json(path / "run.json"), read_json(path / "params.json")
        results = read_json(path / "results.json") if (path / "results.json").exists() else {}
        return RunRecord(
            *(run["key"], run["name"], run["status"], run["mode"], run, params, results, str(path)),
            points=functools.partial(read_metrics, path / "metrics.jsonl"),
            predictions=functools.partial(stored_predictions, path / "predictions.npz"),
        )
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"'{path}' is not a run directory: {error}") from None


def find_run(runs: Path, run: str) -> RunDirectory:
    """Find a run by its key, a unique prefix of one, its name, or its directory.

    Raises:
        ValueError: none or several match.
    """
    if run and os.path.isfile(os.path.join(run, "run.json")):
        return RunDirectory(Path(run).resolve())
    directories = list_runs(runs)
    found = [path for path in directories if path.name.startswith(run)] if run else []
    found = found or [path for path in directories if run and _name(path) == run]
    if len(found) != 1:
        several = ", ".join(path.name[:12] for path in found)
        raise ValueError(
            f"run '{run}' is not unique in '{runs}': {several}" if found else f"no run '{run}' in '{runs}'"
        )
    return RunDirectory(found[0])


def _name(path: Path) -> str | None:
    with contextlib.suppress(OSError, ValueError):
        return read_json(path / "run.json").get("name")
    return None


def list_runs(runs: Path) -> list[Path]:
    """Return the run directories in a folder, oldest name first."""
    if not runs.is_dir():
        return []
    return sorted(Path(entry) for entry in os.scandir(runs) if os.path.exists(f"{entry.path}/run.json"))


def waiting_runs(runs: Path) -> list[RunDirectory]:
    """Return the runs whose process was killed: they say that they run, and nobody holds their lock."""
    found = []
    for path in list_runs(runs):
        directory = RunDirectory(path)
        with contextlib.suppress(OSError, ValueError):
            if read_json(directory.run_file).get("status") == RUNNING and not directory.is_alive():
                found.append(directory)
    return found


def check_space(path: Path, needed: int) -> None:
    """Make sure that the disk which holds, or would hold, a path has so many bytes free.

    Raises:
        OSError: it has not.
    """
    place = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        reason = f"no space left on the disk: {free / 1e6:.0f} MB are free, {needed / 1e6:.0f} MB are needed"
        raise OSError(errno.ENOSPC, reason, str(path))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object in which NaN and infinities may stand as strings."""
    return json.loads(path.read_bytes())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object atomically; NaN and infinities become the strings that Comet uses."""
    write_atomically(path, _encode(content, indent=2) + b"\n")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves either the old one or the new one."""
    with atomic_path(path) as beside:
        beside.write_bytes(content)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; on leaving it is fsynced and renamed over ``path``."""
    handle, name = tempfile.mkstemp(prefix=".tmp-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.chmod(0o644)
        beside.replace(path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def process_identity() -> dict[str, Any]:
    """Return which process on which machine is writing."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}


def finite_or_text(value: float) -> float | str:
    """Return a finite number as it is, else 'NaN', 'Infinity' or '-Infinity': JSON has none of them."""
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def _encode(content: Any, indent: int | None = None) -> bytes:
    text = json.dumps(plain_json(content), ensure_ascii=False, allow_nan=False, indent=indent)
    return text.encode("utf-8", "surrogateescape")


def plain_json(content: Any) -> Any:
    """Return content as JSON can hold it: keys as text, NaN and infinities as the strings that Comet uses."""
    if isinstance(content, float):
        return finite_or_text(content)
    if isinstance(content, Mapping):
        return {str(key): plain_json(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [plain_json(value) for value in content]
    return content


def _drop_torn_line(path: Path) -> None:
    """Cut off a last line without its newline, so that the next one is not glued to it."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
