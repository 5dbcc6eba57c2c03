"""One picture: every format and mode is read rightly, every fault is named."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from experiment import images
from tests.pictures import encode

SQUARE = np.zeros((8, 8), np.uint8)
SQUARE[:, 4:] = 200  # dark on the left, light on the right


def read(content: bytes, height: int = 8, width: int = 8, channels: int = 1) -> np.ndarray:
    return images.read_image(content, height, width, channels).pixels


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "WEBP", "JPEG"])
def test_every_format_is_read(format):
    options = {"lossless": True} if format == "WEBP" else {"quality": 95} if format == "JPEG" else {}
    picture = images.read_image(encode(SQUARE, format, **options), 8, 8, 1)
    assert (picture.format, picture.width, picture.height) == (format, 8, 8)
    assert (picture.pixels.shape, picture.pixels.dtype) == ((8, 8, 1), np.uint8)
    np.testing.assert_allclose(picture.pixels[..., 0], SQUARE, atol=4 if format == "JPEG" else 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_grey_or_colour(mode, channels):
    black_and_white = np.where(SQUARE > 0, 255, 0).astype(np.uint8)
    pixels = read(encode(black_and_white, mode=mode), channels=channels)
    assert pixels.shape == (8, 8, channels)
    np.testing.assert_array_equal(pixels, np.repeat(black_and_white[..., None], channels, axis=2))


def test_a_cmyk_jpeg_is_read():
    assert read(encode(SQUARE, "JPEG", mode="CMYK"), channels=3).shape == (8, 8, 3)


def test_of_16_bits_the_upper_8_count():
    pixels = read(encode(SQUARE.astype(np.uint16) * 256 + 7))
    np.testing.assert_array_equal(pixels[..., 0], SQUARE)


def test_transparent_becomes_white_also_in_a_palette():
    rgba = Image.fromarray(SQUARE).convert("RGBA")
    rgba.putalpha(Image.fromarray(np.where(SQUARE > 0, 0, 255).astype(np.uint8)))
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([10, 10, 10, 90, 90, 90])
    for image, options, expected in ((rgba, {}, (0, 255)), (palette, {"transparency": 1}, (255, 255))):
        content = io.BytesIO()
        image.save(content, "PNG", **options)
        pixels = read(content.getvalue())
        assert (pixels[0, 0, 0], pixels[0, -1, 0]) == expected


def test_a_photograph_is_turned_upright_by_its_exif_orientation():
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees clockwise
    turned = read(encode(SQUARE, "JPEG", quality=95, exif=exif))[..., 0]
    np.testing.assert_allclose(turned, np.rot90(SQUARE, -1), atol=4)


def test_of_an_animation_the_first_frame_counts():
    frames = [Image.fromarray(SQUARE + shade) for shade in (0, 55)]
    content = io.BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read(content.getvalue())[..., 0], SQUARE)


def test_a_picture_is_resized_to_the_whole_of_the_size():
    tall = np.repeat(SQUARE, 4, axis=0)
    assert tall.shape == (32, 8)
    np.testing.assert_allclose(read(encode(tall))[..., 0], SQUARE, atol=1)


def test_a_large_photograph_is_reduced_without_aliasing():
    stripes = np.tile(np.array([0, 255], np.uint8), (512, 256))
    assert np.ptp(read(encode(stripes)).astype(int)) <= 2
    np.testing.assert_allclose(read(encode(stripes)), 127.5, atol=2)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello", "no JPEG, PNG, BMP, WebP or GIF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no JPEG, PNG"),
        (encode(SQUARE, "TIFF"), "no JPEG, PNG"),
        (encode(SQUARE)[:40], "."),
        (encode(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8), "JPEG")[:900], "truncated"),
        (png_claiming(12_000, 12_000), "12000 × 12000 pixels; at most 100,000,000"),
        (png_claiming(60_000, 60_000), "more than 100,000,000 pixels"),
    ],
    ids=["text", "svg", "tiff", "cut header", "cut data", "bomb", "huge bomb"],
)
def test_a_file_that_is_no_sound_picture_is_refused_with_its_reason(content, reason):
    with images.without_warnings(), pytest.raises(ValueError, match=reason) as caught:
        read(content)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / "empty.png").touch()
    (tmp_path / "large.png").write_bytes(b"12345")
    monkeypatch.setattr(images, "MAX_BYTES", 4)
    for name, reason in (
        ("empty.png", "an empty file"),
        ("missing.png", "no such file"),
        (".", "not a regular file"),
        ("large.png", "a file of 5 bytes; at most 4"),
    ):
        with pytest.raises(ValueError, match=reason):
            images.read_bytes(tmp_path / name)
