"""Grids of images under captions, drawn by Pillow: matplotlib takes ten times as long to lay one out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiment.run import lettering
from experiment.run.lettering import PIXELS_A_POINT

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = 10
# Pixels: of a column, of the widest and the highest image in it, of the margin, between title and images.
COLUMN, WIDEST, HIGHEST, MARGIN, BELOW_TITLE = 120, 108, 216, 6, 12
TITLE_POINTS, LINE_HEIGHT = 11, 1.25  # a line's height in its font's size
FEWEST_PIXELS_KEPT = 3  # an image that is enlarged so many times shows its pixels, unsmoothed


def draw_grid(
    path: Path,
    title: str,
    images: np.ndarray,
    captions: Sequence[str],
    columns: int = COLUMNS,
    places: Sequence[int] | None = None,
) -> None:
    """Write a picture of images uint8 [N, H, W, C], C 1 or 3, each under its caption of one line or more.

    Args:
        path: a PNG's.
        title: above all.
        images: at least one.
        captions: [N].
        columns: how many images lie side by side.
        places: of the images, counted from the left of the first row; by default one after the other.
    """
    from PIL import Image, ImageDraw

    cells = [divmod(place, columns) for place in (range(len(images)) if places is None else places)]
    drawn = [_fitted(image) for image in images]
    width, height = drawn[0].size
    size = lettering.FONT_SIZE * PIXELS_A_POINT
    line = math.ceil(LINE_HEIGHT * size)
    # Of a row, its caption's lines above the images.
    above = line * max(caption.count("\n") + 1 for caption in captions) + MARGIN
    row_height = above + height + MARGIN
    across = columns * COLUMN
    title_size = _title_size(title, across - 2 * MARGIN)
    top = math.ceil(LINE_HEIGHT * title_size) + MARGIN + BELOW_TITLE
    rows = max(row for row, _ in cells) + 1
    canvas = Image.new(drawn[0].mode, (across, top + rows * row_height), "white")
    pen = ImageDraw.Draw(canvas)
    lettering.write(pen, (across / 2, MARGIN + title_size), title, title_size)
    for (row, column), image, caption in zip(cells, drawn, captions, strict=True):
        left, below = column * COLUMN + (COLUMN - width) // 2, top + row * row_height + above
        canvas.paste(image, (left, below))
        lines = caption.split("\n")
        for number, text in enumerate(lines, 1):
            baseline = below - MARGIN / 2 - (len(lines) - number) * line
            lettering.write(pen, (column * COLUMN + COLUMN / 2, baseline), text, size)
    canvas.save(path)


def _fitted(image: np.ndarray) -> Image:
    """Return an image [H, W, C] in the size that a grid shows it."""
    from PIL import Image

    height, width, channels = image.shape
    factor = min(WIDEST / width, HIGHEST / height)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    way = Image.Resampling.NEAREST if factor >= FEWEST_PIXELS_KEPT else Image.Resampling.LANCZOS
    return Image.fromarray(image[..., 0] if channels == 1 else image).resize(size, way)


def _title_size(title: str, width: float) -> float:
    """Return the size of a title's font in pixels: smaller where it would be wider than the grid."""
    points = lettering.text_width(title, lettering.families(title), TITLE_POINTS)
    return TITLE_POINTS * PIXELS_A_POINT * min(1.0, width / (points * PIXELS_A_POINT))
