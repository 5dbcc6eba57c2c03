"""The journals ``metrics.jsonl`` and ``system.jsonl``: one JSON object a line, appended and never changed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from experiment.store.files import INTEGERS, DamagedFile, encode_json

UNKNOWN = -1  # a step or epoch that nobody logged
# A larger time cannot be shown as a date; whoever wrote it was no clock.
_LAST = 2.5e11  # seconds since 1970 that calendars know, roughly


@dataclasses.dataclass(frozen=True)
class Point:
    """One value of one metric; ``step`` counts optimizer steps, ``time`` is seconds since 1970.

    Steps of what the machine does, ``sys.…``, are seconds since the run began, and their epochs UNKNOWN. In
    other tools' runs both may be UNKNOWN.
    """

    name: str
    value: float
    step: int
    epoch: int
    time: float


class MetricsJournal:
    """The append-only record of a run's metrics; each (name, step) is written once.

    Args:
        path: the file; a line that lacks its end is cut off.
        durable: make sure with each call that a power loss leaves what was written.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._path = path
        self._durable = durable
        _drop_torn_line(path)  # before it is read: a line that lacks its end alone would count as written
        self._written = {(point.name, point.step) for point in read_metrics(path)}

    @property
    def last_step(self) -> int:
        """The highest step of all points that are in it; 0 without any."""
        return max((step for _, step in self._written), default=0)

    def append(self, points: Iterable[Point]) -> list[Point]:
        """Write the points that are new, fsync where it is durable, and return them."""
        fresh = []
        for point in points:
            if (point.name, point.step) not in self._written:
                self._written.add((point.name, point.step))
                fresh.append(point)
        with self._path.open("ab") as file:
            for point in fresh:
                file.write(encode_json(dataclasses.asdict(point)) + b"\n")
            # Only then is the tracker told: what Comet has of a run is never more than the disk has.
            file.flush()
            if self._durable:
                os.fsync(file.fileno())
        return fresh


def read_metrics(path: Path) -> Iterator[Point]:
    """Yield the journal's points in order, none without a journal; a torn or damaged line is skipped.

    Raises:
        DamagedFile: it is there, and cannot be opened or read.
    """
    try:
        with path.open("rb") as file:
            while lines := file.readlines(1 << 16):  # many at once: parsing them singly takes twice as long
                for fields in _parse(lines):
                    if point := _point(fields):
                        yield point
    except FileNotFoundError:
        return
    except OSError as error:
        raise DamagedFile(f"'{path}' cannot be read: {error.strerror}") from None


def read_system_metrics(path: Path) -> Iterator[Point]:
    """Yield the points of ``system.jsonl``, none where it can't be read: nothing else depends on them."""
    with contextlib.suppress(DamagedFile):
        yield from read_metrics(path)


def read_further(path: Path, offset: int) -> tuple[list[Point], int]:
    """Return the points of a journal's whole lines from a byte on, and the byte that the next ones begin at.

    None of a file that is not there or cannot be read; a journal that became shorter is read anew.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size < offset:
                offset = 0
            file.seek(offset)
            content = file.read()
    except OSError:
        return [], offset
    # What lacks its end is still being written.
    whole = content[: content.rfind(b"\n") + 1]
    points = (_point(fields) for fields in _parse(whole.splitlines(keepends=True)))
    return [point for point in points if point], offset + len(whole)


def _parse(lines: list[bytes]) -> list[Any]:
    try:
        return json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError):
        # A kill or an editor left a line that is no JSON: one by one, the others still count.
        parsed = []
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):
                parsed.append(json.loads(line))
        return parsed


def _point(fields: Any) -> Point | None:
    try:
        name, step, epoch, time = fields["name"], fields["step"], fields["epoch"], fields["time"]
        value, time = float(fields["value"]), float(time)
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    # Not isinstance: true is an int in Python, and no step.
    if type(name) is not str or not type(step) is type(epoch) is int:
        return None
    sound = step in INTEGERS and epoch in INTEGERS and abs(time) < _LAST
    return Point(name, value, step, epoch, time) if sound else None


def _drop_torn_line(path: Path) -> None:
    """Cut off a last line without its newline, so that the next one is not glued to it."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
