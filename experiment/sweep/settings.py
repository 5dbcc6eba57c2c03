"""How a sweep runs, apart from what it searches."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Collection, Sequence
from pathlib import Path

from experiment.comet import tracker


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a sweep runs; nothing of it changes a trial's result but ``scheduler``, which may shorten it.

    Attributes:
        runs: the folder of run directories; on a cluster, one that all machines share.
        repeats: runs of each point, each with the next seed; None for what the file says.
        workers: trials side by side; None for as many as there are processor cores, or GPUs.
        scheduler: ``asha`` to end hopeless trials early.
        address: of a running Ray cluster; None for this machine.
        memory_gb: GB that a folder's pictures may take in each worker; None for an equal part of half of the
            machine's.
        stop: set to end the sweep in order.
        typed: names of the parameters and options that a person typed: one without effect is refused; of
            other parameters that have none, a notice tells.
    """

    runs: Path
    mode: str = tracker.AUTO
    tags: Sequence[str] = ()
    workspace: str | None = None
    project: str | None = None
    repeats: int | None = None
    workers: int | None = None
    scheduler: str | None = None
    address: str | None = None
    memory_gb: float | None = None
    quiet: bool = False
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    typed: Collection[str] = ()
