"""What a sweep consists of: its identity, its points and their trials, and the file that they are kept in."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock, Timeout
from pydantic import Field

from experiment.errors import UserError
from experiment.store.files import DamagedFile, Number, Scalar, Schema, Seconds, read_json, write_json
from experiment.sweep.outcomes import Outcome, settle
from experiment.sweep.points import SearchPoint, Sweep, parameters
from experiment.sweep.trial import Trial
from experiment.system.names import counted
from params.spec import Params

LENGTHS = ("maxCombo", "retryLimit", "retryAssignLimit")


class _Stored(Schema):
    """What of ``sweep.json`` is read again."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{10}-[0-9a-f]{8}$")]
    created: Seconds
    points: list[dict[str, Scalar]]
    asked: list[dict[str, Number]]


class Plan:
    """A sweep's points in the order of their trials, kept in ``runs/sweeps/NAME-DIGEST/sweep.json``.

    The folder's name follows from what is varied: the same command finds its sweep again. The sweep's id,
    which its runs' keys come from, has random digits besides: the same sweep in another folder has others.

    Args:
        sweep: the checked file.
        base: the parameters that it doesn't vary.
        fingerprint: of the data.
        runs: the folder of run directories.
        repeats: runs of each point.
        scheduler: None, or asha.

    Raises:
        UserError: the file is there and damaged.
    """

    def __init__(
        self,
        sweep: Sweep,
        base: Params,
        fingerprint: str,
        runs: Path,
        repeats: int,
        scheduler: str | None,
    ) -> None:
        self.sweep = sweep
        self.base = base
        self.runs = runs
        self.repeats = repeats
        digest = _digest(sweep, base, fingerprint, scheduler)
        # A sweep's name may hold anything; a folder's may not, and has 255 bytes at most.
        name = re.sub(r"[^\w.-]+", "-", sweep.name)[:40]
        self.folder = runs / "sweeps" / f"{name}-{digest[:10]}"
        self.file = self.folder / "sweep.json"
        stored = self._read() if self.file.exists() else {}
        self.id: str = stored.get("id") or f"{digest[:10]}-{os.urandom(4).hex()}"
        self.points: list[SearchPoint] = stored.get("points", [])
        self.asked: list[Mapping[str, Any]] = stored.get("asked", [])
        self._facts = {"created": stored.get("created", time.time()), "scheduler": scheduler}

    def _read(self) -> dict[str, Any]:
        """Read the file.

        Raises:
            DamagedFile: it is not what ``save`` writes.
        """
        stored = read_json(self.file, _Stored)
        points, asked = stored["points"], stored["asked"]
        try:
            if asked and len(asked) != len(points):
                raise UserError(f"it has {counted(len(points), 'point')}, but {len(asked)} asked for")
            for point in points:
                parameters(point, self.base)
        except UserError as error:
            raise DamagedFile(f"'{self.file}': {error}") from None
        return stored

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the sweep's lock: it's run once at a time.

        Raises:
            UserError: it's running, or its folder cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", timeout=0):
                yield
        except Timeout:
            raise UserError(f"sweep {self.folder.name} is running: another process works on it") from None
        except OSError as error:
            raise UserError(f"runs = '{self.runs}' cannot be written to: {error.strerror}") from None

    def save(self) -> None:
        """Write the file."""
        base = self.base.model_dump(by_alias=True)
        content = {"id": self.id, "name": self.sweep.name, **self._facts, "file": self.sweep.content}
        write_json(self.file, content | {"params": base, "points": self.points, "asked": self.asked})

    def trials(self, number: int) -> list[Trial]:
        """Return the trials of a point, by its number from 1: one a seed."""
        point, spec = self.points[number - 1], self.sweep.spec
        first = parameters(point, self.base).seed
        return [
            Trial(self.id, self.sweep.name, number, point, seed, spec.metric, spec.objective)
            for seed in range(first, first + self.repeats)
        ]

    def configuration(self, trial: Trial) -> dict[str, Any]:
        """Return what a worker needs to know of a trial: itself, and its run's parameters by their names.

        Names and values travel to another process, where a network of the user's own is imported again.
        """
        params = parameters({**trial.point, "seed": trial.seed}, self.base)
        return {"trial": trial, "params": params.model_dump(by_alias=True, exclude_unset=True)}

    def is_settled(self) -> bool:
        """Tell whether every trial has ended, and every point that a bayes search may have was asked for."""
        limit = self.sweep.limit if self.sweep.algorithm == "bayes" else None
        return len(self.points) >= (limit or 0) and all(isinstance(each, Outcome) for each in self.states())

    def states(self) -> list[Outcome | Trial]:
        """Return each trial's outcome, or the attempt of it that is to be begun or resumed."""
        return [settle(self.runs, trial, self.sweep.retries) for trial in self.everyone()]

    def everyone(self) -> list[Trial]:
        """Return all trials: every point under the first seed, then under the next."""
        trials = [trial for number in range(1, len(self.points) + 1) for trial in self.trials(number)]
        return sorted(trials, key=lambda trial: trial.seed) if self.repeats > 1 else trials


def _digest(sweep: Sweep, base: Params, fingerprint: str, scheduler: str | None) -> str:
    """Return the SHA-256 of what a trial's result depends on; how many there are may grow afterwards."""
    spec = {name: value for name, value in sweep.spec.model_dump().items() if name not in LENGTHS}
    axes = {name: dataclasses.asdict(axis) for name, axis in sweep.axes.items()}
    fixed = base.model_dump(exclude={"dataset"})
    words = [sweep.algorithm, spec, axes, fixed, fingerprint, scheduler]
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()
