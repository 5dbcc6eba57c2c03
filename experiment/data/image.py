"""One picture, from a file's bytes to the pixels that a network sees: the same in training and prediction."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from experiment.data.image_metadata import upright, without_metadata
from experiment.errors import UserError

# Of Pillow's forty, those that people and their tools write; each decoder more is one more to be attacked
# through.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
# A photograph of today has 50 million pixels at most; a few kilobytes of PNG can claim billions.
MAX_PIXELS = 100_000_000
# Larger than any photograph; a video or a disk image under a picture's name would fill the memory.
MAX_BYTES = 200_000_000
# Part of the cache's key: raise it with any change here or in image_metadata that changes pixels.
DECODER = 2
FULL_DEPTH = 16  # bits of a deep pixel, as formats mean them
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
        if not os.path.isfile(path):  # a pipe would be waited for
            raise UserError("not a regular file" if os.path.exists(path) else "no such file")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise UserError(f"a file of {size:,} bytes; at most {MAX_BYTES:,} are read")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(error.strerror or str(error)) from None
    if not content:
        raise UserError("an empty file")
    return content


def read_image(content: bytes, height: int, width: int, channels: int, depth: int = FULL_DEPTH) -> Picture:
    """Decode a picture to pixels uint8 [height, width, channels].

    It is turned upright by its EXIF orientation, put on white where it is transparent, and resized to the
    whole of the given size, its sides' ratio not kept; of an animation the first frame counts.

    Args:
        content: a JPEG, PNG, BMP, WebP or GIF file.
        height: in pixels.
        width: in pixels.
        channels: 1 for grey, 3 for colour.
        depth: of 16 bits of grey a pixel so many are in use, 8 to 16: the upper 8 of those count.

    Raises:
        UserError: it cannot be decoded; the reason, in a few words.
    """
    size = (width, height)
    try:
        return _read(content, size, channels, depth)
    except ValueError:
        # Only after the first try has failed, as it copies the file.
        if (bare := without_metadata(content)) == content:
            raise
    return _read(bare, size, channels, depth)


def _read(content: bytes, size: tuple[int, int], channels: int, depth: int) -> Picture:
    if content.startswith(_LFS):
        raise UserError("a Git LFS pointer instead of the picture, which 'git lfs pull' fetches")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(f"{image.width} × {image.height} pixels; at most {MAX_PIXELS:,} are decoded")
            kind, mode, stored = image.format or "", image.mode, image.size
            # A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size, never below twice what is needed.
            image.draft(None, (2 * max(size),) * 2)
            # Decoded here: `open` reads a file's head alone, and damage lies behind it.
            image.load()
            if content[24:26] == _RGB16 and (key := image.info.get("transparency")):
                image.info["transparency"] = tuple(value >> 8 for value in key)  # as Pillow cut the pixels
            used = _bits(image) if _is_deep(image) else 0
            shown = _flatten(upright(image), channels, depth).resize(
                size, Image.Resampling.BILINEAR, reducing_gap=3.0
            )
    except Image.UnidentifiedImageError:
        raise UserError("no JPEG, PNG, BMP, WebP or GIF") from None
    except Image.DecompressionBombError:
        raise UserError(f"more than {MAX_PIXELS:,} pixels, which is the most that is decoded") from None
    except Exception as error:  # broken files make decoders raise OSError, SyntaxError, struct.error, …
        raise UserError(" ".join(str(error).split()) or type(error).__name__) from None
    pixels = np.asarray(shown).reshape(size[1], size[0], channels)
    return Picture(pixels, kind, mode, *stored, depth=used)


def is_constant(pixels: np.ndarray) -> bool:
    """Tell whether a picture's pixels [H, W, C] are all alike."""
    return bool((pixels == pixels[:1, :1]).all())


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
    return image.convert("L" if channels == 1 else "RGB")
