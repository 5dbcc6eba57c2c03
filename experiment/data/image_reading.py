"""Files of pictures, read and decoded by all cores in one pass, or taken from the cache."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiment.data import image, image_cache
from experiment.data.image_cache import Decoded
from experiment.data.image_fit import FULL_DEPTH, Target
from experiment.data.parallel import ProgressCallback, in_parallel
from experiment.errors import UserError
from experiment.system.names import printable


@dataclasses.dataclass(frozen=True)
class Content:
    """A file's SHA-256, or None and the reason; where it was decoded, its entry in the cache and its pixels.

    Of an entry with a fault there are no pixels.
    """

    sha256: str | None
    reason: str = ""
    entry: Mapping[str, Any] | None = None
    pixels: np.ndarray | None = None


def read_files(
    paths: Sequence[Path], target: Target, progress: ProgressCallback = lambda *_: None
) -> tuple[list[Content], Decoded]:
    """Read files, and decode them to pictures or take these from the cache.

    Returns:
        Of each file its SHA-256 or the reason why there is none; and the pictures of all contents.

    Raises:
        UserError: the cache cannot be written.
    """
    first = next((each.sha256 for each in map(_hash, paths) if each.sha256), None)
    # Where the cache has one, it has all as a rule: they are not decoded before that is known.
    if first and image_cache.knows(first, target):
        found = list(in_parallel("reading", _hash, paths, progress))
    else:
        found = _decode_into_cache([(path, None) for path in paths], target, progress)
    contents: dict[str, Path] = {}
    for each, path in zip(found, paths, strict=True):
        if each.sha256:
            contents.setdefault(each.sha256, path)
    return found, decode(contents, target, progress)


def decode(
    files: Mapping[str, Path], target: Target, progress: ProgressCallback = lambda *_: None
) -> Decoded:
    """Decode files to pictures of one size, or take them from the cache.

    Files of 16 bits a pixel often hold 8 or 12: where none of the set has a larger value, they are scaled by
    what they hold, all alike.

    Args:
        files: a path for each content, by its SHA-256.
        target: what they are decoded to, at its full depth.
        progress: told of what is done, how many are done, and of how many.

    Raises:
        UserError: the cache cannot be written, or a file is not what it was.
    """
    decoded = _decode(files, target, progress)
    depth = max((facts["depth"] for facts in decoded.facts.values()), default=0) or FULL_DEPTH
    if depth == FULL_DEPTH:
        return decoded
    return _decode(files, dataclasses.replace(target, depth=depth), progress)


def _decode(files: Mapping[str, Path], target: Target, progress: ProgressCallback) -> Decoded:
    """Decode files by the target's depth, or take them from the cache."""
    if (decoded := image_cache.read(files, target)) is None:
        _decode_into_cache([(path, content) for content, path in files.items()], target, progress)
        decoded = image_cache.read(files, target)
    if decoded is None:
        raise UserError(f"decoded images in '{image_cache.cache_folder()}' cannot be read back")
    return decoded


def _decode_into_cache(
    files: Sequence[tuple[Path, str | None]], target: Target, progress: ProgressCallback
) -> list[Content]:
    """Read and decode files, keep the pictures of all contents, and return the contents without them.

    Beside each path stands the content that the file must have by now, or None where that is not known.
    """
    begun: set[str] = set()

    def read(item: tuple[Path, str | None]) -> Content:
        path, expected = item
        try:
            data = image.read_bytes(path)
        except UserError as error:
            if expected:
                raise UserError(f"'{printable(str(path))}' cannot be read any more: {error}") from None
            return Content(None, str(error))
        content = hashlib.sha256(data).hexdigest()
        # Its content is the key that its pixels are kept under, perhaps for years.
        if expected and content != expected:
            raise UserError(f"'{printable(str(path))}' was changed while it was read: run the command again")
        if content in begun:
            return Content(content)
        begun.add(content)
        return _decoded(content, data, target)

    found = []
    with image_cache.writing(target) as writer, image.without_warnings():
        size = target.height * target.width * target.channels
        for each in in_parallel("decoding", read, files, progress, size):
            if each.entry:
                writer.add(each.entry, each.pixels)
            found.append(Content(each.sha256, each.reason))
    return found


def _hash(path: Path) -> Content:
    try:
        return Content(hashlib.sha256(image.read_bytes(path)).hexdigest())
    except UserError as error:
        return Content(None, str(error))


def _decoded(content: str, data: bytes, target: Target) -> Content:
    try:
        picture = image.read_image(data, target)
    except UserError as error:
        return Content(content, entry={"content": content, "fault": str(error)})
    names = ("format", "mode", "width", "height", "depth")
    entry = {
        "content": content,
        **{name: getattr(picture, name) for name in names},
        "pixels": hashlib.sha256(picture.pixels.data).hexdigest(),
        "constant": image.is_constant(picture.pixels),
    }
    return Content(content, entry=entry, pixels=picture.pixels)
