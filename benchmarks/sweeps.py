"""Time a sweep, tracked, beside the same trials one after the other and beside Keras Tuner, untracked.

python -m benchmarks.sweeps DATA.npz [--trials 24] [--epochs 5] [--alone 6]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.__main__ import ROOT, peer, print_machine, train
from experiment.sweep.file import read_sweep
from experiment.sweep.points import points
from params.spec import Params


def main() -> None:
    """Run each once and print seconds a trial and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="an .npz in Keras' layout, such as mnist.npz")
    parser.add_argument("--trials", type=int, default=24, help="of the sweep (default: 24)")
    parser.add_argument("--epochs", type=int, default=5, help="of a trial (default: 5)")
    parser.add_argument("--alone", type=int, default=6, help="trials of the others (default: 6)")
    options = parser.parse_args()
    data, epochs = options.data.resolve(), options.epochs
    content = json.loads(json.dumps(read_sweep("tutorial", Params()).content))
    content |= {"algorithm": "random", "spec": content["spec"] | {"maxCombo": options.trials, "seed": 0}}
    print_machine()
    print(f"\n{options.trials} trials of {epochs} epochs")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "sweep.json")
        file.write_text(repr(content), encoding="utf-8")
        ours, memory = sweep(file, data, epochs, Path(folder))
        chosen = points(read_sweep(str(file), Params()), Params())[: options.alone]
    each = ours / options.trials
    print(
        f"{'sweep, tracked offline':<44}{each:7.2f} s a trial, {ours:.0f} s in all",
        flush=True,
    )
    print(f"{'largest worker':<44}{memory / 1e9:7.2f} GB", flush=True)
    alone = sum(one_run(data, epochs, point) for point in chosen) / len(chosen)
    print(f"{f'train.py, {len(chosen)} of the trials, one by one':<44}{alone:7.2f} s a trial", flush=True)
    other = peer("keras_tuner_search", data, epochs, str(options.alone))
    start = other["wall_s"] - other["search_s"]  # shared by as many trials as the sweep's
    tuner = other["search_s"] / options.alone + start / options.trials
    print(f"{f'Keras Tuner, {options.alone} trials, untracked':<44}{tuner:7.2f} s a trial", flush=True)
    print(f"sweep ÷ one by one: {each / alone:.2f}")
    print(f"trials an hour, sweep ÷ Keras Tuner: {tuner / each:.2f}")


def one_run(data: Path, epochs: int, point: dict[str, Any]) -> float:
    """Return the seconds of one trial in a process of its own."""
    flags = [word for name, value in point.items() for word in (f"--{name}", str(value))]
    return train(data, epochs, *flags)["wall_s"]


def sweep(file: Path, data: Path, epochs: int, folder: Path) -> tuple[float, int]:
    """Run a sweep; return its seconds from start to end, and the bytes of its largest worker."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "--sweep", str(file), "--dataset", str(data)]
        + ["--epochs", str(epochs), "--mode", "offline", "--quiet"],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), "PYTHONPATH": str(ROOT)},
    )
    largest = [0]
    watcher = threading.Thread(target=_watch, args=(process.pid, largest), daemon=True)
    watcher.start()
    if process.wait():
        raise SystemExit(f"the sweep ended with exit code {process.returncode}")
    return time.perf_counter() - begun, largest[0]


def _watch(pid: int, largest: list[int]) -> None:
    """Note the largest memory of a worker (PSS: pages that it shares count in parts)."""
    while psutil.pid_exists(pid):
        for child in psutil.Process(pid).children(recursive=True):
            try:
                if "TrialRunner" in " ".join(child.cmdline()):
                    largest[0] = max(largest[0], child.memory_full_info().pss)
            except psutil.NoSuchProcess:
                pass
        time.sleep(1)


if __name__ == "__main__":
    main()
