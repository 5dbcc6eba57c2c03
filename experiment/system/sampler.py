"""What this process and its machine do, sampled by a thread: processor, memory, disk, network, GPUs.

Names are those that Comet's System Metrics tab draws. To see them for ten seconds, without a run:

    python -m experiment.system.sampler --seconds 10 --every 2
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping

import psutil

from experiment.system import streams
from experiment.system.gpu import Gpus, find_gpus

MOST_CORES = 64  # a series each; of more, the mean alone
FIRST_SECONDS, LAST_SECONDS = 1.0, 0.5  # short runs have samples, too
GPU_SECONDS = 1.0  # how often to look whether a GPU waits: NVML tells of the last moments only
PATIENCE_SECONDS = 2.0

Values = Mapping[str, float]


class Probes:
    """Reads processor, memory, disk, network and GPUs; rates and shares are those since the last sample.

    Args:
        gpus: those to sample; None for none.
        notify: called with a sentence the first time that something cannot be read.
    """

    def __init__(self, gpus: Gpus | None, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._process = psutil.Process()
        self._counted: dict[str, tuple[float, float]] = {}
        self._probes: dict[str, Callable[[], Values]] = {
            "the processor": _processor,
            "memory": _memory,
            "this process": self._own,
            "disks": self._disks,
            "the network": self._network,
        }
        if gpus:
            self._probes["the GPU"] = gpus.sample
        self.sample()  # what is counted from

    def sample(self) -> dict[str, float]:
        """Return all metrics that can be read: percent, bytes, bytes a second; see ``docs/tracking.md``."""
        found: dict[str, float] = {}
        for name, probe in list(self._probes.items()):
            try:
                found |= probe()
            except Exception as error:  # psutil's own, the kernel's, a container's missing files
                del self._probes[name]
                self._notify(f"system metrics go on without {name}: {type(error).__name__}: {error}")
        return found

    def _own(self) -> dict[str, float]:
        with self._process.oneshot():
            return {
                "sys.compute.utilized": self._process.cpu_percent(),
                "sys.process.ram.used": float(self._process.memory_info().rss),
            }

    def _disks(self) -> dict[str, float]:
        used, counters = psutil.disk_usage("/"), psutil.disk_io_counters()
        return {
            "sys.disk.root.used": float(used.used),
            "sys.disk.root.percent.used": used.percent,
            **(self._rate("sys.disk.read_bps", counters.read_bytes) if counters else {}),
            **(self._rate("sys.disk.write_bps", counters.write_bytes) if counters else {}),
        }

    def _network(self) -> dict[str, float]:
        counters = psutil.net_io_counters()
        sent = self._rate("sys.network.send_bps", counters.bytes_sent)
        return sent | self._rate("sys.network.receive_bps", counters.bytes_recv)

    def _rate(self, name: str, count: float) -> dict[str, float]:
        """Return how much a counter has grown a second since the last call; {} the first time."""
        now = time.monotonic()
        before = self._counted.get(name)
        self._counted[name] = (now, count)
        return {name: (count - before[1]) / (now - before[0])} if before and now > before[0] else {}


def _processor() -> dict[str, float]:
    percents = psutil.cpu_percent(percpu=True)
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(len(percents))
    cores = {f"sys.cpu.percent.{core + 1:02d}": percents[core] for core in mine if core < len(percents)}
    return {
        "sys.cpu.percent.avg": sum(percents) / len(percents),
        **(cores if len(cores) <= MOST_CORES else {}),
        "sys.load.avg": psutil.getloadavg()[0],
    }


def _memory() -> dict[str, float]:
    memory = psutil.virtual_memory()
    return {
        "sys.ram.total": float(memory.total),
        "sys.ram.used": float(memory.total - memory.available),
        "sys.ram.available": float(memory.available),
        "sys.ram.percent.used": memory.percent,
    }


class Sampler:
    """A thread that samples while it is a context; no failure of it reaches the run.

    Args:
        record: called on the thread with each sample's metrics.
        every: seconds from one sample to the next; 0 for none at all.
        notify: called with a sentence about what goes wrong, on the thread.
        is_training: tells whether the GPU should be busy now.
        gpus: those to sample; None for none.
    """

    def __init__(
        self,
        record: Callable[[Values], None],
        every: float,
        notify: Callable[[str], None],
        is_training: Callable[[], bool] = lambda: False,
        gpus: Gpus | None = None,
    ) -> None:
        self._record = record
        self._every = every
        self._notify = notify
        self._is_training = is_training
        self._gpus = gpus
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system metrics", daemon=True)
        self._busy: list[float] = []

    def __enter__(self) -> Sampler:
        if self._every:
            try:
                self._thread.start()
            except RuntimeError as error:  # the system gives no more threads
                self._notify(f"system metrics are not sampled: {error}")
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Take a last sample and end, within seconds; doing it again changes nothing."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_SECONDS)

    def gpu_waited(self) -> tuple[float, int] | None:
        """Return which share of training, 0–1, the GPU waited, seen how many times; None if never seen."""
        busy = list(self._busy)
        return (1 - sum(busy) / len(busy), len(busy)) if busy else None

    def _run(self) -> None:
        try:
            self._sample_until_end()
        except Exception as error:  # whatever it is, training goes on
            self._notify(f"system metrics ended early: {type(error).__name__}: {error}")

    def _sample_until_end(self) -> None:
        probes = Probes(self._gpus, self._notify)
        last = time.monotonic()
        due = last + min(self._every, FIRST_SECONDS)
        while not self._ended.wait(max(0.0, min(due - time.monotonic(), self._pause()))):
            self._look()
            if time.monotonic() >= due:
                self._record(probes.sample())
                last = time.monotonic()
                due = last + self._every
        if time.monotonic() - last >= LAST_SECONDS:
            self._record(probes.sample())

    def _pause(self) -> float:
        return GPU_SECONDS if self._gpus else math.inf

    def _look(self) -> None:
        busy = self._gpus.look() if self._gpus else None
        if busy is not None and self._is_training():
            self._busy.append(busy)


def _show(values: Values) -> None:
    print(time.strftime("%H:%M:%S"))
    for name, value in values.items():
        print(f"  {name:<34} {value:.6g}", flush=True)


def main() -> int:
    """Print samples for some seconds."""
    parser = argparse.ArgumentParser(prog="python -m experiment.system.sampler", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between samples (default: 2)")
    options = parser.parse_args()
    gpus = find_gpus(print)
    print(f"GPUs that this process may use: {len(gpus) if gpus else 0}")
    for info in gpus.static_info() if gpus else ():
        print(f"  {info}")
    with Sampler(_show, options.every, print, is_training=lambda: True, gpus=gpus) as sampler:
        time.sleep(options.seconds)
    if waited := sampler.gpu_waited():
        print(f"the GPU waited {waited[0]:.0%} of the time, looked at {waited[1]} times")
    return 0


if __name__ == "__main__":
    streams.settle_for_run("experiment.system.sampler")  # a reader that leaves would end the thread
    sys.exit(main())
