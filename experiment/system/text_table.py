"""Rows of text as aligned columns, and as many of them as a terminal has room for."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Sequence
from typing import Any
from unicodedata import east_asian_width

_BETWEEN = 2  # places between columns


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table that is fitted to a width.

    Attributes:
        title: its first line.
        cells: the others.
        rank: how early it is dropped where there is no room, the highest first; one of rank 0 stays.
        right: whether it stands to the right, as numbers do.
        shortest: the places that its cells may be cut to; None for never.
    """

    title: str
    cells: Sequence[str]
    rank: int = 0
    right: bool = False
    shortest: int | None = None

    @functools.cached_property
    def width(self) -> int:
        """The places that its longest cell takes."""
        return max(map(width_of, (self.title, *self.cells)))

    @property
    def least(self) -> int:
        """The places that it takes at least."""
        if self.shortest is None:
            return self.width
        return min(self.width, max(self.shortest, width_of(self.title)))


def terminal_width() -> int | None:
    """Return the places of the terminal that stdout is, or those of ``COLUMNS``; None where it is a file."""
    return shutil.get_terminal_size((0, 0)).columns or None


def fit_table(columns: Sequence[Column], width: int | None) -> tuple[str, list[str]]:
    """Return columns as lines no longer than a width, and the titles of those for which there was no room.

    A cell that is cut keeps whole words, and ends in ``…``. Of columns that may be cut, the one of the
    lowest rank gets room first.
    """
    kept = [
        dataclasses.replace(column, cells=[printable(cell) for cell in column.cells]) for column in columns
    ]
    dropped: list[str] = []
    while width is not None and _room([column.least for column in kept]) > width:
        last = max(kept, key=lambda column: column.rank)
        if last.rank == 0:
            break
        kept.remove(last)
        dropped.append(last.title)
    widths = [column.width if width is None else column.least for column in kept]
    if width is not None:
        for place, column in sorted(enumerate(kept), key=lambda pair: pair[1].rank):
            widths[place] += max(min(column.width - widths[place], width - _room(widths)), 0)
    cut = [
        [_cut(cell, places) for cell in (column.title, *column.cells)]
        for column, places in zip(kept, widths, strict=True)
    ]
    rights = [column.right for column in kept]
    return "\n".join(_line(cells, widths, rights) for cells in zip(*cut, strict=True)), dropped


def format_table(lines: Sequence[Sequence[str]], *, transposed: bool = False) -> str:
    """Return lines of cells as aligned columns; wide characters take two places."""
    cells = [[printable(cell) for cell in line] for line in lines]
    rows = list(zip(*cells, strict=True)) if transposed else cells
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths, [False] * len(widths)) for row in rows)


def width_of(text: str) -> int:
    """Return how many places of a terminal a text takes: wide characters take two."""
    # Terminals draw Chinese, Japanese and Korean letters two places wide.
    return len(text) if text.isascii() else sum(1 + (east_asian_width(each) in "WF") for each in text)


def printable(text: str) -> str:
    """Return text without what would move a terminal's cursor or change its colours."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)


def number_text(value: Any, sign: str = "") -> str:
    """Return a number as tables show it: four decimals or four digits; '' for None.

    Args:
        value: an integer, a number, a text for one that JSON does not have, or None.
        sign: '+' for a plus before a positive one.
    """
    if value is None:
        return ""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:{sign}.4g}" if abs(value) >= 1 or abs(value) < 0.001 else f"{value:{sign}.4f}"
    return f"{value:{sign}g}" if isinstance(value, float) else str(value)


def _room(widths: Sequence[int]) -> int:
    return sum(widths) + _BETWEEN * (len(widths) - 1)


def _line(cells: Sequence[str], widths: Sequence[int], rights: Sequence[bool]) -> str:
    padded = []
    for cell, width, right in zip(cells, widths, rights, strict=True):
        space = " " * (width - width_of(cell))
        padded.append(space + cell if right else cell + space)
    return (" " * _BETWEEN).join(padded).rstrip()


def _cut(text: str, places: int) -> str:
    """Return as many whole words of a text as there is room for; of a first word too long, its beginning."""
    if width_of(text) <= places:
        return text
    words, kept = text.split(), ""
    for word in words:
        longer = f"{kept} {word}".strip()
        if width_of(longer) + 2 > places:
            break
        kept = longer
    if kept:
        return f"{kept} …"
    while width_of(text) + 1 > places:
        text = text[:-1]
    return f"{text}…"
