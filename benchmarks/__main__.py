"""Time this pipeline beside its peers: processes in alternation, medians, ratios with their spread.

python -m benchmarks DATA.npz [--rounds 7] [--epochs 6] [--whole 50]
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
from collections.abc import Callable, Iterable, Mapping
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
    parser.add_argument("--rounds", type=int, default=7, help="processes of each (default: 7)")
    parser.add_argument("--epochs", type=int, default=6, help="epochs a process (default: 6)")
    parser.add_argument("--whole", type=int, default=50, help="epochs of whole runs, 0 to leave them out")
    parser.add_argument("--whole-rounds", type=int, help="processes of each whole run (default: as --rounds)")
    parser.add_argument(
        "--cnn", type=int, default=0, help="rounds of mnist-cnn, 2 epochs each (default: none)"
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

    epochs, rounds, whole = options.epochs, options.rounds, options.whole
    print(f"\n{'what':<58}{'peer':>9}{'ours':>9}{'ratio':>8}   spread")
    compare(
        {"plain": other("tutorial", epochs), "comet": other("tutorial", epochs, "--comet")},
        ours(epochs),
        rounds,
        (
            ("plain Keras untracked ÷ ours tracked: epoch, s", "plain", "epoch_s"),
            ("Keras under Comet's own logging ÷ ours: epoch, s", "comet", "epoch_s"),
            ("peak memory: plain Keras ÷ ours, bytes", "plain", "peak_bytes"),
        ),
    )
    modules = {"numpy": "NumPy by hand", "jax": "JAX scan", "torch": "PyTorch eager"}
    missing = [name for name in modules if not importlib.util.find_spec(name)]
    training = {name: other(f"{name}_mlp", epochs) for name in modules if name not in missing}
    compare(
        training | {"limit": other("ceiling", epochs)},
        other("ours_training", epochs),
        rounds,
        (
            *((f"{modules[name]} ÷ ours: training an epoch, s", name, "epoch_s") for name in training),
            ("arithmetic limit ÷ ours: training an epoch, s", "limit", "epoch_s"),
        ),
    )
    if missing:
        print(f"not installed: {', '.join(missing)}; pip install -e '.[bench]'")
    if options.cnn:
        compare(
            {"plain": other("tutorial", 2, "cnn")},
            ours(2, "--params", "mnist-cnn"),
            options.cnn,
            [("mnist-cnn, plain Keras ÷ ours: epoch, s", "plain", "epoch_s")],
        )
    if whole:
        compare(
            {"plain": other("tutorial", whole), "disabled": ours(whole, "--mode", "disabled")},
            ours(whole),
            options.whole_rounds or rounds,
            (
                (f"plain Keras ÷ ours: whole process, {whole} epochs, s", "plain", "wall_s"),
                (f"ours untracked ÷ ours tracked: {whole} epochs, s", "disabled", "wall_s"),
            ),
        )


def compare(
    peers: Mapping[str, Callable[[], Result]],
    ours: Callable[[], Result],
    rounds: int,
    rows: Iterable[tuple[str, str, str]],
) -> None:
    """Run all peers and ours in alternation; print a row for each (title, peer, field of the results).

    A row has both medians, and of the ratio, taken round by round, the median and the range.
    """
    results = [{name: peer() for name, peer in peers.items()} | {"ours": ours()} for _ in range(rounds)]
    for title, name, field in rows:
        pairs = [(result[name][field], result["ours"][field]) for result in results]
        ratios = sorted(peer / own for peer, own in pairs)
        medians = "".join(f"{statistics.median(column):>9.4g}" for column in zip(*pairs, strict=True))
        row = f"{title:<58}{medians}{statistics.median(ratios):>8.2f}"
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
