"""Classify pictures with the saved model of a run, read exactly as those that it was trained on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from experiment.data import image
from experiment.data.arrays import Examples
from experiment.data.image_fit import Target
from experiment.data.image_walk import Found, walk
from experiment.errors import UserError
from experiment.evaluation import calibration
from experiment.store.bundle import FILE, Bundle
from experiment.system.names import as_utf8, counted
from experiment.training import batches, checkpoints
from params.checks import OWN_MODEL

BATCH = 256


def load_model(folder: Path, bundle: Bundle) -> Any:
    """Load the saved model beside its bundle; code inside the file is never run.

    Raises:
        UserError: it is missing, damaged, asks for code of its own, or is not the one that is described.
    """
    path = folder / bundle.model_file
    if not os.path.isfile(path):
        raise UserError(f"model '{path}' is missing")
    try:
        model = checkpoints.load_model(path)
    except Exception as error:  # Keras raises what its readers and layers raise
        if "lambda" in str(error).lower() or "safe_mode" in str(error):
            raise UserError(f"model '{path}' is refused: it holds code (Lambda), which is not run") from None
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        asked = str(bundle.parameters.get("model", ""))
        own = (
            f"; layers of your own come from {asked}: give it by --model"
            if OWN_MODEL.fullmatch(asked)
            else ""
        )
        raise UserError(f"model '{path}' cannot be loaded: {first[:200]}{own}") from None
    check_model(model, bundle, folder)
    return model


def check_model(model: Any, bundle: Bundle, folder: Path) -> None:
    """Compare a loaded model with its description, by its shapes and by what it makes of a blank picture.

    Raises:
        UserError: they do not belong together; one sentence.
    """
    shape = _shape(bundle)
    declared = getattr(model, "input_shape", None)
    pixels = f"{shape[0]} × {shape[1]} pixels of {counted(shape[2], 'channel')}"
    sides = tuple(declared[1:]) if isinstance(declared, tuple) else ()
    if len(sides) == 3 and any(side not in (None, given) for side, given in zip(sides, shape, strict=True)):
        raise UserError(f"'{folder / FILE}' says {pixels}, but the model takes {' × '.join(map(str, sides))}")
    blank = np.zeros((1, *shape), np.uint8)
    try:
        outputs = _logits(model, bundle, blank)
    except Exception as error:  # a model may raise anything on what is not its input
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"'{folder / FILE}' says {pixels}, which the model does not take: {first[:300]}"
        ) from None
    if outputs.shape != (1, len(bundle.class_names)):
        given = outputs.shape[-1] if outputs.ndim == 2 else list(outputs.shape)
        raise UserError(
            f"'{folder / FILE}' names {counted(len(bundle.class_names), 'class')}, but the model has {given}"
        )


def find_images(paths: Sequence[str]) -> tuple[list[Found], Counter[str]]:
    """Return the files that are named or lie in named folders and below, and how many droppings of what name.

    Each comes with the reason why it cannot be read, if any; hidden files in folders are left out.

    Raises:
        UserError: a path is empty.
    """
    found: list[Found] = []
    droppings: Counter[str] = Counter()
    for path in paths:
        if not path:
            raise UserError("'' is neither a picture nor a folder; the current folder is '.'")
        for entry in walk(Path(path)) if os.path.isdir(path) else [Found(Path(path))]:
            if entry.dropping:
                droppings[entry.path.name] += 1
            else:
                found.append(entry)
    return found, droppings


def classify(model: Any, bundle: Bundle, files: Sequence[Found], top: int) -> Iterator[dict[str, Any]]:
    """Yield of each picture its likeliest classes with calibrated probabilities, or what is wrong with it.

    Args:
        model: returns logits [N, classes].
        bundle: the model's description.
        files: the pictures' files.
        top: how many classes to name.

    Yields:
        ``{"image": path, "classes": [{"class": name, "probability": 0 to 1}, …]}``, likeliest first, with a
        ``notice`` where the picture is hardly one; or ``{"image": path, "error": reason}``.
    """
    depth, target = bundle.image.depth, _target(bundle)

    def read(file: Found) -> image.Picture | str:
        try:
            return file.reason or image.read_image(image.read_bytes(file.path), target)
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor() as pool, image.without_warnings():
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            pictures = list(pool.map(read, batch))
            good = [picture.pixels for picture in pictures if not isinstance(picture, str)]
            rows = iter(_probabilities(model, bundle, good))
            for file, picture in zip(batch, pictures, strict=True):
                result: dict[str, Any] = {"image": as_utf8(str(file.path))}
                if isinstance(picture, str):
                    yield result | {"error": picture}
                    continue
                row = next(rows)
                if not np.isfinite(row).all():
                    yield result | {"error": "the model's answer is not finite"}
                    continue
                best = np.argsort(-row, kind="stable")[:top]
                named = [{"class": bundle.class_names[at], "probability": float(row[at])} for at in best]
                notice = _notice(picture, depth)
                yield result | {"classes": named} | ({"notice": notice} if notice else {})


def _notice(picture: image.Picture, depth: int) -> str:
    if picture.depth > depth:
        return f"its grey holds {picture.depth} bits, those trained on {depth}: what is brighter became white"
    return "it is of a single colour" if image.is_constant(picture.pixels) else ""


def _shape(bundle: Bundle) -> tuple[int, int, int]:
    return bundle.image.height, bundle.image.width, bundle.image.channels


def _target(bundle: Bundle) -> Target:
    return Target(*_shape(bundle), bundle.image.resize, bundle.image.depth)


def _logits(model: Any, bundle: Bundle, pictures: np.ndarray) -> np.ndarray:
    examples = Examples(pictures, np.zeros(len(pictures), np.int32))
    pixels, _ = batches.pixels_and_targets(model, examples, len(bundle.class_names))
    return np.asarray(model(pixels, training=False))


def _probabilities(model: Any, bundle: Bundle, pictures: Sequence[np.ndarray]) -> np.ndarray:
    if not pictures:
        return np.empty((0, len(bundle.class_names)))
    return calibration.calibrated(_logits(model, bundle, np.stack(pictures)), bundle.temperature)
