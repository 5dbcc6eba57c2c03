"""Decode a folder of JPEGs one way, and print milliseconds a picture, by the clock and of processors.

python -m benchmarks.peers.decoding WAY FOLDER SIZE

keras   image_dataset_from_directory, as Keras comes: a second pass, when its program is there
pillow  as torchvision's ImageFolder and Resize: a process a core opens, converts, resizes, and sends pixels
limit   libjpeg-turbo alone: files in memory, decoded by Pillow at the part of their size that is needed
ours    a folder inspected with an empty cache: read, hashed, decoded, resized, compared and kept
"""

from __future__ import annotations

import functools
import io
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from experiment.system.machine import cores

BATCH = 32


def main() -> None:
    """Decode all pictures, and print what that took."""
    way, folder, size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    files = sorted(folder.rglob("*.jpg"))
    decode = WAYS[way](folder, files, size)
    Image.init()  # what is loaded once is not counted
    used, begun = _processor_seconds(), time.perf_counter()
    count = decode()
    wall, used = time.perf_counter() - begun, _processor_seconds() - used
    if count != len(files):
        raise SystemExit(f"{way} decoded {count} of {len(files)}")
    print(json.dumps({"ms": 1000 * wall / count, "cpu_ms": 1000 * used / count}))


def _processor_seconds() -> float:
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, who))


def _keras(folder: Path, files: list[Path], size: int) -> Callable[[], int]:  # noqa: ARG001
    import keras

    pictures = keras.utils.image_dataset_from_directory(
        folder, image_size=(size, size), batch_size=BATCH, shuffle=False, verbose=False
    )

    def decode() -> int:
        return sum(len(images) for images, _ in pictures)

    decode()
    return decode


def _pillow(folder: Path, files: list[Path], size: int) -> Callable[[], int]:  # noqa: ARG001
    def decode() -> int:
        with multiprocessing.Pool(cores()) as pool:
            found = pool.imap(functools.partial(_open_and_resize, size), files, chunksize=BATCH)
            count = sum(pixels.shape == (size, size, 3) for pixels in found)
            pool.close()
            pool.join()  # or their processor time would not be counted
        return count

    return decode


def _open_and_resize(size: int, file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def _limit(folder: Path, files: list[Path], size: int) -> Callable[[], int]:  # noqa: ARG001
    contents = [file.read_bytes() for file in files]

    def reduced(content: bytes) -> bool:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            image.draft(None, (size, size))
            image.load()
            return min(image.size) >= size

    def decode() -> int:
        with ThreadPoolExecutor(cores()) as pool:
            return sum(pool.map(lambda part: sum(map(reduced, part)), _parts(contents)))

    return decode


def _parts(contents: list[bytes]) -> list[list[bytes]]:
    return [contents[start : start + BATCH] for start in range(0, len(contents), BATCH)]


def _ours(folder: Path, files: list[Path], size: int) -> Callable[[], int]:  # noqa: ARG001
    from experiment.data.image_fit import Target
    from experiment.data.image_folder import inspect_folder

    return lambda: len(inspect_folder(folder, Target(size, size, 3)).files)


WAYS = {"keras": _keras, "pillow": _pillow, "limit": _limit, "ours": _ours}

if __name__ == "__main__":
    main()
