"""One picture, from a file's bytes to the pixels that a network sees: the same in training and prediction."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import stat
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiment.data.image_fit import Fit, Target, fit
from experiment.data.image_metadata import upright, without_metadata
from experiment.errors import UserError
from params.conditions import is_set_of_pictures

# Of Pillow's forty, those that people and their tools write; each decoder more is one more to be attacked
# through.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
# A photograph of today has 50 million pixels at most; a few kilobytes of PNG can claim billions.
MAX_PIXELS = 100_000_000
# Larger than any photograph; a video or a disk image under a picture's name would fill the memory.
MAX_BYTES = 200_000_000
# Part of the cache's key: raise it with any change here, in image_fit or image_metadata that changes pixels.
DECODER = 3
FIRST_TOLD = 3  # runs made with an earlier one do not say so
REDUCTIONS = (8, 4, 2)  # how many times smaller a JPEG can be decoded
FILL = "black"  # of what `pad` leaves free, as in Keras' and torchvision's own padding
_RGB16 = b"\x10\x02"  # bytes 24 and 25 of a PNG of 16 bits of each colour
_LFS = b"version https://git-lfs.github.com/spec/"


@dataclasses.dataclass(frozen=True)
class Picture:
    """Pixels uint8 [H, W, C], 0–255, and how the file holds them: format, Pillow's mode, width and height.

    ``depth`` is how many bits its largest value takes where it holds 16 bits of grey a pixel, else 0.
    """

    pixels: np.ndarray
    format: str
    mode: str
    width: int
    height: int
    depth: int = 0


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        UserError: it cannot be read, is empty, is larger than MAX_BYTES, or is no regular file.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: no file can have that name
        raise UserError("no such file") from None
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        raise UserError("not a regular file")
    if status.st_size > MAX_BYTES:
        raise UserError(f"a file of {status.st_size:,} bytes; at most {MAX_BYTES:,} are read")
    try:
        with path.open("rb", buffering=0) as file:
            content = file.read()
    except OSError as error:
        raise UserError(error.strerror or str(error)) from None
    if not content:
        raise UserError("an empty file")
    return content


def read_image(content: bytes, target: Target) -> Picture:
    """Decode a picture to pixels uint8 [height, width, channels] of the target.

    It is turned upright by its EXIF orientation, put on white where it is transparent, and resized as
    ``image_fit.fit`` places it; of an animation the first frame counts.

    Args:
        content: a JPEG, PNG, BMP, WebP or GIF file.
        target: what it is decoded to.

    Raises:
        UserError: it cannot be decoded; the reason, in a few words.
    """
    try:
        return _read(content, target)
    except ValueError:
        # Only after the first try has failed, as it copies the file.
        if (bare := without_metadata(content)) == content:
            raise
    return _read(bare, target)


def _read(content: bytes, target: Target) -> Picture:
    if content.startswith(_LFS):
        raise UserError("a Git LFS pointer instead of the picture, which 'git lfs pull' fetches")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(f"{image.width} × {image.height} pixels; at most {MAX_PIXELS:,} are decoded")
            kind, mode, stored = image.format or "", image.mode, image.size
            reduction = _reduce(image, target)
            # Decoded here: `open` reads a file's head alone, and damage lies behind it.
            image.load()
            if content[24:26] == _RGB16 and (key := image.info.get("transparency")):
                image.info["transparency"] = tuple(value >> 8 for value in key)  # as Pillow cut the pixels
            used = _bits(image) if _is_deep(image) else 0
            turned = upright(image)
            whole = stored if turned.size == image.size else stored[::-1]
            shown = _resize(_flatten(turned, target.channels, target.depth), whole, reduction, target)
    except Image.UnidentifiedImageError:
        raise UserError("no JPEG, PNG, BMP, WebP or GIF") from None
    except Image.DecompressionBombError:
        raise UserError(f"more than {MAX_PIXELS:,} pixels, which is the most that is decoded") from None
    except Exception as error:  # broken files make decoders raise OSError, SyntaxError, struct.error, …
        raise UserError(" ".join(str(error).split()) or type(error).__name__) from None
    pixels = np.frombuffer(shown.tobytes(), np.uint8).reshape(target.height, target.width, target.channels)
    return Picture(pixels, kind, mode, *stored, depth=used)


def _reduce(image: Image.Image, target: Target) -> int:
    """Let a JPEG be decoded at 1/2, 1/4 or 1/8 of its size, and return 2, 4 or 8; else 1.

    What is decoded is never smaller than what it is resized to. Of pictures of 0–255 the mean difference to
    those that are decoded whole is then 1.2 at most; where they are only interpolated it is 2 to 8.
    """
    width, height = image.size
    scale = _scale(fit(width, height, target))
    if target.height != target.width:  # by EXIF, the picture's own may be exchanged later
        scale = min(scale, _scale(fit(height, width, target)))
    reduction = next((each for each in REDUCTIONS if each <= scale), 1)
    if reduction > 1 and image.draft(None, (width // reduction, height // reduction)):
        return reduction
    return 1


def _scale(placed: Fit) -> int:
    left, top, right, bottom = placed.box
    return min((right - left) // placed.size[0], (bottom - top) // placed.size[1])


def _resize(image: Image.Image, whole: tuple[int, int], reduction: int, target: Target) -> Image.Image:
    """Resize an image, which was decoded at a part of its whole size, into the target."""
    placed = fit(*whole, target)
    left, top, right, bottom = (side / reduction for side in placed.box)
    resized = image.resize(
        placed.size, Image.Resampling.BILINEAR, box=(left, top, right, bottom), reducing_gap=3.0
    )
    if placed.size == (target.width, target.height):
        return resized
    padded = Image.new(image.mode, (target.width, target.height), FILL)
    padded.paste(resized, placed.at)
    return padded


def other_decoder(described: Mapping[str, Any]) -> str:
    """Say in a clause that a run's pictures were decoded by another version of this, or return ''.

    Args:
        described: the run's ``dataset`` in ``run.json``.
    """
    then = described.get("decoder", FIRST_TOLD - 1)
    if not is_set_of_pictures(described["name"]) or then == DECODER:
        return ""
    return f"; it may be that this version decodes pictures otherwise (decoder {then} then, {DECODER} now)"


def is_constant(pixels: np.ndarray) -> bool:
    """Tell whether a picture's pixels [H, W, C] are all alike."""
    # The first row alone tells of most.
    return all(bool((part == pixels[:1, :1]).all()) for part in (pixels[:1], pixels))


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Silence Pillow's remarks on odd files; enter it in the main thread, once around all decoding."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I")  # 16 bits of grey, which Pillow's own conversion would clip at 255


def _bits(image: Image.Image) -> int:
    # A dark picture of 16 bits may hold small values only: below 8 bits it would be brightened.
    return max(8, int(np.asarray(image).max()).bit_length())


def _flatten(image: Image.Image, channels: int, depth: int) -> Image.Image:
    """Return an image of 8 bits a channel without transparency."""
    if _is_deep(image):
        values = np.asarray(image).astype(np.uint32)
        grey = np.minimum(values >> (depth - 8), 255).astype(np.uint8)
        if (key := image.info.get("transparency")) is not None:
            grey[values == key] = 255
        image = Image.fromarray(grey)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if image.mode in ("LA", "RGBA") and rgba.getchannel("A").getextrema() == (
            0,
            0,
        ):  # written by what knows no alpha
            rgba.putalpha(255)
        # White, as pages and viewers show what is transparent.
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)
