"""Classify pictures with the saved model of a run, read exactly as those that it was trained on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from experiment import calibration, checkpoints, images, trainer
from experiment.bundle import Bundle
from experiment.data import Examples

BATCH = 256


def load_model(folder: Path, bundle: Bundle) -> Any:
    """Load the saved model beside its bundle; code inside the file is never run.

    Raises:
        ValueError: it is missing, damaged, or asks for code of its own.
    """
    path = folder / bundle.model_file
    if not os.path.isfile(path):
        raise ValueError(f"model '{path}' is missing")
    try:
        return checkpoints.load_model(path)
    except Exception as error:  # Keras raises what its readers and layers raise
        if "lambda" in str(error).lower() or "safe_mode" in str(error):
            raise ValueError(f"model '{path}' is refused: it holds code (Lambda), which is not run") from None
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"model '{path}' cannot be loaded: {first[:300]}") from None


def find_images(paths: Sequence[str]) -> list[Path]:
    """Return the files that are named, and all that lie in named folders and below, but for hidden ones."""
    found: list[Path] = []
    for path in map(Path, paths):
        if not os.path.isdir(path):
            found.append(path)
            continue
        for folder, names, files in os.walk(path):
            names[:] = sorted(name for name in names if not name.startswith("."))
            found += [Path(folder, name) for name in sorted(files) if not name.startswith(".")]
    return found


def classify(model: Any, bundle: Bundle, paths: Sequence[Path], top: int) -> Iterator[dict[str, Any]]:
    """Yield of each picture its likeliest classes with calibrated probabilities, or what is wrong with it.

    Args:
        model: returns logits [N, classes].
        bundle: the model's description.
        paths: the pictures' files.
        top: how many classes to name.

    Yields:
        ``{"image": path, "classes": [{"class": name, "probability": 0 to 1}, …]}``, likeliest first, or
        ``{"image": path, "error": reason}``.
    """
    shape = tuple(bundle.image[side] for side in ("height", "width", "channels"))

    def read(path: Path) -> np.ndarray | str:
        try:
            return images.read_image(images.read_bytes(path), *shape).pixels
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor() as pool, images.without_warnings():
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            read_images = list(pool.map(read, batch))
            good = [image for image in read_images if not isinstance(image, str)]
            rows = iter(_probabilities(model, bundle, good))
            for path, image in zip(batch, read_images, strict=True):
                if isinstance(image, str):
                    yield {"image": str(path), "error": image}
                    continue
                row = next(rows)
                best = np.argsort(-row, kind="stable")[:top]
                named = [{"class": bundle.class_names[at], "probability": float(row[at])} for at in best]
                yield {"image": str(path), "classes": named}


def _probabilities(model: Any, bundle: Bundle, pictures: Sequence[np.ndarray]) -> np.ndarray:
    if not pictures:
        return np.empty((0, len(bundle.class_names)))
    examples = Examples(np.stack(pictures), np.zeros(len(pictures), np.int32))
    pixels, _ = trainer.prepare(model, examples, len(bundle.class_names))
    return calibration.calibrated(np.asarray(model(pixels, training=False)), bundle.temperature)
