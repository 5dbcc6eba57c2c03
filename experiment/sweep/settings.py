"""How a sweep runs, apart from what it searches."""

from __future__ import annotations

import dataclasses
import threading

from experiment.run.options import Options


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a sweep runs; nothing of it changes a trial's result but ``scheduler``, which may shorten it.

    Attributes:
        options: of each run. On a cluster, all machines share the folder of run directories. ``memory_gb`` is
            for each worker; by default an equal part of half of the machine's.
        repeats: runs of each point, each with the next seed; None for what the file says.
        workers: trials side by side; None for as many as there are processor cores, or GPUs.
        scheduler: ``asha`` to end hopeless trials early.
        address: of a running Ray cluster; None for this machine.
        stop: set to end the sweep in order.
    """

    options: Options = Options()
    repeats: int | None = None
    workers: int | None = None
    scheduler: str | None = None
    address: str | None = None
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
