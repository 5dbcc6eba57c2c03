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
from PIL import Image, ImageOps

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
# A photograph of today has 50 million pixels at most; a few kilobytes of PNG can claim billions.
MAX_PIXELS = 100_000_000
MAX_BYTES = 200_000_000
# Part of the cache's key: raise it with any change of this file that changes pixels.
DECODER = 1


@dataclasses.dataclass(frozen=True)
class Picture:
    """Pixels uint8 [H, W, C], 0–255, and how the file holds them: format, Pillow's mode, width and height."""

    pixels: np.ndarray
    format: str
    mode: str
    width: int
    height: int


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        ValueError: it cannot be read, is empty, is larger than MAX_BYTES, or is no regular file.
    """
    try:
        if not os.path.isfile(path):  # a pipe would be waited for
            raise ValueError("not a regular file" if os.path.exists(path) else "no such file")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ValueError(f"a file of {size:,} bytes; at most {MAX_BYTES:,} are read")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if not content:
        raise ValueError("an empty file")
    return content


def read_image(content: bytes, height: int, width: int, channels: int) -> Picture:
    """Decode a picture to pixels uint8 [height, width, channels].

    It is turned upright by its EXIF orientation, put on white where it is transparent, and resized to the
    whole of the given size, its sides' ratio not kept. Of 16 bits a pixel the upper 8 count; of an animation
    the first frame.

    Args:
        content: a JPEG, PNG, BMP, WebP or GIF file.
        height: in pixels.
        width: in pixels.
        channels: 1 for grey, 3 for colour.

    Raises:
        ValueError: it cannot be decoded; the reason, in a few words.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} × {image.height} pixels; at most {MAX_PIXELS:,} are decoded")
            kind, mode, stored = image.format or "", image.mode, image.size
            # A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size, never below twice what is needed.
            image.draft(None, (2 * max(height, width),) * 2)
            upright = ImageOps.exif_transpose(image)
            shown = _flatten(upright, channels).resize(
                (width, height), Image.Resampling.BILINEAR, reducing_gap=3.0
            )
    except Image.UnidentifiedImageError:
        raise ValueError("no JPEG, PNG, BMP, WebP or GIF") from None
    except Image.DecompressionBombError:
        raise ValueError(f"more than {MAX_PIXELS:,} pixels, which is the most that is decoded") from None
    except Exception as error:  # broken files make decoders raise OSError, SyntaxError, struct.error, …
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
    return Picture(np.asarray(shown).reshape(height, width, channels), kind, mode, *stored)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Silence Pillow's remarks on odd files; enter it in the main thread, once around all decoding."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _flatten(image: Image.Image, channels: int) -> Image.Image:
    """Return an image of 8 bits a channel without transparency."""
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow's own conversion would clip at 255
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return image.convert("L" if channels == 1 else "RGB")
