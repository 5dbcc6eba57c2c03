"""The machine: its processor and cores, its memory and how this process asks for that, its packages."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from pathlib import Path

_M_TOP_PAD = -2  # glibc's malloc.h
TOP_PAD_BYTES = 1 << 26
COPIES = 3
_imports_are_set_aside = False


def cores() -> int:
    """Return how many processor cores this process may use."""
    # Not cpu_count: a container or `taskset` may give fewer than the machine has.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Return the name of the machine's processor, as its kernel has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def memory_gb() -> float:
    """Return the machine's memory, in GB of 10^9 bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def peak_memory_gb() -> float:
    """Return the most memory that this process ever had, in GB of 10^9 bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e9 if platform.system() == "Darwin" else peak * 1024 / 1e9


def packages() -> dict[str, str]:
    """Return the versions of the packages that a result can depend on."""
    names = ("comet-ml", "keras", "matplotlib", "numpy", "pillow", "pydantic", "scikit-learn", "tensorflow")
    return {name: importlib.metadata.version(name) for name in names if _installed(name)}


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def grow_heaps_in_large_steps() -> None:
    """Let glibc's heaps grow by 64 MiB at a time; to be called before TensorFlow starts its threads.

    Without it compiled epochs took 0.38 – 0.50 s instead of 0.25 s in most processes (one 2-core machine,
    glibc 2.36; as the environment variable MALLOC_TOP_PAD_ does). Where there is no glibc, nothing is done.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_TOP_PAD, TOP_PAD_BYTES)


def budget(gigabytes: float | None) -> int:
    """Return how many bytes images may take: those given in GB of 10^9 bytes, else half of the machine's.

    What is in memory is there up to three times: as it was read, as it was split, and in TensorFlow.
    """
    return int((gigabytes or half_gb()) * 1e9 / COPIES)


def release() -> None:
    """Give back what nothing refers to any more: models and their callbacks hold each other in circles."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        # Freed memory stays with glibc otherwise; a sweep's worker would grow with each trial.
        ctypes.CDLL(None).malloc_trim(0)


def half_gb() -> float:
    """Return half of the machine's memory, in GB of 10^9 bytes."""
    return memory_gb() / 2


def set_imports_aside() -> None:
    """Let the garbage collector pass over what is there, for good: the imports of a process of many runs."""
    global _imports_are_set_aside
    _imports_are_set_aside = True
    gc.freeze()


@contextlib.contextmanager
def without_old_garbage() -> Iterator[None]:
    """Let the garbage collector look at new objects only; all of TensorFlow's take it 0.3 s each time."""
    if _imports_are_set_aside:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
