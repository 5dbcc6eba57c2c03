"""Decoded pictures, kept on disk by the content of their files: decoding is done once, by all cores."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import PIL

from experiment.data import image
from experiment.errors import UserError
from experiment.store.files import sync_folder
from experiment.system import machine
from experiment.system.environment import cache_home

ProgressCallback = Callable[[str, int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Decoded:
    """The pictures of a set of files, each content once.

    ``pixels`` is uint8 [M, H, W, C], memory-mapped; ``rows`` tells the row of a content's SHA-256. ``facts``
    holds of each content that decodes its format, mode, width, height, depth, the SHA-256 of its pixels, and
    whether those are all alike; ``faults`` of each other the reason. ``depth`` is the rule for the whole set:
    so many of a pixel's 16 bits of grey are in use.
    """

    pixels: np.ndarray
    rows: Mapping[str, int]
    facts: Mapping[str, Mapping[str, Any]]
    faults: Mapping[str, str]
    depth: int


def cache_folder() -> Path:
    """Return where decoded pictures are kept; it may be deleted at any time."""
    return cache_home() / "images"


def hash_files(paths: Iterable[Path], progress: ProgressCallback) -> list[tuple[str | None, str]]:
    """Return of each file the SHA-256 of its content and no reason, or None and the reason."""

    def read(path: Path) -> tuple[str | None, str]:
        try:
            return hashlib.sha256(image.read_bytes(path)).hexdigest(), ""
        except UserError as error:
            return None, str(error)

    return list(_in_parallel("reading", read, list(paths), progress))


def decode(
    files: Mapping[str, Path],
    height: int,
    width: int,
    channels: int,
    progress: ProgressCallback = lambda *_: None,
) -> Decoded:
    """Decode files to pictures of one size, or take them from the cache.

    Files of 16 bits a pixel often hold 8 or 12: where none of the set has a larger value, they are scaled by
    what they hold, all alike.

    Args:
        files: a path for each content, by its SHA-256.
        height: of a decoded picture, in pixels.
        width: the same.
        channels: 1 for grey, 3 for colour.
        progress: told of what is done, how many are done, and of how many.

    Raises:
        UserError: the cache cannot be written.
    """
    files = dict(sorted(files.items()))
    shape = (len(files), height, width, channels)
    decoded = _decode(files, shape, image.FULL_DEPTH, progress)
    depth = max((facts["depth"] for facts in decoded.facts.values()), default=0) or image.FULL_DEPTH
    return decoded if depth == image.FULL_DEPTH else _decode(files, shape, depth, progress)


def _decode(
    files: Mapping[str, Path], shape: tuple[int, ...], depth: int, progress: ProgressCallback
) -> Decoded:
    """Decode files, in order of their contents, by one depth, or take them from the cache."""
    # All that pixels depend on; Pillow's decoders change from version to version.
    settings = [image.DECODER, PIL.__version__, *shape[1:], depth]
    key = hashlib.sha256(json.dumps([settings, list(files)]).encode()).hexdigest()
    place = cache_folder() / key
    if (decoded := _read(place, shape, depth)) is not None:
        return decoded
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # Renamed when it is whole: a kill leaves a folder that nobody reads.
        beside = Path(tempfile.mkdtemp(prefix=".tmp-", dir=place.parent))
        try:
            _write(beside, files, shape, depth, progress)
            shutil.rmtree(place, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process was faster; its content is the same
                beside.rename(place)
            sync_folder(place.parent)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"decoded images cannot be kept in '{place.parent}': {error.strerror}; "
            "XDG_CACHE_HOME names another place"
        ) from None
    decoded = _read(place, shape, depth)
    if decoded is None:
        raise UserError(f"decoded images in '{place}' cannot be read back")
    return decoded


def _write(
    folder: Path, files: Mapping[str, Path], shape: tuple[int, ...], depth: int, progress: ProgressCallback
) -> None:
    """Decode into two new files; row by row, as a memory map would end the process where the disk is full."""
    _, height, width, channels = shape
    empty = bytes(height * width * channels)
    index = []

    def read(item: tuple[str, Path]) -> image.Picture | str:
        content, path = item
        try:
            data = image.read_bytes(path)
            # Its content is the key that its pixels are kept under, perhaps for years.
            if hashlib.sha256(data).hexdigest() != content:
                return "it changed while it was read"
            return image.read_image(data, height, width, channels, depth)
        except UserError as error:
            return str(error)

    with (folder / "pixels.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        with image.without_warnings():
            results = _in_parallel("decoding", read, list(files.items()), progress)
            for content, picture in zip(files, results, strict=True):
                if isinstance(picture, str):
                    index.append({"content": content, "fault": picture})
                    # A row all the same, so that the position of each picture is known before it is decoded.
                    file.write(empty)
                else:
                    index.append({"content": content, **_facts(picture)})
                    file.write(picture.pixels.tobytes())
        file.flush()
        os.fsync(file.fileno())
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _facts(picture: image.Picture) -> dict[str, Any]:
    names = ("format", "mode", "width", "height", "depth")
    return {
        **{name: getattr(picture, name) for name in names},
        "pixels": hashlib.sha256(picture.pixels.tobytes()).hexdigest(),
        "constant": image.is_constant(picture.pixels),
    }


def _read(folder: Path, shape: tuple[int, ...], depth: int) -> Decoded | None:
    """Map what was decoded before; None where it's not there or not whole."""
    try:
        # Mapped: a folder may hold more than fits in memory, and processes share the pages.
        pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        index = json.loads((folder / "index.json").read_bytes())
    except (OSError, ValueError, EOFError):
        return None
    if pixels.shape != shape or len(index) != shape[0]:
        return None
    return Decoded(
        pixels,
        rows={entry["content"]: row for row, entry in enumerate(index)},
        facts={entry["content"]: entry for entry in index if "fault" not in entry},
        faults={entry["content"]: entry["fault"] for entry in index if "fault" in entry},
        depth=depth,
    )


def _in_parallel(
    title: str, function: Callable[[Item], Result], items: list[Item], progress: ProgressCallback
) -> Iterator[Result]:
    """Yield a function's results in order, from threads: Pillow and hashlib let others run meanwhile."""
    threads = machine.cores()
    ahead = 64 * threads  # results wait for being written: few, as they are large
    with ThreadPoolExecutor(threads) as pool:
        progress(title, 0, len(items))
        for start in range(0, len(items), ahead):
            yield from pool.map(function, items[start : start + ahead])
            progress(title, min(start + ahead, len(items)), len(items))
