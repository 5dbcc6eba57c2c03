"""How long this process has worked on a run, its start and imports included, and on what of it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

_IMPORTED = time.perf_counter()
STARTUP, FEATURES, COMPILING, TRAINING = "startup", "features", "compiling", "training"
EVALUATING, LOGGING = "evaluating", "logging"
PHASES = (STARTUP, FEATURES, COMPILING, TRAINING, EVALUATING, LOGGING)


@dataclasses.dataclass
class Spent:
    """Seconds of a phase: by the clock, and of all cores together."""

    seconds: float = 0.0
    core_seconds: float = 0.0


class _RunClock:
    """Counts a run's seconds by phases; of phases inside each other, the inner one is running."""

    def __init__(self) -> None:
        self._restarted: float | None = None
        self._is_used = False
        self._reset(0.0)

    def _reset(self, core_seconds: float) -> None:
        self.entered = [STARTUP]
        self._spent = {name: Spent() for name in PHASES}
        self._since, self._core_since = 0.0, core_seconds

    def restart(self) -> None:
        self._restarted = time.perf_counter()
        self._is_used = False
        self._reset(time.process_time())

    def begin(self) -> None:
        if self._is_used:
            self.restart()
        self._is_used = True

    def seconds(self) -> float:
        if self._restarted is not None:
            return time.perf_counter() - self._restarted
        try:
            # After the last bracket: a program's name, in brackets, may hold brackets and spaces.
            fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
            # The kernel counts starts of processes from boot, time asleep included.
            return time.clock_gettime(time.CLOCK_BOOTTIME) - began
        except (OSError, AttributeError):
            return time.perf_counter() - _IMPORTED

    def settle(self) -> dict[str, Spent]:
        """Count what has passed since the last call to the phase that is running; return all."""
        now, core_now = self.seconds(), time.process_time()
        spent = self._spent[self.entered[-1]]
        spent.seconds += now - self._since
        spent.core_seconds += core_now - self._core_since
        self._since, self._core_since = now, core_now
        return self._spent


_clock = _RunClock()


def restart() -> None:
    """Count from now: another run begins in the same process."""
    _clock.restart()


def begin() -> None:
    """Begin with a run: the process's first counts from the process's start, each further one from now."""
    _clock.begin()


def process_seconds() -> float:
    """Return the seconds since this process began, or since this module's import where /proc is missing."""
    return _clock.seconds()


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """Count what happens meanwhile as this phase of the run, one of PHASES."""
    _clock.settle()
    _clock.entered.append(name)
    try:
        yield
    finally:
        _clock.settle()
        _clock.entered.pop()


def is_in(name: str) -> bool:
    """Tell whether a phase is running, or one inside it; from any thread."""
    return name in _clock.entered


def spent() -> Mapping[str, Spent]:
    """Return what each phase of this run took so far."""
    return _clock.settle()
