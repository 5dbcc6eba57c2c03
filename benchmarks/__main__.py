"""Time this pipeline beside its peers: processes in alternation, medians, ratios with their spread.

python -m benchmarks DATA.npz [whole short training cnn convolutions] [--rounds 7] [--epochs 6] [--whole 50]

whole     the tutorial's script and ours, tracked and with --mode disabled, from start to end
short     Keras under Comet's own logging, plain Keras, and ours, for a few epochs
training  NumPy, JAX, PyTorch and the arithmetic limit beside ours, training alone
cnn       the network of mnist-cnn in plain Keras and as ours, 2 epochs
convolutions  the cnn on 10,000 images, training alone: PyTorch in both layouts, plain Keras with and
          without oneDNN, and the arithmetic limit beside ours; seconds, and those of processors

Each process is noted as it ends, on stderr: its processor, the load when it began, and how many cores other
work took meanwhile. A round beside such work is told apart from the others.

Beside these, benchmarks.transfer, .many_runs and .sweeps time what takes other data.
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

import psutil

from experiment.run import provenance
from experiment.system import machine

ROOT = Path(__file__).parent.parent
QUIET_CORES = 0.1  # that others may take before a round counts as loaded
Result = dict[str, float]


def main() -> None:
    """Run the comparisons and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="an .npz in Keras' layout, such as mnist.npz")
    parser.add_argument("groups", nargs="*", metavar="group", help="of those above (default: all)")
    parser.add_argument("--rounds", type=int, default=7, help="processes of each (default: 7)")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of short and training (default: 6)")
    parser.add_argument("--whole", type=int, default=50, help="epochs of whole (default: 50)")
    options = parser.parse_args()
    groups = {
        "whole": _whole,
        "short": _short,
        "training": _training,
        "cnn": _cnn,
        "convolutions": _convolutions,
    }
    if unknown := set(options.groups) - set(groups):
        parser.error(f"no group {', '.join(sorted(unknown))}: it must be one of {', '.join(groups)}")
    print_machine()
    print(f"\n{'what':<58}{'peer':>9}{'ours':>9}{'ratio':>8}   spread")
    for name in options.groups or groups:
        groups[name](options.data.resolve(), options)


def print_machine() -> None:
    """Print the processor and the versions of what is compared."""
    described = provenance.describe_run()
    machine = described["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores, Python {described['python']}")
    print(", ".join(f"{name} {version}" for name, version in described["packages"].items()))


def _whole(data: Path, options: argparse.Namespace) -> None:
    epochs = options.whole
    compare(
        {
            "plain": lambda: peer("tutorial", data, epochs),
            "disabled": lambda: train(data, epochs, "--mode", "disabled"),
        },
        lambda: train(data, epochs),
        options.rounds,
        (
            (f"plain Keras ÷ ours: an epoch of {epochs}, s", "plain", "epoch_s"),
            (f"plain Keras ÷ ours: the process, {epochs} epochs, s", "plain", "wall_s"),
            (f"ours untracked ÷ ours tracked: {epochs} epochs, s", "disabled", "wall_s"),
            ("plain Keras ÷ ours: peak memory, bytes", "plain", "peak_bytes"),
        ),
    )


def _short(data: Path, options: argparse.Namespace) -> None:
    epochs = options.epochs
    compare(
        {
            "plain": lambda: peer("tutorial", data, epochs),
            "comet": lambda: peer("tutorial", data, epochs, "--comet"),
        },
        lambda: train(data, epochs),
        options.rounds,
        (
            (f"plain Keras ÷ ours: an epoch of {epochs}, s", "plain", "epoch_s"),
            (f"under Comet's own logging ÷ ours: an epoch of {epochs}, s", "comet", "epoch_s"),
        ),
    )


