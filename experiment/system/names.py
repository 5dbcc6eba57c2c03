"""Names of files and classes as text: they hold what their makers liked, a line break or no UTF-8 at all."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_JOINERS = "\u200c\u200d"  # Persian words and many emoji hold them
SHOWN_DIGITS = 12
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def as_utf8(name: str) -> str:
    r"""Return a name with bytes that are no UTF-8 as ``\xff``: Python keeps such as lone surrogates."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def printable(name: str) -> str:
    r"""Return a name on one line, with what moves a cursor or turns text about as ``\n``, ``\x1b``."""
    text = as_utf8(name)
    if text.isprintable():
        return text
    return "".join(
        each.encode("unicode_escape").decode()
        if unicodedata.category(each) in _UNPRINTABLE and each not in _JOINERS
        else each
        for each in text
    )


def short(identifier: str) -> str:
    """Return what is shown of a run's key, a commit or a SHA-256: enough to be unique among people's runs."""
    return identifier[:SHOWN_DIGITS]


def some(names: Sequence[str], most: int, what: str = "", between: str = ", ") -> str:
    """Return names as a list in words, of more than ``most`` the first and how many more there are.

    Args:
        names: to list.
        most: how many of them at most.
        what: they are, in the plural, where a reader would not know.
        between: two of them.
    """
    rest = f" {more(len(names) - most, what)}" if len(names) > most else ""
    return between.join(names[:most]) + rest


def more(number: int, what: str = "") -> str:
    """Return how many more there are, of what; the end of a list that was cut."""
    return f"and {number:,} more {what}".rstrip()


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number with its noun, and a verb where it has one: ``1 run waits``, ``1,200 epochs``.

    Args:
        number: of things.
        one: what follows 1.
        several: what follows any other number; by default ``one`` with an s, or es after another s.
    """
    several = several or f"{one}{'es' if one.endswith('s') else 's'}"
    return f"{number:,} {one if number == 1 else several}"
