"""Time the decoding of a folder of JPEGs: Keras, Pillow as torchvision does it, libjpeg-turbo, and ours.

python -m benchmarks.decoding [FOLDER] [--sizes 64 160] [--rounds 5] [--pictures 1600]

A process each, in alternation, after one round that fills the page cache. Ratios are taken round by round,
of pictures a second by the clock and of processor time a picture. Without a folder, pictures of 500 × 375
are made of the two photographs that scikit-learn has. Rounds are marked and counted that began with more
load than such a benchmark itself makes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.__main__ import Result, print_machine, run
from experiment.system.machine import cores

KINDS = {
    "keras": "Keras' image_dataset_from_directory",
    "pillow": "Pillow, a process a core",
    "limit": "libjpeg-turbo alone",
    "ours": "ours, empty cache",
}
OWN_LOAD = 1.5  # a core, at most
WIDTH, HEIGHT, QUALITY = 500, 375, 90


def main() -> None:
    """Decode in alternation and print a table for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="a sub-folder of JPEGs for each class")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 160], help="default: 64 160")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each (default: 5)")
    parser.add_argument("--pictures", type=int, default=1600, help="to be made (default: 1600)")
    options = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or make_pictures(Path(scratch, "pictures"), options.pictures)
        for size in options.sizes:
            one_round(folder, size)
            rounds, loaded = [], 0
            for number in range(options.rounds):
                load = os.getloadavg()[0]
                loaded += load > OWN_LOAD * cores()
                rounds.append(one_round(folder, size))
                print(f"{size} pixels, round {number + 1}, load {load:.1f}", flush=True)
            print(f"{loaded} of {options.rounds} rounds began on a loaded machine")
            print_table(size, rounds)


def one_round(folder: Path, size: int) -> dict[str, Result]:
    """Run a process of each kind."""
    return {kind: run("-m", "benchmarks.peers.decoding", kind, str(folder), str(size)) for kind in KINDS}


def print_table(size: int, rounds: list[dict[str, Result]]) -> None:
    """Print medians of some rounds, and how many times better ours was, median and range."""
    columns = f"{'a second':>9}{'ours ÷':>8}{'range':>14}{'CPU ms':>8}{'÷ ours':>8}{'range':>14}"
    print(f"\n{f'to {size} × {size}':<38}{columns}")
    for kind, title in KINDS.items():
        speeds = [each["ours"]["pictures_per_s"] / each[kind]["pictures_per_s"] for each in rounds]
        times = [each[kind]["cpu_ms"] / each["ours"]["cpu_ms"] for each in rounds]
        cells = ""
        for field, ratios, wide in (("pictures_per_s", speeds, ">9.0f"), ("cpu_ms", times, ">8.2f")):
            spread = f"{min(ratios):.2f} – {max(ratios):.2f}"
            cells += f"{statistics.median(each[kind][field] for each in rounds):{wide}}"
            cells += f"{statistics.median(ratios):8.2f}{spread:>14}"
        print(f"{title:<38}{cells}", flush=True)
    print()


def make_pictures(folder: Path, count: int) -> Path:
    """Write JPEGs of two classes, no two alike: parts of photographs, with some noise as a sensor adds it."""
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(0)
    photographs = load_sample_images().images
    for number in range(count):
        pixels = photographs[number % len(photographs)]
        top = random.integers(0, pixels.shape[0] - HEIGHT + 1)
        left = random.integers(0, pixels.shape[1] - WIDTH + 1)
        noise = random.normal(0, 3, (HEIGHT, WIDTH, 1))
        part = (pixels[top : top + HEIGHT, left : left + WIDTH] + noise).clip(0, 255).astype(np.uint8)
        file = folder / ("china", "flower")[number % 2] / f"{number:06}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(part).save(file, quality=QUALITY)
    return folder


if __name__ == "__main__":
    main()
