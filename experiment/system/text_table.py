"""Rows of text as aligned columns."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import east_asian_width


def format_table(lines: Sequence[Sequence[str]], *, transposed: bool = False) -> str:
    """Return lines of cells as aligned columns; wide characters take two places."""
    cells = [[printable(cell) for cell in line] for line in lines]
    rows = list(zip(*cells, strict=True)) if transposed else cells
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def _width(text: str) -> int:
    # Terminals draw Chinese, Japanese and Korean letters two places wide.
    return len(text) if text.isascii() else sum(1 + (east_asian_width(each) in "WF") for each in text)


def printable(text: str) -> str:
    """Return text without what would move a terminal's cursor or change its colours."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)
