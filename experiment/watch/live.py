"""A run as it is now: its journals read on from where they were left, what is done of it, what it does."""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiment.errors import UserError
from experiment.store.columns import Row
from experiment.store.directory_reader import read_record
from experiment.store.find import Runs, read_runs
from experiment.store.journal import Point, read_further
from experiment.store.record import RUNNING, RunRecord
from experiment.store.selection import matching
from experiment.system.text_table import printable

RECENT = 3600.0  # seconds for which a run that ended is one that just did
DRAWN = ("loss", "val_loss", "accuracy", "val_accuracy")
_LAST_BYTES = 8192


class LiveRun:
    """One run, read anew at each ``refresh``; what was read of its journals is kept."""

    def __init__(self, record: RunRecord) -> None:
        self.path = Path(record.source)
        self.record = record
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self._ends: dict[int, float] = {}  # the time at which each epoch's points were written
        self._system: dict[str, float] = {}
        self._offsets = {"metrics.jsonl": 0, "system.jsonl": 0}
        self.refresh()

    def refresh(self) -> None:
        """Read what is new. A file that cannot be read now leaves what was known before."""
        with contextlib.suppress(UserError):
            self.record = read_record(self.path)
        self.status = Row(self.record).status
        for point in self._further("metrics.jsonl"):
            self._take(point)
        for point in self._further("system.jsonl"):
            self._system[point.name] = point.value

    def _further(self, name: str) -> Sequence[Point]:
        points, self._offsets[name] = read_further(self.path / name, self._offsets[name])
        return points

    def _take(self, point: Point) -> None:
        if point.name in DRAWN:
            self.curves.setdefault(point.name, []).append((point.epoch, point.value))
            self._ends[point.epoch] = point.time

    @property
    def epoch(self) -> int:
        """The last epoch that is done; 0 before the first."""
        return max(self._ends, default=0)

    @property
    def epochs(self) -> int:
        """How many epochs there shall be."""
        names = ("epochs", "fine-tune-epochs")
        counts = (self.record.params.get(name) for name in names)
        return sum(count for count in counts if isinstance(count, int)) or self.epoch

    def last(self, name: str) -> float | None:
        """Return a metric of the last epoch; None before it has any."""
        points = self.curves.get(name)
        return points[-1][1] if points else None

    def remaining(self, now: float | None = None) -> float | None:
        """Return the seconds that are left, by the median epoch; None where nobody can tell."""
        times = sorted(self._ends.values())
        gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
        if self.status != RUNNING or not gaps:
            return None
        each, passed = statistics.median(gaps), (time.time() if now is None else now) - times[-1]
        return max(0.0, each * (self.epochs - self.epoch) - min(passed, each))

    def machine(self) -> str:
        """Return what the run's process and machine did when they were last looked at; '' if nobody did."""
        used, parts = self._system, []
        if "sys.compute.utilized" in used:
            parts.append(f"{used['sys.compute.utilized'] / 100:.1f} cores")
        if "sys.process.ram.used" in used:
            parts.append(f"{used['sys.process.ram.used'] / 1e9:.2f} GB")
        if "sys.ram.percent.used" in used:
            parts.append(f"machine: memory {used['sys.ram.percent.used']:.0f} %")
        if "sys.cpu.percent.avg" in used:
            parts.append(f"CPU {used['sys.cpu.percent.avg']:.0f} %")
        parts += [
            f"{name.removeprefix('sys.').replace('.gpu_utilization', '').replace('.', ' ')} {value:.0f} %"
            for name, value in used.items()
            if name.endswith(".gpu_utilization")
        ]
        return "  ".join(parts)

    def output(self, count: int) -> list[str]:
        """Return the last lines that the run printed, ``count`` at most; the reason first where it failed."""
        lines: list[str] = []
        with contextlib.suppress(OSError), (self.path / "console.log").open("rb") as file:
            file.seek(max(0, (self.path / "console.log").stat().st_size - _LAST_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        error = str(self.record.run.get("error") or "").strip().splitlines()
        return [printable(line) for line in [*lines, *error[-1:]] if line.strip()][-count:]

    def facts(self) -> dict[str, Any]:
        """Return what a look at the run shows, as JSON can hold it."""
        return {
            **{"key": self.record.key, "name": self.record.name, "status": self.status},
            **{"epoch": self.epoch, "epochs": self.epochs, "remaining_s": self.remaining()},
            **{name: self.last(name) for name in DRAWN},
            **{"machine": self.machine(), "output": self.output(5)},
        }

    def cells(self) -> tuple[str, ...]:
        """Return the run's row: name, status, epochs, validation, time left."""
        left, loss, accuracy = self.remaining(), self.last("val_loss"), self.last("val_accuracy")
        return (
            *(printable(self.record.name), self.record.key[:8], self.status, f"{self.epoch}/{self.epochs}"),
            *("" if value is None or math.isnan(value) else f"{value:.4f}" for value in (loss, accuracy)),
            "" if left is None else duration_text(left),
        )


def duration_text(seconds: float) -> str:
    """Return seconds as people say them: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def chosen_records(runs: Path, names: Sequence[str], where: str | None) -> list[RunRecord]:
    """Return the runs to watch: those named, those that ``where`` means, or all that run or just ended.

    Where none runs and none just ended, the newest.

    Raises:
        UserError: a name or the expression is wrong, or there is no run at all.
    """
    if names and where is not None:
        raise UserError("name runs, or say which by --where, not both")
    if names:
        found = Runs(runs)
        return [read_record(found.find(name).path) for name in names]
    records, _ = read_runs(runs)
    if where is not None:
        return matching(records, where)
    now = time.time()
    recent = [record for record in records if _is_recent(record, now)]
    return recent or records[-1:]


def _is_recent(record: RunRecord, now: float) -> bool:
    if record.status == RUNNING:
        return Row(record).status == RUNNING
    return now - (record.run.get("ended") or 0) < RECENT
