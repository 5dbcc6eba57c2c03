"""Time a folder of pictures from start to end: Keras' guide with a frozen backbone, beside ours.

python -m benchmarks.transfer FOLDER [--epochs 40] [--rounds 3]

Both train on the same pictures, ours as ``--params pictures`` with an empty cache, then with a full one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.__main__ import ROOT, print_machine
from experiment.data import arrays as data
from experiment.data import image_folder
from params.load import load_params


def main() -> None:
    """Divide the folder, run both in turn, and print medians, ratios and accuracies."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a sub-folder of pictures for each class")
    parser.add_argument("--epochs", type=int, default=40, help="of both (default: 40)")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each (default: 3)")
    options = parser.parse_args()
    print_machine()
    seconds: dict[str, list[float]] = defaultdict(list)
    accuracies: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        divided = Path(scratch, "divided")
        divide(options.folder, divided)
        ours = (
            "train.py",
            "--params",
            "pictures",
            "--dataset",
            divided,
            "--epochs",
            options.epochs,
            "--json",
        )
        theirs = ("-m", "benchmarks.peers.keras_transfer", divided, options.epochs)
        for number in range(options.rounds):
            for name, command in (("keras", theirs), ("first", ours), ("second", ours)):
                cache = Path(scratch, f"cache-{number}")
                taken, printed = timed(command, Path(scratch), cache)
                seconds[name].append(taken)
                accuracies[name].append(printed["test_accuracy"])
    print(f"\n{'the process, ' + str(options.epochs) + ' epochs':<34}{'s':>8}{'ratio':>8}   spread  accuracy")
    for name, what in (
        ("keras", "Keras' guide"),
        ("first", "ours, empty cache"),
        ("second", "ours, full cache"),
    ):
        ratios = [peer / own for peer, own in zip(seconds["keras"], seconds[name], strict=True)]
        spread = f"{min(ratios):.1f}–{max(ratios):.1f}"
        accuracy = statistics.mean(accuracies[name])
        median = statistics.median(seconds[name])
        print(f"{what:<34}{median:8.1f}{statistics.median(ratios):8.1f}  {spread:>9}{accuracy:9.3f}")


def divide(folder: Path, target: Path) -> None:
    """Copy pictures into train/, validation/ and test/, as a run of ours would split them."""
    params = load_params("pictures", {"dataset": str(folder)})
    inspection = image_folder.inspect_folder(folder, params.image_size, params.channels)
    values = params.model_dump(by_alias=True) | {"dataset": inspection.name}
    arrays = image_folder.load_images(inspection, values.__getitem__, memory=sys.maxsize)
    values["validation"] = data.default_validation(arrays)
    numbered = data.Examples(np.arange(len(arrays.train)), arrays.train.labels)
    split = data.split_arrays(dataclasses.replace(arrays, train=numbered), values.__getitem__)
    for part in ("train", "validation", "test"):
        for number in getattr(split, part).images:
            file = inspection.files[number]
            place = target / part / file.class_name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / file.path, place / f"{number}{Path(file.path).suffix}")


def timed(command: tuple[object, ...], folder: Path, cache: Path) -> tuple[float, dict[str, float]]:
    """Run a Python process; return its seconds and the JSON that it printed last."""
    started = time.perf_counter()
    first, *rest = map(str, command)
    program = [str(ROOT / first), *rest] if first.endswith(".py") else [first, *rest]
    done = subprocess.run(
        [sys.executable, *program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - started, json.loads(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
