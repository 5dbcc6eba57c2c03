"""The decoding of a folder of JPEGs: Keras, Pillow as torchvision uses it, libjpeg-turbo, and ours."""

from __future__ import annotations

import argparse
import functools
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.rounds import Result, compare, run

PEERS = {
    "keras": "Keras' image_dataset_from_directory",
    "pillow": "Pillow, a process a core",
    "limit": "libjpeg-turbo alone",
}
SIZES, PICTURES = (64, 160), 1600
WIDTH, HEIGHT, QUALITY = 500, 375, 90


def time_decoding(_: Path, options: argparse.Namespace) -> None:
    """Print milliseconds a picture, by the clock and of processors, all files in the page cache."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.pictures or make_pictures(Path(scratch, "pictures"), PICTURES)
        _decode("limit", folder, SIZES[0])
        for size in SIZES:
            compare(
                {kind: functools.partial(_decode, kind, folder, size) for kind in PEERS},
                functools.partial(_decode, "ours", folder, size),
                options.rounds,
                [
                    (f"{title} ÷ ours: a picture to {size} × {size}, {unit}", kind, field)
                    for kind, title in PEERS.items()
                    for unit, field in (("ms", "ms"), ("CPU ms", "cpu_ms"))
                ],
            )


def _decode(kind: str, folder: Path, size: int) -> Result:
    return run("-m", "benchmarks.peers.decoding", kind, str(folder), str(size))


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
