"""Time this pipeline beside its peers: processes in alternation, medians, ratios with their spread.

python -m benchmarks DATA.npz [--pairs 7] [--epochs 6] [--whole 50]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from experiment import provenance

ROOT = Path(__file__).parent.parent
Result = dict[str, float]


def main() -> None:
    """Run the comparisons and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="an .npz in Keras' layout, such as mnist.npz")
    parser.add_argument("--pairs", type=int, default=7, help="processes of each (default: 7)")
    parser.add_argument("--epochs", type=int, default=6, help="epochs a process (default: 6)")
    parser.add_argument("--whole", type=int, default=50, help="epochs of whole runs, 0 to leave them out")
    parser.add_argument(
        "--cnn", type=int, default=0, help="pairs of mnist-cnn, 2 epochs each (default: none)"
    )
    options = parser.parse_args()
    data = options.data.resolve()
    described = provenance.describe_run()
    machine = described["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores, Python {described['python']}")
    print(", ".join(f"{name} {version}" for name, version in described["packages"].items()))

    def ours(epochs: int, *flags: str) -> Callable[[], Result]:
        return lambda: train(data, "--epochs", str(epochs), *flags)

    def other(name: str, epochs: int, *flags: str) -> Callable[[], Result]:
        return lambda: peer(name, data, epochs, *flags)

    epochs, pairs = options.epochs, options.pairs
    print(f"\n{'what':<58}{'peer':>9}{'ours':>9}{'ratio':>8}   spread")
    compare("plain Keras untracked ÷ ours tracked: epoch, s", other("tutorial", epochs), ours(epochs), pairs)
    compare(
        "Keras under Comet's own logging ÷ ours: epoch, s",
        other("tutorial", epochs, "--comet"),
        ours(epochs),
        pairs,
    )
    compare("peak memory, GB", other("tutorial", epochs), ours(epochs), min(pairs, 3), "peak_bytes", 1e-9)
    for name, title in (
        ("numpy_mlp", "NumPy by hand"),
        ("jax_mlp", "JAX scan"),
        ("torch_mlp", "PyTorch eager"),
    ):
        module = name.removesuffix("_mlp")
        if importlib.util.find_spec(module):
            compare(
                f"{title} ÷ ours: training an epoch, s",
                other(name, epochs),
                other("ours_training", epochs),
                pairs,
            )
        else:
            print(f"{title}: {module} is not installed; pip install -e '.[bench]'")
    compare(
        "arithmetic limit ÷ ours: training an epoch, s",
        other("ceiling", epochs),
        other("ours_training", epochs),
        pairs,
    )
    if options.cnn:
        flags = ("--params", "mnist-cnn")
        compare(
            "mnist-cnn, plain Keras ÷ ours: epoch, s",
            other("tutorial", 2, "cnn"),
            ours(2, *flags),
            options.cnn,
        )
    if options.whole:
        whole = options.whole
        compare(
            f"plain Keras ÷ ours: whole process, {whole} epochs, s",
            other("tutorial", whole),
            ours(whole),
            pairs,
            "wall_s",
        )
        untracked = ours(whole, "--mode", "disabled")
        compare(
            f"ours untracked ÷ ours tracked: whole, {whole} epochs, s",
            untracked,
            ours(whole),
            pairs,
            "wall_s",
        )


def compare(
    title: str,
    theirs: Callable[[], Result],
    ours: Callable[[], Result],
    pairs: int,
    field: str = "epoch_s",
    unit: float = 1.0,
) -> None:
    """Run both in alternation and print medians, and the ratio pair by pair: median and range."""
    results = [(theirs()[field] * unit, ours()[field] * unit) for _ in range(pairs)]
    ratios = sorted(peer / own for peer, own in results)
    peer, own = (statistics.median(column) for column in zip(*results, strict=True))
    row = f"{title:<58}{peer:>9.3f}{own:>9.3f}{statistics.median(ratios):>8.2f}"
    print(f"{row}   {ratios[0]:.2f} – {ratios[-1]:.2f}", flush=True)


def peer(name: str, data: Path, epochs: int, *flags: str) -> Result:
    """Run a peer in a process of its own."""
    return _run("-m", f"benchmarks.peers.{name}", str(data), str(epochs), *flags)


def train(data: Path, *flags: str) -> Result:
    """Run train.py in a process of its own, tracked offline unless the flags say otherwise."""
    mode = () if "--mode" in flags else ("--mode", "offline")
    return _run(str(ROOT / "train.py"), "--dataset", str(data), *mode, "--json", "--quiet", *flags)


def _run(*arguments: str) -> Result:
    """Run Python in an empty home; return what it printed, with its seconds and its peak memory in bytes."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as output:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COMET_")}
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment | {"HOME": folder, "PYTHONPATH": str(ROOT)},
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
        return printed | {"wall_s": wall, "peak_bytes": usage.ru_maxrss * 1024}


if __name__ == "__main__":
    main()
