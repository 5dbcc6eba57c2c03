"""Time a folder of pictures from start to end: Keras' guide with a frozen backbone, beside ours.

python -m benchmarks.transfer FOLDER [--epochs 40] [--rounds 3]

Both train on the same pictures: the peer as Keras' guide has it, ours as ``--params pictures``, with an empty
cache, then with a full one. Seconds are those of whole processes, by the clock and of the processors.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.rounds import ROOT, Result, print_machine, run
from experiment.data import arrays, pictures, splits
from experiment.data.image_set import load_images
from params.load import load_params

KINDS = {"keras": "Keras' guide", "first": "ours, empty cache", "second": "ours, full cache"}


def main() -> None:
    """Divide the folder, run all in turn, and print medians, ratios with their range, and accuracies."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a sub-folder of pictures for each class")
    parser.add_argument("--epochs", type=int, default=40, help="of all (default: 40)")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each (default: 3)")
    options = parser.parse_args()
    print_machine()
    results: dict[str, list[Result]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        divided = Path(scratch, "divided")
        divide(options.folder, divided)
        theirs = ("-m", "benchmarks.peers.keras_transfer", str(divided), str(options.epochs))
        flags = ("--json", "--quiet", "--mode", "offline", "--epochs", str(options.epochs))
        ours = (str(ROOT / "train.py"), "--params", "pictures", "--dataset", str(divided), *flags)
        for number in range(options.rounds):
            cache = str(Path(scratch, f"cache-{number}"))
            for kind in KINDS:
                arguments = theirs if kind == "keras" else ours
                results[kind].append(run(*arguments, XDG_CACHE_HOME=cache))
                print_row(f"round {number + 1}: {KINDS[kind]}", results, kind, slice(-1, None))
    print(f"\n{'the process, ' + str(options.epochs) + ' epochs':<30}{HEADING}")
    for kind, title in KINDS.items():
        print_row(title, results, kind, slice(None))


HEADING = f"{'s':>8}{'ratio':>7}{'range':>14}{'CPU s':>9}{'ratio':>7}{'range':>14}{'accuracy':>10}"


def print_row(title: str, results: dict[str, list[Result]], kind: str, rounds: slice) -> None:
    """Print medians of some rounds, what the peer took of each, round by round, and the mean accuracy."""
    cells = ""
    for field in ("wall_s", "cpu_s"):
        own = [result[field] for result in results[kind][rounds]]
        peer = [result[field] for result in results["keras"][rounds]]
        ratios = [other / mine for other, mine in zip(peer, own, strict=True)]
        spread = f"{min(ratios):.2f} – {max(ratios):.2f}"
        cells += f"{statistics.median(own):{8 if field == 'wall_s' else 9}.1f}"
        cells += f"{statistics.median(ratios):7.2f}{spread:>14}"
    accuracy = statistics.mean(result["test_accuracy"] for result in results[kind][rounds])
    print(f"{title:<30}{cells}{accuracy:10.3f}", flush=True)


def divide(folder: Path, target: Path) -> None:
    """Copy pictures into train/, validation/ and test/, as a run of ours would split them."""
    values = load_params("pictures", {"dataset": str(folder)}).model_dump(by_alias=True)
    inspection = pictures.inspect(str(folder), values.__getitem__)
    found = load_images(inspection, values.__getitem__, memory=sys.maxsize)
    values["validation"] = splits.default_validation(found)
    numbered = arrays.Examples(np.arange(len(found.train)), found.train.labels)
    split = splits.split_arrays(dataclasses.replace(found, train=numbered), values.__getitem__)
    for part in ("train", "validation", "test"):
        for number in getattr(split, part).images:
            file = inspection.files[number]
            place = target / part / file.class_name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / file.path, place / f"{number}{Path(file.path).suffix}")


if __name__ == "__main__":
    main()
