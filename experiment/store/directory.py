"""The run directory: its paths, its lock, and what other commands read from it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from filelock import FileLock, Timeout
from pydantic import Field, RootModel

from experiment.errors import UserError
from experiment.store.files import (
    DamagedFile,
    Number,
    Scalar,
    Schema,
    Seconds,
    atomic_path,
    check_space,
    finite_or_text,
    plain_json,
    read_json,
    sync_folder,
    write_atomically,
    write_json,
)
from experiment.store.journal import MetricsJournal, Point, read_metrics
from experiment.store.predictions import Predictions, stored_predictions

__all__ = [  # of its own, and of the modules that it is made of
    "DamagedFile",
    "FAILED",
    "FINISHED",
    "INTERRUPTED",
    "KEY",
    "MetricsJournal",
    "Point",
    "RUNNING",
    "RUN_BYTES",
    "RunDirectory",
    "RunRecord",
    "atomic_path",
    "check_space",
    "demand",
    "finite_or_text",
    "plain_json",
    "process_identity",
    "read_json",
    "read_metrics",
    "read_params",
    "read_record",
    "read_results",
    "read_run",
    "sync_folder",
    "write_atomically",
    "write_json",
]

# For the saved model, figures and predictions of a run, and all of it once more in its archive.
RUN_BYTES = 48_000_000
RUNNING, FINISHED, FAILED, INTERRUPTED = "running", "finished", "failed", "interrupted"
KEY = re.compile(r"[A-Za-z0-9]{32,50}")


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
        self.upload_file = self.comet / "upload.json"
        self.lock = FileLock(self.path / ".lock", timeout=0)

    @functools.cached_property
    def key(self) -> str:
        """The run's key: ``run.json`` has it, for a directory may be renamed; a new one is named after it."""
        with contextlib.suppress(UserError):
            return read_run(self.path)["key"]
        return self.path.name

    @property
    def archive(self) -> Path:
        """Where the run's archive is, or will be."""
        return self.comet / f"{self.key}.zip"

    def create(self) -> None:
        """Make the directory and its folders.

        Raises:
            UserError: the place cannot be written to, or has too little space.
        """
        try:
            check_space(self.path, RUN_BYTES)
            for folder in (self.checkpoints, self.model, self.figures, self.segments):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"runs = '{self.path.parent}' cannot be written to: {error.strerror}") from None

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the run's lock: one process at a time writes to a run.

        Raises:
            UserError: another process holds it, or nothing can be written there.
        """
        try:
            self.lock.acquire()
        except Timeout:
            raise UserError(f"run {self.key[:12]} is alive: a process is working on it") from None
        except OSError as error:
            raise UserError(f"'{self.path}' cannot be written to: {error.strerror}") from None
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
        """Tell whether a process on this machine still works on the run, by its lock; nothing is written."""
        try:
            handle = os.open(self.lock.lock_file, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(handle)


class _Dataset(Schema):
    name: str = ""
    source: str = ""
    fingerprint: str = ""
    split_fingerprint: str = ""
    test_fingerprint: str = ""
    classes: list[str] = []
    image_shape: list[int] = []


class _Git(Schema):
    commit: str = ""
    dirty: bool = False


class _Process(Schema):
    since: Seconds = 0.0


class _Sweep(Schema):
    sweep: str = ""
    number: int = 1
    attempt: int = 1


class _Rerun(Schema):
    of: str = ""
    place: str = ""


class _Run(Schema):
    """What of ``run.json`` is read by anyone; a run of an older version may lack all but the first four."""

    key: Annotated[str, Field(pattern=f"^{KEY.pattern}$")]
    name: str
    status: Literal["running", "finished", "failed", "interrupted"]
    mode: Literal["online", "offline", "disabled"]
    tags: list[str] = []
    workspace: str | None = None
    project: str | None = None
    url: str | None = None
    started: Seconds = 0.0
    ended: Seconds | None = None
    error: str | None = None
    command: list[str] = []
    code_fingerprint: str | None = None
    python: str = ""
    packages: dict[str, str] = {}
    machine: dict[str, Any] = {}
    threads: int | None = None
    dataset: _Dataset = _Dataset()
    git: _Git = _Git()
    process: _Process = _Process()
    sweep: _Sweep = _Sweep()
    rerun: _Rerun = _Rerun()
    deaths: int = 0


class _Params(RootModel[dict[str, Scalar]]):
    pass


class _Results(Schema):
    epochs: int = 0
    last: dict[str, Number] = {}
    best: dict[str, Number] = {}
    test_loss: Number = 0.0
    test_accuracy: Number = 0.0
    test_ece: Number = 0.0
    test_ece_calibrated: Number = 0.0
    temperature: Number = 1.0
    temperature_fitted_on: str = ""
    epoch_s: Number = 0.0
    fit_s: Number = 0.0
    process_s: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    rerun: dict[str, Any] = {}


def read_run(path: Path) -> dict[str, Any]:
    """Read ``run.json`` in a run directory; it has at least a key, a name, a status and a mode.

    Raises:
        DamagedFile: it is not there, or does not hold what it should.
    """
    return read_json(path / "run.json", _Run)


def read_params(path: Path) -> dict[str, Any]:
    """Read the parameters in a run directory: numbers, texts, booleans.

    Raises:
        DamagedFile: they are not there, or are something else.
    """
    return read_json(path / "params.json", _Params)


def read_results(path: Path) -> dict[str, Any]:
    """Read the results in a run directory, none where it has none yet; what should be numbers are.

    Raises:
        DamagedFile: they are something else.
    """
    return read_json(path / "results.json", _Results) if (path / "results.json").exists() else {}


def read_record(path: Path) -> RunRecord:
    """Read what a run directory says of its run.

    Raises:
        DamagedFile: one of its files is not there or does not hold what it should.
    """
    run = read_run(path)
    return RunRecord(
        *(run["key"], run["name"], run["status"], run["mode"], run),
        *(read_params(path), read_results(path), str(path)),
        points=functools.partial(read_metrics, path / "metrics.jsonl"),
        predictions=functools.partial(stored_predictions, path / "predictions.npz"),
    )


def demand(content: Mapping[str, Any], where: str, *names: str) -> None:
    """Make sure that entries are there which not every run has; a dot leads into an object.

    Raises:
        DamagedFile: one is missing.
    """
    for name in names:
        inner: Any = content
        for part in name.split("."):
            if part not in inner:
                raise DamagedFile(f"{where} has no {name}")
            inner = inner[part]


def process_identity() -> dict[str, Any]:
    """Return which process on which machine is writing."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
