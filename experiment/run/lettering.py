"""Names under images: in fonts that have their letters, and cut to the width of an image."""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

FONT_SIZE = 7  # points
CAPTION_WIDTH = 65.0  # points that an image of a grid is wide
DOTS_PER_INCH = 120  # of all figures
PIXELS_A_POINT = DOTS_PER_INCH / 72
_OWN = "DejaVu Sans"  # which matplotlib brings
# Fonts that hold what it lacks: Chinese, Japanese and Korean above all.
_WIDE_FONTS = re.compile(
    "CJK|Noto Sans|Source Han|WenQuanYi|Hei|Song|Ming|YaHei|PingFang|Gothic|Unifont|Droid"
)


def drawable(class_names: Sequence[str]) -> list[str]:
    """Return class names as a figure can show them: cut to an image's width; without a font, a number."""
    known = families("".join(class_names))
    return [
        _cut(name, known) if has_glyphs(known, name) else f"class {label}"
        for label, name in enumerate(class_names)
    ]


def _cut(name: str, families: Sequence[str]) -> str:
    shown, ending = name, ""
    while text_width(f"→ {shown}{ending}", families) > CAPTION_WIDTH:
        shown, ending = shown[:-1], "…"
    return f"{shown}{ending}"


def text_width(text: str, families: Sequence[str], size: float = FONT_SIZE) -> float:
    """Return the width of a line in points, in fonts of so many: matplotlib's text paths are far slower."""
    # At ten times the size, so that rounding to whole pixels does not matter.
    return sum(_font(family, size * 10).getlength(run) for family, run in _runs(text, families)) / 10


def write(pen: ImageDraw, middle: tuple[float, float], text: str, size: float) -> None:
    """Write a line in black, in a font of ``size`` pixels, around the middle (x, y) of its baseline."""
    runs = [(_font(family, size), run) for family, run in _runs(text, families(text))]
    x, y = middle
    x -= sum(font.getlength(run) for font, run in runs) / 2
    for font, run in runs:
        pen.text((x, y), run, fill="black", font=font, anchor="ls")
        x += font.getlength(run)


def _runs(text: str, families: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Divide a text into runs (family, letters): Pillow knows no second font for what a first one lacks."""

    def family_of(letter: str) -> str:
        return next((family for family in families if has_glyphs([family], letter)), families[0])

    for family, letters in itertools.groupby(text, family_of):
        yield family, "".join(letters)


@functools.lru_cache
def _font(family: str, size: float) -> FreeTypeFont:
    from PIL import ImageFont

    # Without Raqm, whose ligatures would span letters that are measured one by one.
    layout = ImageFont.Layout.BASIC
    return ImageFont.truetype(_file(family), size, layout_engine=layout)


def families(text: str) -> list[str]:
    """Return the font families to draw a text with: matplotlib's own, and one more for what that lacks."""
    own = [_OWN]
    if has_glyphs(own, text):
        return own
    from matplotlib import font_manager

    others = {entry.name for entry in font_manager.fontManager.ttflist if _WIDE_FONTS.search(entry.name)}
    return own + [name for name in sorted(others) if has_glyphs([*own, name], text)][:1]


def has_glyphs(families: Sequence[str], text: str) -> bool:
    """Tell whether fonts of these families have a glyph for each letter of a text."""
    known = [_letters(family) for family in families]
    return all(letter.isspace() or any(ord(letter) in letters for letters in known) for letter in text)


@functools.lru_cache
def _letters(family: str) -> Collection[int]:
    """Return the code points that a font has glyphs for."""
    from matplotlib import ft2font

    return ft2font.FT2Font(_file(family)).get_charmap().keys()


def _file(family: str) -> str:
    """Return a font's file; that of matplotlib's own font without its list of all fonts, 0.5 s to be made."""
    if family == _OWN:
        import matplotlib

        return os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    from matplotlib import font_manager

    return font_manager.findfont(family)
