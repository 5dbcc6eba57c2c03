"""One picture: every format and mode is read rightly, every fault is named."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from experiment.data import image as images
from experiment.data.image_fit import Target
from tests.support.pictures import encode

SQUARE = np.zeros((8, 8), np.uint8)
SQUARE[:, 4:] = 200  # dark on the left, light on the right


def read(content: bytes, height: int = 8, width: int = 8, channels: int = 1) -> np.ndarray:
    with images.without_warnings():
        return images.read_image(content, Target(height, width, channels)).pixels


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "WEBP", "JPEG"])
def test_every_format_is_read(format):
    options = {"lossless": True} if format == "WEBP" else {"quality": 95} if format == "JPEG" else {}
    picture = images.read_image(encode(SQUARE, format, **options), Target(8, 8, 1))
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


def exif_with(tag: int, kind: int, count: int, value: bytes) -> bytes:
    """EXIF that says to turn the picture clockwise, and holds one more tag as its writer liked it."""
    entries = [struct.pack("<HHII", 274, 3, 1, 6), struct.pack("<HHI", tag, kind, count) + value]
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + b"".join(entries) + bytes(4)


@pytest.mark.parametrize(
    "tag",
    [
        (282, 2, 4, b"72\0\0"),
        (33434, 9, 1, b"\xff" * 4),
        (37380, 99, 1, bytes(4)),
        (271, 2, 9999, b"\xff" * 4),
    ],
    ids=["resolution as text", "negative exposure", "unknown type", "text that lies nowhere"],
)
def test_a_photograph_is_turned_upright_whatever_else_its_exif_holds(tag):
    content = encode(SQUARE, "JPEG", quality=95, exif=exif_with(*tag))
    np.testing.assert_allclose(read(content)[..., 0], np.rot90(SQUARE, -1), atol=4)


def test_a_photograph_whose_exif_cannot_be_read_is_taken_as_upright():
    content = encode(SQUARE, "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_allclose(read(content)[..., 0], SQUARE, atol=4)


def png_with_texts(size: int) -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("log", "0123456789" * (size // 10), zip=True)
    texts.add_itxt("note", "x" * 40, zip=True)
    return encode(SQUARE, pnginfo=texts, icc_profile=b"profile", dpi=(72, 72))


def test_a_png_with_megabytes_of_compressed_text_is_read():
    np.testing.assert_array_equal(read(png_with_texts(3_000_000))[..., 0], SQUARE)


def metadata_of(content: bytes) -> list[tuple[int, int]]:
    """Return where the data of each chunk of a PNG, or segment of a JPEG, lies that holds no pixels."""
    found, start = [], 8 if content.startswith(b"\x89PNG") else 2
    while start < len(content) and content[start : start + 2] != b"\xff\xda":
        if content.startswith(b"\x89PNG"):
            end = start + 12 + int.from_bytes(content[start : start + 4], "big")
            kept = content[start + 4 : start + 8] not in (b"IHDR", b"IDAT", b"IEND")
            found += [(start + 8, end - 4)] if kept else []
        else:
            end = start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")
            found += [(start + 4, end)] if content[start + 1] in (0xE1, 0xE2, 0xFE) else []
        start = end
    return found


WITH_METADATA = {
    "png": png_with_texts(100),
    "jpeg": encode(
        SQUARE, "JPEG", quality=95, exif=exif_with(282, 2, 4, b"72\0\0"), comment=b"by us", icc_profile=b"p"
    ),
}


@pytest.mark.parametrize("kind", WITH_METADATA)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_damage_to_metadata_keeps_a_picture_from_being_read(kind, data):
    content = bytearray(WITH_METADATA[kind])
    start, end = data.draw(st.sampled_from(metadata_of(bytes(content))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(start, end - 1))] = data.draw(st.integers(0, 255))
    assert np.ptp(read(bytes(content))) > 150


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
def test_of_16_bits_those_in_use_count(depth):
    content = encode((SQUARE.astype(np.uint16) << (depth - 8)) + (depth > 8))
    picture = images.read_image(content, Target(8, 8, 1, depth=depth))
    np.testing.assert_array_equal(picture.pixels[..., 0], SQUARE)
    assert picture.depth == depth


def test_16_bits_brighter_than_those_in_use_become_white():
    content = encode(SQUARE.astype(np.uint16) * 256)
    assert images.read_image(content, Target(8, 8, 1, depth=12)).pixels.max() == 255


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_value_of_16_bits_becomes_white_as_of_8(channels):
    pixels = SQUARE if channels == 1 else np.repeat(SQUARE[..., None], 3, axis=2)
    twins = [png_of(pixels.astype(np.uint16) * 256, 16, 200 * 256), png_of(pixels, 8, 200)]
    one, other = (read(content, channels=channels) for content in twins)
    np.testing.assert_array_equal(one, other)
    assert (one[0, 0, 0], one[0, -1, 0]) == (0, 255)


@pytest.mark.parametrize(("format", "mode"), [("PNG", "RGBA"), ("PNG", "LA"), ("BMP", "RGBA")])
def test_an_alpha_of_0_everywhere_is_none(format, mode):
    image = Image.fromarray(SQUARE).convert(mode)
    image.putalpha(0)
    content = io.BytesIO()
    image.save(content, format)
    np.testing.assert_array_equal(read(content.getvalue())[..., 0], SQUARE)


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


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def png_of(pixels: np.ndarray, bits: int, transparent: int) -> bytes:
    """A PNG of pixels [H, W] or [H, W, 3], one value transparent: Pillow writes none of 16 bits."""
    height, width = pixels.shape[:2]
    colour = 2 if pixels.ndim == 3 else 0
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    key = chunk(b"tRNS", struct.pack(">H", transparent) * (3 if colour else 1))
    rows = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + header + key + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


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
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "'git lfs pull' fetches"),
    ],
    ids=["text", "svg", "tiff", "cut header", "cut data", "bomb", "huge bomb", "git lfs"],
)
def test_a_file_that_is_no_sound_picture_is_refused_with_its_reason(content, reason):
    with pytest.raises(ValueError, match=reason) as caught:
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
