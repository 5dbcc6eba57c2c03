"""What a picture's file holds beside its pixels: it may turn a picture, never keep it from being read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

from PIL import ExifTags, Image

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_JPEG = b"\xff\xd8"
_JFIF, _EXIF, _ADOBE, _SCAN, _COMMENT = 0xE0, 0xE1, 0xEE, 0xDA, 0xFE
_SHORTEST = {_JFIF: 14, _ADOBE: 12}  # bytes of what the decoder itself needs to know colours


def upright(image: Image.Image) -> Image.Image:
    """Return a loaded image turned by its EXIF orientation; as it is where that is damaged or absent.

    Pillow's own function writes the EXIF data anew, which fails on what cameras and editors leave there.
    """
    try:
        orientation: Any = image.getexif().get(ExifTags.Base.Orientation)
        method = _UPRIGHT.get(orientation)
    except Exception:  # damaged EXIF makes its reader raise whatever it happens upon
        return image
    return image if method is None else image.transpose(method)


def without_metadata(content: bytes) -> bytes:
    """Return a PNG or JPEG file with its pixels and sound EXIF alone; another file as it is.

    Text, colour profiles and thumbnails can be too large or too damaged for Pillow, which then refuses all.
    """
    if content.startswith(_PNG):
        return _PNG + b"".join(_png_chunks(content))
    return _jpeg_pixels(content) if content.startswith(_JPEG) else content


def _png_chunks(content: bytes) -> Iterator[bytes]:
    start = len(_PNG)
    while start + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, start)
        kind, end = content[start + 4 : start + 8], start + length + 12
        sound = zlib.crc32(content[start + 4 : end - 4]).to_bytes(4, "big") == content[end - 4 : end]
        if kind in _PNG_PIXELS or (kind == b"eXIf" and sound):
            yield content[start:end]
        start = end


def _jpeg_pixels(content: bytes) -> bytes:
    """Copy a JPEG's segments up to the pixels, but for comments and what it can miss."""
    kept, start = [_JPEG], len(_JPEG)
    while start + 4 <= len(content) and content[start] == 0xFF:
        marker, end = content[start + 1], start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        if marker == _SCAN:
            break
        needed = marker == _EXIF or end - start - 4 >= _SHORTEST.get(marker, 1 << 16)
        if needed if 0xE0 <= marker <= 0xEF else marker != _COMMENT:
            kept.append(content[start:end])
        start = end
    return b"".join(kept) + content[start:]