def _training(data: Path, options: argparse.Namespace) -> None:
    titles = {"numpy": "NumPy by hand", "jax": "JAX scan", "torch": "PyTorch eager"}
    found = _installed(titles)

    def other(script: str) -> Callable[[], Result]:
        return lambda: peer(script, data, options.epochs)

    compare(
        {name: other(f"{name}_mlp") for name in found} | {"limit": other("ceiling")},
        other("ours_training"),
        options.rounds,
        [
            *((f"{titles[name]} ÷ ours: training an epoch, s", name, "epoch_s") for name in found),
            ("arithmetic limit ÷ ours: training an epoch, s", "limit", "epoch_s"),
        ],
    )


def _cnn(data: Path, options: argparse.Namespace) -> None:
    compare(
        {"plain": lambda: peer("tutorial", data, 2, "cnn")},
        lambda: train(data, 2, "--params", "mnist-cnn"),
        options.rounds,
        [("mnist-cnn, plain Keras ÷ ours: an epoch, s", "plain", "epoch_s")],
    )


def _convolutions(data: Path, options: argparse.Namespace) -> None:
    def other(script: str, *flags: str, **variables: str) -> Callable[[], Result]:
        return lambda: peer(script, data, options.epochs, *flags, **variables)

    peers = {
        "plain Keras": other("keras_cnn"),
        "plain Keras with oneDNN": other("keras_cnn", TF_ENABLE_ONEDNN_OPTS="1"),
        "plain Keras without oneDNN": other("keras_cnn", TF_ENABLE_ONEDNN_OPTS="0"),
    }
    if _installed(["torch"]):
        peers |= {
            "PyTorch NCHW": other("torch_cnn"),
            "PyTorch channels_last": other("torch_cnn", "channels_last"),
        }
    rows = [
        (f"{name} ÷ ours: an epoch of the cnn, {unit}", name, field)
        for name in peers
        for unit, field in (("s", "epoch_s"), ("CPU s", "epoch_cpu_s"))
    ]
    rows += [("arithmetic limit of its convolutions ÷ ours, s", "limit", "epoch_s")]
    compare(peers | {"limit": other("ceiling", "cnn")}, other("ours_training", "cnn"), options.rounds, rows)


def _installed(names: Iterable[str]) -> list[str]:
    """Return those packages that are installed; say which are not."""
    found = [name for name in names if importlib.util.find_spec(name)]
    if missing := [name for name in names if name not in found]:
        print(f"not installed: {', '.join(missing)}; pip install -e '.[bench]'")
    return found


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
    ratios = sorted(peer / own for peer, own in pairs)
    medians = "".join(f"{statistics.median(column):>9.4g}" for column in zip(*pairs, strict=True))
    row = f"{title:<58}{medians}{statistics.median(ratios):>8.2f}"
    print(f"{row}   {ratios[0]:.2f} – {ratios[-1]:.2f}{kind}", flush=True)


def peer(name: str, data: Path, epochs: int, *flags: str, **variables: str) -> Result:
    """Run a peer in a process of its own."""
    return run("-m", f"benchmarks.peers.{name}", str(data), str(epochs), *flags, **variables)


def train(data: Path, epochs: int, *flags: str) -> Result:
    """Run train.py in a process of its own, tracked offline unless the flags say otherwise."""
    mode = () if "--mode" in flags else ("--mode", "offline")
    common = ("--dataset", str(data), "--epochs", str(epochs), "--json", "--quiet")
    return run(str(ROOT / "train.py"), *common, *mode, *flags)


def run(*arguments: str, **variables: str) -> Result:
    """Run Python in an empty home; return what it printed, seconds, those of processors, peak bytes.

    And ``others_cores``: how many cores everything else on this machine took meanwhile.
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
        cpu = usage.ru_utime + usage.ru_stime
        others = max(0.0, (_busy_seconds() - busy - cpu) / wall)
        noted = f"{machine.processor()}, load {load:.1f}, others took {others:.2f} cores"
        print(f"{Path(arguments[arguments[0] == '-m']).name}: {wall:.1f} s, {noted}", file=sys.stderr)
        used = {"wall_s": wall, "cpu_s": cpu, "peak_bytes": usage.ru_maxrss * 1024, "others_cores": others}
        return printed | used


def _busy_seconds() -> float:
    """Return how long all processors together have been at work since the machine started."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


if __name__ == "__main__":
    main()
