"""How long this process has worked on a run, its start and imports included."""

from __future__ import annotations

import os
import time
from pathlib import Path

_IMPORTED = time.perf_counter()
_restarted: float | None = None


def restart() -> None:
    """Count from now: another run begins in the same process."""
    global _restarted
    _restarted = time.perf_counter()


def process_seconds() -> float:
    """Return the seconds since this process began, or since this module's import where /proc is missing."""
    if _restarted is not None:
        return time.perf_counter() - _restarted
    try:
        # After the last bracket: a program's name, in brackets, may hold brackets and spaces.
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        # The kernel counts starts of processes from boot, time asleep included.
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, AttributeError):
        return time.perf_counter() - _IMPORTED
