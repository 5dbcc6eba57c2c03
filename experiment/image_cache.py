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

from experiment import images, provenance
from experiment.rundir import sync_folder

Progress = Callable[[str, int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Decoded:
    """The pictures of a set of files, each content once.

    ``pixels`` is uint8 [M, H, W, C], memory-mapped; ``rows`` tells the row of a content's SHA-256. ``facts``
    holds of each content that decodes its format, mode, width, height and the SHA-256 of its pixels, and
    ``faults`` of each other the reason.
    """

    pixels: np.ndarray
    rows: Mapping[str, int]
    facts: Mapping[str, Mapping[str, Any]]
    faults: Mapping[str, str]


def cache_folder() -> Path:
    """Return where decoded pictures are kept; it may be deleted at any time."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "keras-comet-pipeline" / "images"


def hash_files(paths: Iterable[Path], progress: Progress) -> list[tuple[str | None, str]]:
    """Return of each file the SHA-256 of its content and no reason, or None and the reason."""

    def read(path: Path) -> tuple[str | None, str]:
        try:
            return hashlib.sha256(images.read_bytes(path)).hexdigest(), ""
        except ValueError as error:
            return None, str(error)

    return list(_in_parallel("reading", read, list(paths), progress))


def decode(
    files: Mapping[str, Path],
    height: int,
    width: int,
    channels: int,
    progress: Progress = lambda *_: None,
) -> Decoded:
    """Decode files to pictures of one size, or take them from the cache.

    Args:
        files: a path for each content, by its SHA-256.
        height: of a decoded picture, in pixels.
        width: the same.
        channels: 1 for grey, 3 for colour.
        progress: told of what is done, how many are done, and of how many.

    Raises:
        ValueError: the cache cannot be written.
    """
    settings = [images.DECODER, PIL.__version__, height, width, channels]
    files = dict(sorted(files.items()))
    key = hashlib.sha256(json.dumps([settings, list(files)]).encode()).hexdigest()
    place, shape = cache_folder() / key, (len(files), height, width, channels)
    if (decoded := _read(place, shape)) is not None:
        return decoded
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".tmp-", dir=place.parent))
        try:
            _write(beside, files, shape, progress)
            shutil.rmtree(place, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process was faster; its content is the same
                beside.rename(place)
            sync_folder(place.parent)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise ValueError(
            f"decoded images cannot be kept in '{place.parent}': {error.strerror}; "
            "XDG_CACHE_HOME names another place"
        ) from None
    decoded = _read(place, shape)
    if decoded is None:
        raise ValueError(f"decoded images in '{place}' cannot be read back")
    return decoded


def _write(folder: Path, files: Mapping[str, Path], shape: tuple[int, ...], progress: Progress) -> None:
    """Decode into two new files; row by row, as a memory map would end the process where the disk is full."""
    empty = np.zeros(shape[1:], np.uint8).tobytes()
    index = []

    def read(item: tuple[str, Path]) -> images.Picture | str:
        content, path = item
        try:
            data = images.read_bytes(path)
            if hashlib.sha256(data).hexdigest() != content:
                return "it changed while it was read"
            return images.read_image(data, *shape[1:])
        except ValueError as error:
            return str(error)

    with (folder / "pixels.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        with images.without_warnings():
            results = _in_parallel("decoding", read, list(files.items()), progress)
            for content, picture in zip(files, results, strict=True):
                if isinstance(picture, str):
                    index.append({"content": content, "fault": picture})
                    file.write(empty)
                else:
                    facts = {name: getattr(picture, name) for name in ("format", "mode", "width", "height")}
                    pixels = picture.pixels.tobytes()
                    index.append({"content": content, **facts, "pixels": hashlib.sha256(pixels).hexdigest()})
                    file.write(pixels)
        file.flush()
        os.fsync(file.fileno())
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _read(folder: Path, shape: tuple[int, ...]) -> Decoded | None:
    """Map what was decoded before; None where it's not there or not whole."""
    try:
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
    )


def _in_parallel(
    title: str, function: Callable[[Item], Result], items: list[Item], progress: Progress
) -> Iterator[Result]:
    """Yield a function's results in order, from threads: Pillow and hashlib let others run meanwhile."""
    threads = provenance.cores()
    ahead = 64 * threads  # results wait for being written: few, as they are large
    with ThreadPoolExecutor(threads) as pool:
        progress(title, 0, len(items))
        for start in range(0, len(items), ahead):
            yield from pool.map(function, items[start : start + ahead])
            progress(title, min(start + ahead, len(items)), len(items))
