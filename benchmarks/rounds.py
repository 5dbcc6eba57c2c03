"""Processes in alternation, and rows of a table: medians, and the ratio round by round with its range.

Each process is noted as it ends, on stderr: its processor, the load when it began, and how many cores other
work took meanwhile. A round beside such work is told apart from the others.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psutil

from experiment.run import provenance
from experiment.system import machine

ROOT = Path(__file__).parent.parent
QUIET_CORES = 0.1  # that others may take before a round counts as loaded
Result = dict[str, float]
Process = Callable[[], Result]


def print_machine() -> None:
    """Print the processor and the versions of what is compared."""
    described = provenance.describe_run()
    machine = described["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores, Python {described['python']}")
    print(", ".join(f"{name} {version}" for name, version in described["packages"].items()))


def print_head() -> None:
    """Print what stands above rows."""
    print(f"\n{'what':<76}{'peer':>9}{'ours':>9}{'ratio':>8}   spread")


def compare(
    peers: Mapping[str, Process],
    ours: Process,
    rounds: int,
    rows: Iterable[tuple[str, str, str]],
) -> None:
    """Run all peers and ours in alternation; print a row for each (title, peer, field of the results).

    A row has both medians, and of the ratio, taken round by round, the median and the range.
    """
    results = [{name: peer() for name, peer in peers.items()} | {"ours": ours()} for _ in range(rounds)]
    loaded = [result for result in results if any(_is_loaded(each) for each in result.values())]
    quiet = [result for result in results if result not in loaded]
    for title, name, field in rows:
        for kind, chosen in (("", quiet), (f"   {len(loaded)} loaded of {rounds} rounds", loaded)):
            if chosen:
                pairs = [(result[name][field], result["ours"][field]) for result in chosen]
                _print_row(title, pairs, kind)


def _is_loaded(result: Result) -> bool:
    return result["others_cores"] > QUIET_CORES


def _print_row(title: str, pairs: list[tuple[float, float]], kind: str) -> None:
    ratios = sorted(peer / own if own else math.inf for peer, own in pairs)
    medians = "".join(f"{statistics.median(column):>9.4g}" for column in zip(*pairs, strict=True))
    row = f"{title:<76}{medians}{statistics.median(ratios):>8.2f}"
    print(f"{row}   {ratios[0]:.2f} – {ratios[-1]:.2f}{kind}", flush=True)


def peer(name: str, data: Path, epochs: int, *flags: str, **variables: str) -> Result:
    """Run a peer in a process of its own."""
    return run("-m", f"benchmarks.peers.{name}", str(data), str(epochs), *flags, **variables)


def train(data: Path, epochs: int, *flags: str, **variables: str) -> Result:
    """Run train.py in a process of its own, tracked offline unless the flags say otherwise."""
    mode = () if "--mode" in flags else ("--mode", "offline")
    common = ("--dataset", str(data), "--epochs", str(epochs), "--json", "--quiet")
    return run(str(ROOT / "train.py"), *common, *mode, *flags, **variables)


def run(*arguments: str, **variables: str) -> Result:
    """Run Python in an empty home; return what it printed, seconds, those of processors, peak bytes.

    And ``others_cores``: how many cores everything else on this machine took meanwhile; of a run, seconds of
    its phases, too.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        # Importing our package sets TensorFlow's and Keras' variables, which are not the peers' defaults.
        hidden = ("COMET_", "KERAS_", "TF_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        load, busy, begun = os.getloadavg()[0], _busy_seconds(), time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment | {"HOME": folder, "PYTHONPATH": str(ROOT)} | variables,
            stdout=output,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begun
        if process.returncode:
            raise SystemExit(f"{' '.join(arguments)} ended with exit code {process.returncode}")
        output.seek(0)
        printed = json.loads(output.read().splitlines()[-1])
        if "run_dir" in printed:
            printed |= phases(Path(printed["run_dir"]))
        cpu = usage.ru_utime + usage.ru_stime
        others = max(0.0, (_busy_seconds() - busy - cpu) / wall)
        noted = f"{machine.processor()}, load {load:.1f}, others took {others:.2f} cores"
        print(f"{Path(arguments[arguments[0] == '-m']).name}: {wall:.1f} s, {noted}", file=sys.stderr)
        used = {"wall_s": wall, "cpu_s": cpu, "peak_bytes": usage.ru_maxrss * 1024, "others_cores": others}
        return printed | used


def phases(run_dir: Path) -> Result:
    """Return what a run says of its seconds; ``after_s`` are those after training."""
    usage: Result = json.loads((run_dir / "run.json").read_bytes())["usage"]
    return usage | {"after_s": usage["evaluating_s"] + usage["logging_s"]}


def _busy_seconds() -> float:
    """Return how long all processors together have been at work since the machine started."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
