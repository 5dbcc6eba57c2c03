"""Time this pipeline beside its peers: processes in alternation, medians, ratios with their spread.

python -m benchmarks DATA.npz [GROUP …] [--rounds 7]

whole         the tutorial's script and ours, tracked and with --mode disabled, from start to end
short         plain Keras, Keras under Comet's own logging, and ours, with empty and with filled caches, for a
              few epochs: what is done before, in and after them
training      NumPy, JAX, PyTorch and the arithmetic limit beside ours, training alone
convolutions  the cnn on 10,000 images, training alone: PyTorch in both layouts, plain Keras with and
              without oneDNN, and the arithmetic limit beside ours; seconds, and those of processors
decoding      JPEGs of 500 × 375 to 64 and 160 pixels: Keras, Pillow, libjpeg-turbo alone, and ours; they are
              made of the two photographs that scikit-learn has, or are those of a folder
sweeps        Keras Tuner, train.py in a loop, and a sweep of 24 trials of 5 epochs

Beside these, benchmarks.transfer and benchmarks.many_runs time what takes other data.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.decoding import time_decoding
from benchmarks.rounds import Process, compare, peer, print_head, print_machine, train
from benchmarks.sweeps import time_sweeps


def main() -> None:
    """Run the comparisons and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="an .npz in Keras' layout, such as mnist.npz")
    parser.add_argument("groups", nargs="*", metavar="group", help="of those above (default: all)")
    parser.add_argument("--rounds", type=int, default=7, help="processes of each (default: 7)")
    parser.add_argument("--epochs", type=int, default=6, help="epochs, but for whole and sweeps (default: 6)")
    parser.add_argument("--whole", type=int, default=50, help="epochs of whole (default: 50)")
    parser.add_argument("--trials", type=int, default=24, help="of sweeps (default: 24)")
    parser.add_argument("--pictures", type=Path, help="a sub-folder of JPEGs for each class")
    options = parser.parse_args()
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"no group {', '.join(sorted(unknown))}: it must be one of {', '.join(GROUPS)}")
    print_machine()
    print_head()
    for name in options.groups or GROUPS:
        GROUPS[name](options.data.resolve(), options)


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
    with tempfile.TemporaryDirectory() as caches:
        train(data, epochs, XDG_CACHE_HOME=caches)
        compare(
            {
                "plain": lambda: peer("tutorial", data, epochs),
                "comet": lambda: peer("tutorial", data, epochs, "--comet"),
                "again": lambda: train(data, epochs, XDG_CACHE_HOME=caches),
            },
            lambda: train(data, epochs),
            options.rounds,
            (
                (f"plain Keras ÷ ours: the process, {epochs} epochs, s", "plain", "wall_s"),
                (f"plain Keras ÷ ours: the process, {epochs} epochs, CPU s", "plain", "cpu_s"),
                ("plain Keras ÷ ours: imports, data, building, s", "plain", "startup_s"),
                ("plain Keras ÷ ours: compiling, s", "plain", "compiling_s"),
                (f"plain Keras ÷ ours: an epoch of {epochs}, s", "plain", "epoch_s"),
                ("plain Keras ÷ ours: testing, saving (ours: figures, logging), s", "plain", "after_s"),
                (f"under Comet's own logging ÷ ours: an epoch of {epochs}, s", "comet", "epoch_s"),
                (f"ours, its caches filled ÷ ours: the process, {epochs} epochs, s", "again", "wall_s"),
                ("ours, its caches filled ÷ ours: compiling, s", "again", "compiling_s"),
            ),
        )


def _training(data: Path, options: argparse.Namespace) -> None:
    titles = {"numpy": "NumPy by hand", "jax": "JAX scan", "torch": "PyTorch eager"}
    found = _installed(titles)

    def other(script: str) -> Process:
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


def _convolutions(data: Path, options: argparse.Namespace) -> None:
    def other(script: str, *flags: str, **variables: str) -> Process:
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
        print(f"not installed: {', '.join(missing)}; pip install -e '.[bench,sweep]'")
    return found


def _sweeps(data: Path, options: argparse.Namespace) -> None:
    needed = ["keras_tuner", "optuna", "ray"]
    if _installed(needed) == needed:
        time_sweeps(data, options)


GROUPS = {
    "whole": _whole,
    "short": _short,
    "training": _training,
    "convolutions": _convolutions,
    "decoding": time_decoding,
    "sweeps": _sweeps,
}

if __name__ == "__main__":
    main()
