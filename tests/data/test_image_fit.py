"""Pictures of any shape become those of the size asked for: squashed, cropped or padded."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from experiment.data import image as images
from experiment.data.image_fit import Target, fit
from params.groups.data import Resize
from tests.data.test_image import exif_with
from tests.support.pictures import encode

RESIZES: tuple[Resize, ...] = get_args(Resize)
Box = tuple[int, int, int, int]
sides = st.integers(1, 5000)
wanted = st.integers(1, 1024)
resizes = st.sampled_from(RESIZES)
cheap = settings(max_examples=40, deadline=None)


def read(content: bytes, resize: Resize, height: int = 8, width: int = 8, channels: int = 1) -> np.ndarray:
    return images.read_image(content, Target(height, width, channels, resize)).pixels


def exact(pixels: np.ndarray, size: tuple[int, int], box: Box | None = None) -> np.ndarray:
    """Return pixels, or a box of them, resized to width and height with antialiasing: all are weighed."""
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, box))


@settings(deadline=None)
@given(width=sides, height=sides, target_width=wanted, target_height=wanted, resize=resizes)
def test_what_is_kept_lies_in_the_middle_of_picture_and_target(
    width, height, target_width, target_height, resize
):
    placed = fit(width, height, Target(target_height, target_width, 3, resize))
    left, top, right, bottom = placed.box
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert 0 <= (width - right) - left <= 1
    assert 0 <= (height - bottom) - top <= 1
    assert 1 <= placed.size[0] <= target_width
    assert 1 <= placed.size[1] <= target_height
    assert 0 <= target_width - placed.size[0] - 2 * placed.at[0] <= 1
    assert 0 <= target_height - placed.size[1] - 2 * placed.at[1] <= 1


@settings(deadline=None)
@given(width=sides, height=sides, target_width=wanted, target_height=wanted)
def test_crop_keeps_the_largest_rectangle_of_the_targets_ratio(width, height, target_width, target_height):
    placed = fit(width, height, Target(target_height, target_width, 3, "crop"))
    left, top, right, bottom = placed.box
    assert placed.size == (target_width, target_height)
    assert right - left == width or bottom - top == height
    ratio = target_width / target_height
    # The other side is what the ratio asks for, to half a pixel.
    other = (bottom - top) * ratio - (right - left) if bottom - top == height else (right - left) / ratio
    error = other if bottom - top == height else other - (bottom - top)
    assert abs(error) <= 0.5 * max(1, ratio) or 1 in (right - left, bottom - top)


@settings(deadline=None)
@given(width=sides, height=sides, target_width=wanted, target_height=wanted)
def test_pad_shows_the_whole_picture_as_large_as_it_goes(width, height, target_width, target_height):
    placed = fit(width, height, Target(target_height, target_width, 3, "pad"))
    assert placed.box == (0, 0, width, height)
    scale = min(target_width / width, target_height / height)
    assert placed.size[0] == target_width or placed.size[1] == target_height
    assert abs(placed.size[0] - max(1, width * scale)) <= 0.5 + 1e-6
    assert abs(placed.size[1] - max(1, height * scale)) <= 0.5 + 1e-6


@pytest.mark.parametrize("resize", RESIZES)
def test_a_square_is_read_alike_however_others_are_resized(resize):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    np.testing.assert_array_equal(read(encode(pixels), resize, channels=3), exact(pixels, (8, 8)))


@cheap
@given(width=st.integers(1, 30), height=st.integers(1, 30), seed=st.integers(0, 9))
def test_cropped_and_padded_pictures_are_made_of_resized_pixels(width, height, seed):
    pixels = np.random.default_rng(seed).integers(1, 256, (height, width, 3), np.uint8)
    content = encode(pixels)
    left, top, side = max(0, width - height) // 2, max(0, height - width) // 2, min(width, height)
    middle = exact(pixels, (8, 8), (left, top, left + side, top + side))
    np.testing.assert_array_equal(read(content, "crop", 8, 8, 3), middle)
    padded, placed = read(content, "pad", channels=3), fit(width, height, Target(8, 8, 3, "pad"))
    inside = np.zeros((8, 8), bool)
    rows = slice(placed.at[1], placed.at[1] + placed.size[1])
    columns = slice(placed.at[0], placed.at[0] + placed.size[0])
    inside[rows, columns] = True
    np.testing.assert_array_equal(padded[rows, columns], exact(pixels, placed.size))
    assert (padded[~inside] == 0).all()
    assert (padded[inside] > 0).all()


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (1, 1), (2, 4001)])
def test_a_strip_is_read_however_thin_it_is(shape, resize):
    for channels, format in ((1, "PNG"), (3, "JPEG")):
        pixels = read(encode(np.full(shape, 200, np.uint8), format), resize, 64, 64, channels)
        assert pixels.shape == (64, 64, channels)
        shown = pixels[pixels > 0]
        np.testing.assert_allclose(shown, 200, atol=2)
        assert shown.size == pixels.size or (resize == "pad" and shown.size == 64 * channels)


@pytest.mark.parametrize("resize", RESIZES)
def test_a_picture_that_exif_turns_is_read_as_the_turned_one(resize):
    upright = np.random.default_rng(0).integers(0, 256, (30, 41), np.uint8)
    lying = encode(np.rot90(upright), exif=exif_with(282, 2, 4, b"72\0\0"))
    np.testing.assert_array_equal(read(lying, resize), read(encode(upright), resize))


def test_what_is_transparent_is_white_and_what_is_padded_black():
    image = Image.new("LA", (4, 8), (90, 0))
    image.putpixel((0, 0), (90, 255))
    pixels = read(encode(np.asarray(image)), "pad")[..., 0]
    assert pixels[:, 2:6].max() == 255
    assert pixels[0, 2] == 90
    assert not pixels[:, [0, 1, 6, 7]].any()


def test_16_bits_of_grey_are_padded_and_cropped_too():
    deep = np.full((4, 8), 200 << 8, np.uint16)
    assert set(np.unique(read(encode(deep), "pad"))) == {0, 200}
    assert set(np.unique(read(encode(deep), "crop"))) == {200}


def photograph(width: int, height: int) -> np.ndarray:
    """Return waves of several lengths and some noise, as a photograph has them."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / length + y / (1.7 * length) + phase) for phase, length in enumerate((3, 9, 40, 150))]
    channels = [sum(np.roll(waves, shift, 0) * np.array([1, 2, 3, 4])[:, None, None]) for shift in range(3)]
    mixed = 128 + 11 * np.stack(channels, -1) + random.normal(0, 8, (height, width, 3))
    return mixed.clip(0, 255).astype(np.uint8)


