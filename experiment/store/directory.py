"""The run directory: its paths, its lock, and what its only writer does with it."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from experiment.errors import UserError
from experiment.store.files import check_space, read_json, write_json
from experiment.store.record import read_run
from experiment.system.names import short

# For the saved model, figures and predictions of a run, and all of it once more in its archive.
RUN_BYTES = 48_000_000
EDIT_SECONDS = 5.0  # a change of ``run.json`` takes milliseconds: who holds it longer is stuck


class RunDirectory:
    """The paths of one run, ``runs/<key>/``, and its only writer's methods."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.run_file = self.path / "run.json"
        self.params_file = self.path / "params.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.console_file = self.path / "console.log"
        self.system_file = self.path / "system.jsonl"
        self.predictions_file = self.path / "predictions.npz"
        self.results_file = self.path / "results.json"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.figures = self.path / "figures"
        self.comet = self.path / "comet"
        self.segments = self.comet / "segments"
        self.upload_file = self.comet / "upload.json"
        self.sending_file = self.comet / ".sending"  # the lock of a sender, which may outlive who started it
        # The kernel drops it with its process, however that dies: nothing has to be cleaned up.
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
            UserError: another process holds it, nothing can be written there, or it is a registry's copy.
        """
        self._refuse_copy()
        try:
            self.lock.acquire()
        except Timeout:
            raise UserError(f"run {short(self.key)} is alive: a process is working on it") from None
        except OSError as error:
            raise UserError(f"'{self.path}' cannot be written to: {error.strerror}") from None
        try:
            yield
        finally:
            self.lock.release()

    def _refuse_copy(self) -> None:
        """Refuse to change what was downloaded: Comet's registry would not hear of it."""
        try:
            is_copy = "registry" in read_run(self.path)
        except UserError:  # a new run has no record yet
            return
        if is_copy:
            raise UserError(f"'{self.path}' is a copy from the registry: it can be used, but not changed")

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
        return self.edit_run(lambda run: fields)  # noqa: ARG005

    def edit_run(self, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> dict[str, Any]:
        """Change fields of ``run.json`` by what they are, and return all of them."""
        with self._editing():
            run = read_json(self.run_file) if self.run_file.exists() else {}
            run |= change(run)
            write_json(self.run_file, run)
        return run

    @contextlib.contextmanager
    def _editing(self) -> Iterator[None]:
        """Keep others from changing ``run.json`` meanwhile: a run that trains may get a tag.

        No lock is worth a run: on a disk that has none, or after EDIT_SECONDS, the change is made anyway.
        """
        handle = os.open(self.path, os.O_RDONLY)
        try:
            deadline = time.monotonic() + EDIT_SECONDS
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    time.sleep(0.01)
                except OSError:
                    break
                else:
                    break
            yield
        finally:
            os.close(handle)

    def is_alive(self) -> bool:
        """Tell whether a process on this machine still works on the run, by its lock; nothing is written."""
        return _is_held(self.lock.lock_file)

    def is_being_sent(self) -> bool:
        """Tell whether a process on this machine sends the run to Comet; nothing is written."""
        return _is_held(self.sending_file)


def _is_held(lock: str | os.PathLike[str]) -> bool:
    try:
        handle = os.open(lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        # Asked for and given back at once. Shared, so that two who look at the same time do not take each
        # other for the run's process.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
