"""What a frozen backbone makes of images, kept on disk by the images' pixels: each is run through it once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from experiment.data import image_cache
from experiment.errors import UserError
from experiment.store.files import DAMAGED, atomic_path, one_line

FORMAT = 1  # part of the key: raise it with any change that changes features
PART = 4096  # images computed between two writes: what a kill costs

Notify = Callable[[str], None]


def cache_folder() -> Path:
    """Return where features are kept, beside decoded pictures; it may be deleted at any time."""
    return image_cache.cache_folder().with_name("features")


def check_writable() -> None:
    """Make sure that features can be kept.

    Raises:
        UserError: they can't; one sentence.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / f".probe-{os.getpid()}") as probe:
            probe.write_bytes(b"x")
        (folder / f".probe-{os.getpid()}").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"features cannot be kept in '{folder}': {error.strerror}; XDG_CACHE_HOME names another place"
        ) from None


def contents_of(images: Any) -> np.ndarray:
    """Return the SHA-256 of each image's pixels, as hexadecimal digits S64 [N].

    Args:
        images: uint8 [N, H, W, C], an array or on disk.
    """
    return np.array(
        [hashlib.sha256(np.ascontiguousarray(images[row]).data).hexdigest() for row in range(len(images))],
        "S64",
    )


def look_up(
    settings: Sequence[Any],
    contents: np.ndarray,
    shape: tuple[int, ...],
    compute: Callable[[np.ndarray, int], np.ndarray],
    notify: Notify,
) -> tuple[np.ndarray, int]:
    """Return the features float32 [N, …] of images, and for how many of the distinct ones they were kept.

    One process at a time computes under the same settings: others wait for it, and then find what it kept.
    What it computed is kept every PART images, so that a killed process loses little.

    Args:
        settings: all that features depend on beside the images; JSON can hold it.
        contents: S64 [N], which images.
        shape: of the features of an image.
        compute: called with rows int64 [M] and how many distinct images have features already; returns
            features float32 [M, …].
        notify: called with a sentence where something is damaged, cannot be kept, or must be waited for.
    """
    distinct, firsts, places = np.unique(contents, return_index=True, return_inverse=True)
    features = np.empty((len(distinct), *shape), np.float32)
    key = hashlib.sha256(json.dumps([FORMAT, *settings]).encode()).hexdigest()
    folder = cache_folder() / key
    with _alone(folder, notify):
        known = _read(folder, distinct, features, notify)
        missing = np.flatnonzero(~known)
        for start in range(0, len(missing), PART):
            rows = missing[start : start + PART]
            features[rows] = compute(firsts[rows], int(known.sum()) + start)
            _write(folder, distinct[rows], features[rows], notify)
    return features[places], int(known.sum())


@contextlib.contextmanager
def _alone(folder: Path, notify: Notify) -> Iterator[None]:
    """Hold the lock of a folder, which is made; go on without where the place takes none."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(FileLock(folder / ".lock", timeout=0))
            except Timeout:
                notify("another process computes these features: waiting for it")
                stack.enter_context(FileLock(folder / ".lock"))
        except (OSError, NotImplementedError) as error:
            notify(f"features cannot be kept in '{folder}': {error}")
        yield


def _read(folder: Path, contents: np.ndarray, features: np.ndarray, notify: Notify) -> np.ndarray:
    """Fill in the features that are kept, of contents S64 [N] in ascending order; return which, bool [N].

    A file that is damaged is removed, so that what it held is computed again.
    """
    known = np.zeros(len(contents), bool)
    for path in sorted(folder.glob("*.npz")):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                names = stored["contents"]
                places = np.searchsorted(contents, names).clip(max=len(contents) - 1)
                wanted = contents[places] == names
                if not wanted.any():
                    continue
                values = stored["features"]  # its checksum is compared here
            if values.shape != (len(names), *features.shape[1:]) or values.dtype != features.dtype:
                raise ValueError(f"it holds {values.dtype} of {values.shape}")
        except DAMAGED as error:
            notify(f"features in '{path}' are damaged and computed again: {one_line(error)}")
            with contextlib.suppress(OSError):
                path.unlink()
            continue
        features[places[wanted]] = values[wanted]
        known[places[wanted]] = True
    return known


def _write(folder: Path, contents: np.ndarray, features: np.ndarray, notify: Notify) -> None:
    """Keep features float32 [M, …] of contents S64 [M], whole or not at all; to fail costs only the cache."""
    name = hashlib.sha256(contents.tobytes()).hexdigest()[:32]
    try:
        with atomic_path(folder / f"{name}.npz") as beside, beside.open("wb") as file:
            np.savez(file, contents=contents, features=features, allow_pickle=False)
    except OSError as error:
        notify(f"features cannot be kept in '{folder}': {error.strerror}")