def interpolated(pixels: np.ndarray, side: int) -> np.ndarray:
    """Resize as Keras' image_dataset_from_directory does: between the four nearest pixels of each."""
    for axis in (0, 1):
        places = (np.arange(side) + 0.5) * pixels.shape[axis] / side - 0.5
        first = np.floor(places).clip(0, pixels.shape[axis] - 2).astype(int)
        weight = (places - first).reshape([-1 if each == axis else 1 for each in range(3)])
        pixels = pixels.take(first, axis) * (1 - weight) + pixels.take(first + 1, axis) * weight
    return pixels


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("side", [40, 64, 93, 160])
def test_a_photograph_decoded_at_a_part_of_its_size_is_nearer_to_the_whole_than_keras_own(side, resize):
    content = encode(photograph(500, 375), "JPEG", quality=90)
    decoded = np.asarray(Image.open(images.io.BytesIO(content)))
    placed = fit(500, 375, Target(side, side, 3, resize))
    whole = exact(decoded, placed.size, placed.box).astype(float)
    rows, columns = (
        slice(at, at + size) for at, size in zip(placed.at[::-1], placed.size[::-1], strict=True)
    )
    difference = np.abs(read(content, resize, side, side, 3)[rows, columns] - whole).mean()
    plain = np.abs(interpolated(decoded, side) - exact(decoded, (side, side))).mean()
    assert difference < plain / 2


def test_only_as_much_is_decoded_of_a_photograph_as_is_needed(monkeypatch):
    asked = []

    def draft(_image, _mode, size):
        asked.append(size)

    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", draft)
    content = encode(photograph(500, 375), "JPEG")
    asks: list[tuple[Resize, int]] = [("squash", 160), ("crop", 160), ("pad", 100), ("squash", 64)]
    for resize, side in [*asks, ("squash", 200)]:
        read(content, resize, side, side, 3)
    assert asked == [(250, 187), (250, 187), (125, 93), (125, 93)]
