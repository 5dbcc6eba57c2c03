"""Decoded pictures, kept on disk by the content of their files: decoding is done once."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import PIL

from experiment.data import image
from experiment.data.image_fit import Target
from experiment.errors import UserError
from experiment.store.files import sync_folder
from experiment.system.environment import cache_home

# Of a set: pixels, row by row; what is told of each row; all contents, sorted, as bytes.
PIXELS, INDEX, CONTENTS = "pixels", "index.json", "contents"
DIGEST = hashlib.sha256().digest_size


@dataclasses.dataclass(frozen=True)
class Decoded:
    """The pictures of a set of files, each content once.

    ``pixels`` is uint8 [M, H, W, C], memory-mapped; ``rows`` tells the row of a content's SHA-256. ``facts``
    holds of each content that decodes its format, mode, width, height, depth, the SHA-256 of its pixels, and
    whether those are all alike; ``faults`` of each other the reason. ``depth`` is the rule for the whole set:
    so many of a pixel's 16 bits of grey are in use. All are in order of contents.
    """

    pixels: np.ndarray
    rows: Mapping[str, int]
    facts: Mapping[str, Mapping[str, Any]]
    faults: Mapping[str, str]
    depth: int


class Writer:
    """Writes pictures of distinct contents, row by row: a memory map would end the process on a full disk."""

    def __init__(self, folder: Path, file: IO[bytes], target: Target) -> None:
        self._folder = folder
        self._file = file
        self._empty = bytes(target.height * target.width * target.channels)
        self._index: dict[str, Mapping[str, Any]] = {}

    def add(self, entry: Mapping[str, Any], pixels: np.ndarray | None) -> None:
        """Write a picture and what is told of it, unless its content is there; one with a fault has none."""
        if entry["content"] not in self._index:
            self._index[entry["content"]] = entry
            # A row all the same, so that there are as many as contents.
            self._file.write(self._empty if pixels is None else pixels.data)

    def finish(self) -> Collection[str]:
        """Write what is left; return all contents."""
        self._file.flush()
        os.fsync(self._file.fileno())
        (self._folder / INDEX).write_text(json.dumps(list(self._index.values())), encoding="utf-8")
        (self._folder / CONTENTS).write_bytes(bytes.fromhex("".join(sorted(self._index))))
        return self._index.keys()


def cache_folder() -> Path:
    """Return where decoded pictures are kept; it may be deleted at any time."""
    return cache_home() / "images"


@contextlib.contextmanager
def writing(target: Target) -> Iterator[Writer]:
    """Give what keeps pictures, all of them after the block, none where it raises.

    Raises:
        UserError: they cannot be kept.
    """
    home = cache_folder()
    try:
        home.mkdir(parents=True, exist_ok=True)
        # Renamed when it is whole: a kill leaves a folder that nobody reads.
        beside = Path(tempfile.mkdtemp(prefix=".tmp-", dir=home))
        try:
            with (beside / PIXELS).open("wb") as file:
                writer = Writer(beside, file, target)
                yield writer
                contents = writer.finish()
            place = _place(contents, target)
            shutil.rmtree(place, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process was faster; its content is the same
                beside.rename(place)
            sync_folder(home)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"decoded images cannot be kept in '{home}': {error.strerror}; XDG_CACHE_HOME names another place"
        ) from None


def read(contents: Collection[str], target: Target) -> Decoded | None:
    """Map the pictures of contents that were decoded before; None where they are not there or not whole."""
    folder, count = _place(contents, target), len(contents)
    shape = (count, target.height, target.width, target.channels)
    try:
        index = json.loads((folder / INDEX).read_bytes())
        # Mapped: a folder may hold more than fits in memory, and processes share the pages.
        pixels = np.memmap(folder / PIXELS, np.uint8, "r", shape=shape) if count else np.empty(shape, "u1")
    except (OSError, ValueError):
        return None
    if len(index) != count:
        return None
    entries = sorted(enumerate(index), key=lambda numbered: numbered[1]["content"])
    return Decoded(
        pixels,
        rows={entry["content"]: row for row, entry in entries},
        facts={entry["content"]: entry for _, entry in entries if "fault" not in entry},
        faults={entry["content"]: entry["fault"] for _, entry in entries if "fault" in entry},
        depth=target.depth,
    )


def knows(content: str, target: Target) -> bool:
    """Tell whether a set that was decoded before has a content, without reading what else it has."""
    digest = bytes.fromhex(content)
    for file in cache_folder().glob(f"{_settings(target)}-*/{CONTENTS}"):
        with contextlib.suppress(OSError):
            held = file.read_bytes()
            starts = range(0, len(held), DIGEST)
            at = bisect.bisect_left(starts, digest, key=lambda start: held[start : start + DIGEST])
            if held[at * DIGEST : (at + 1) * DIGEST] == digest:
                return True
    return False


def _place(contents: Collection[str], target: Target) -> Path:
    key = hashlib.sha256(json.dumps(sorted(contents)).encode()).hexdigest()
    return cache_folder() / f"{_settings(target)}-{key}"


def _settings(target: Target) -> str:
    """Return a key of all that pixels depend on; Pillow's decoders change from version to version."""
    settings = [image.DECODER, PIL.__version__, *dataclasses.astuple(target)]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
