"""What a run took of its machine, in sentences: memory, cores, GPU, and where its time went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from experiment.store.files import is_number
from experiment.store.journal import Point
from experiment.store.record import RUNNING, RunRecord

# Phases as people call them, by their names in ``run.json``; "closing" is what the process did after them.
_PHASES = {
    "startup_s": "start-up",
    "features_s": "features",
    "compiling_s": "compiling",
    "training_s": "training",
    "evaluating_s": "evaluating",
    "logging_s": "logging",
    "closing_s": "closing",
}


def usage_lines(record: RunRecord) -> list[str]:
    """Return a line each about memory and cores, about the GPU, and about time; none where nothing is known.

    Of a run that was killed, memory and cores are known as far as they were sampled.
    """
    usage = {name: float(value) for name, value in record.run.get("usage", {}).items() if is_number(value)}
    usage = usage or (_sampled(record.points()) if record.status != RUNNING else {})
    machine = record.run.get("machine", {})
    return [
        line
        for line in (
            _memory_and_cores(usage, machine),
            _gpu(usage, record.results.get("epoch_s")),
            _time(usage, record.results.get("process_s")),
        )
        if line
    ]


def _memory_and_cores(usage: Mapping[str, float], machine: Mapping[str, Any]) -> str:
    parts = []
    if "peak_memory_gb" in usage:
        of = f" of {machine['memory_gb']:g} GB" if is_number(machine.get("memory_gb")) else ""
        parts.append(f"peak memory {usage['peak_memory_gb']:.2f} GB{of}")
    if "mean_cores" in usage:
        of = f" of {machine['cores']}" if "cores" in machine else ""
        train = f", {usage['training_cores']:.1f} in training" if "training_cores" in usage else ""
        parts.append(f"{usage['mean_cores']:.1f}{of} cores busy on average{train}")
    return "; ".join(parts)


def _gpu(usage: Mapping[str, float], epoch_s: Any) -> str:
    """Say which part of training the GPU waited, seen how often: NVML tells of moments only."""
    if "gpu_waited" not in usage:
        return ""
    share = usage["gpu_waited"]
    seconds = f", {share * epoch_s:.2f} s of an epoch of {epoch_s:.2f} s" if is_number(epoch_s) else ""
    return (
        f"the GPU waited {share:.0%} of training{seconds} (looked at {usage.get('gpu_looks', 0):.0f} times)"
    )


def _time(usage: Mapping[str, float], process_s: Any) -> str:
    # Most runs compute no features, and what was never entered is of no interest.
    spent = {name: usage[name] for name in _PHASES if usage.get(name)}
    if not spent:
        return ""
    counted = sum(spent.values())
    if is_number(process_s) and process_s > counted:
        spent["closing_s"] = process_s - counted
    whole = sum(spent.values()) or 1.0
    parts = (f"{_PHASES[name]} {value:.1f} s ({value / whole:.0%})" for name, value in spent.items())
    return f"of {whole:.1f} s: {', '.join(parts)}"


def _sampled(points: Iterable[Point]) -> dict[str, float]:
    """Return the most memory and the mean number of busy cores of a process, from its samples."""
    memory, cores = [], []
    for point in points:
        if point.name == "sys.process.ram.used":
            memory.append(point.value / 1e9)
        elif point.name == "sys.compute.utilized":
            cores.append(point.value / 100)
    return {"peak_memory_gb": max(memory), "mean_cores": sum(cores) / len(cores)} if memory and cores else {}
