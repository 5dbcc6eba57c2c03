"""What a run's process and machine do, while it goes on: written to ``system.jsonl``, then told to Comet."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from experiment.comet import messages
from experiment.comet.tracker import Tracker
from experiment.errors import UserError
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json
from experiment.store.journal import UNKNOWN, MetricsJournal, Point
from experiment.system import machine, process_clock
from experiment.system.gpu import find_gpus
from experiment.system.sampler import Sampler

MEMORY = "sys.process.ram.used"


class SystemLog:
    """Samples while it is a context, and sums up what the run took of its machine.

    Args:
        directory: the run's; steps of points are seconds since the run first began.
        tracker: the run's.
        every: seconds from one sample to the next; 0 for none.
        notify: called with a sentence about what goes wrong: once each, and nothing is raised.
    """

    def __init__(
        self,
        directory: RunDirectory,
        tracker: Tracker,
        every: float,
        notify: Callable[[str], None],
    ) -> None:
        self._path = directory.system_file
        self._tracker = tracker
        self._started = read_json(directory.run_file).get("started") or time.time()
        self._notify = notify
        self._gpus = find_gpus() if every else None
        self._journal: MetricsJournal | None = None
        self._step = 0
        self._most_memory = 0.0
        self._memory_before = machine.peak_memory_gb()
        self.sampler = Sampler(self._record, every, notify, _gpu_should_work, self._gpus)

    def __enter__(self) -> SystemLog:
        if self._gpus:
            self._tracker.log_message(messages.gpus(self._gpus.static_info()))
        self.sampler.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.sampler.end()

    def usage(self) -> dict[str, Any]:
        """Return what the run took so far, as ``run.json`` and Comet's others have it; see ``store.usage``.

        Seconds are those of this process, also where it went on with a run of another.
        """
        spent = process_clock.spent()
        seconds = sum(each.seconds for each in spent.values())
        training = spent[process_clock.TRAINING]
        peak = machine.peak_memory_gb()
        if peak == self._memory_before and self._most_memory:  # an earlier run in this process had more
            peak = self._most_memory / 1e9
        found = {
            "peak_memory_gb": round(peak, 3),
            "mean_cores": round(sum(each.core_seconds for each in spent.values()) / max(seconds, 1e-9), 2),
            **{f"{name}_s": round(each.seconds, 2) for name, each in spent.items()},
        }
        if training.seconds:
            found["training_cores"] = round(training.core_seconds / training.seconds, 2)
        if waited := self.sampler.gpu_waited():
            found |= {"gpu_waited": round(waited[0], 3), "gpu_looks": waited[1]}
        return found

    def _record(self, values: Mapping[str, float]) -> None:
        now = time.time()
        self._most_memory = max(self._most_memory, values.get(MEMORY, 0.0))
        journal = self._open()
        self._step = max(self._step + 1, int(now - self._started))
        points = [Point(name, value, self._step, UNKNOWN, now) for name, value in values.items()]
        if journal:
            try:
                journal.append(points)
            except OSError as error:  # a full disk, say; Comet is told all the same
                self._notify(f"'{self._path}' cannot be written: {error.strerror}")
        for point in points:
            message = messages.system_metric(point.name, point.value, point.step, point.time)
            self._tracker.log_message(message)

    def _open(self) -> MetricsJournal | None:
        if not self._journal:
            try:
                self._journal = MetricsJournal(self._path, durable=False)
                self._step = self._journal.last_step
            except (OSError, UserError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                self._notify(f"'{self._path}' cannot be written: {reason}")
        return self._journal


def _gpu_should_work() -> bool:
    return process_clock.is_in(process_clock.TRAINING) and not process_clock.is_in(process_clock.COMPILING)
