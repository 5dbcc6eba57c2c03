"""Names under images: in fonts that have their letters, and cut to the width of an image."""

from __future__ import annotations

import re
from collections.abc import Sequence

FONT_SIZE = 7  # points
CAPTION_WIDTH = 65.0  # points that an image of a grid is wide
FINE_DOTS_PER_INCH = 1200  # so that rounding to whole dots does not matter
# Fonts that hold what DejaVu Sans, which matplotlib brings, lacks: Chinese, Japanese and Korean above all.
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


def text_width(text: str, families: Sequence[str]) -> float:
    """Return the width of a caption's line in points, by FreeType: matplotlib's text paths are far slower."""
    from matplotlib import font_manager

    font = font_manager.get_font([font_manager.findfont(family) for family in families])
    font.set_size(FONT_SIZE, FINE_DOTS_PER_INCH)
    font.set_text(text)
    return font.get_width_height()[0] / 64 * 72 / FINE_DOTS_PER_INCH  # FreeType counts 64ths of a dot


def families(text: str) -> list[str]:
    """Return the font families to draw a text with: matplotlib's own, and one more for what that lacks."""
    from matplotlib import font_manager

    own = ["DejaVu Sans"]
    if has_glyphs(own, text):
        return own
    others = {entry.name for entry in font_manager.fontManager.ttflist if _WIDE_FONTS.search(entry.name)}
    return own + [name for name in sorted(others) if has_glyphs([*own, name], text)][:1]


def has_glyphs(families: Sequence[str], text: str) -> bool:
    """Tell whether fonts of these families have a glyph for each letter of a text."""
    from matplotlib import font_manager

    paths = [font_manager.findfont(family) for family in families]
    known = [font_manager.get_font(path).get_charmap() for path in paths]
    return all(letter.isspace() or any(ord(letter) in charmap for charmap in known) for letter in text)
