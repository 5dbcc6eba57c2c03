"""Standard streams that take everything: no run ends, and nothing is refused, for what is printed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import sys
from collections.abc import Callable
from typing import Any, TextIO

CLOSED_PIPE = 141  # as shells report a program that ends because nobody reads on


def settle_for_run(program: str) -> None:
    """Let a program's streams take everything: what cannot be written is lost, which stderr says once."""

    def say(error: OSError) -> None:
        print(f"{program}: stdout cannot be written to ({error.strerror}): its text is lost", file=sys.stderr)

    _settle(say)


def settle_for_command(program: str) -> None:
    """Let a program that exists for what it prints end where its stdout does: quietly where nobody reads on.

    Exit code CLOSED_PIPE then, and 1 after a sentence where stdout cannot be written to otherwise.
    """

    def end(error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            raise SystemExit(CLOSED_PIPE)
        print(f"{program}: error: stdout cannot be written to: {error.strerror}", file=sys.stderr)
        raise SystemExit(1)

    _settle(end)


def occupy_descriptors() -> None:
    """Open ``/dev/null`` in the place of closed standard streams.

    The next files that are opened would otherwise get their numbers, and compiled code that writes to stderr
    would write into those files.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def forgiving(
    stream: TextIO | None, number: int, lost: Callable[[OSError], None] | None = None
) -> io.TextIOWrapper:
    """Return a stream to a file descriptor, with the encoding of ``stream``, whose writes never raise.

    Args:
        stream: what is imitated; None where there is none.
        number: the descriptor, which stays open with whoever opened it.
        lost: called once, with the first error; what is written from then on is dropped.
    """
    return io.TextIOWrapper(
        io.BufferedWriter(_Forgiving(number, lost)),
        encoding=stream.encoding if stream else "utf-8",
        # An ASCII terminal shows a Chinese class as escapes; strict errors would end the run.
        errors="backslashreplace",
        line_buffering=getattr(stream, "line_buffering", True),
        write_through=getattr(stream, "write_through", False),
    )


def tell(text: str) -> None:
    """Print to stderr, whatever stderr is in this process; nothing is raised."""
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except UnicodeError:
        tell(text.encode("ascii", "backslashreplace").decode())
    except (OSError, ValueError):  # no space, nobody reads, or closed
        return


def terminal() -> Any:
    """Return rich's console on stderr, which writes as far as stderr takes it."""
    from rich.console import Console

    if not is_terminal():
        return Console(stderr=True)
    # rich's live displays write from a thread of their own, where nobody could catch an error.
    return Console(file=forgiving(sys.stderr, sys.stderr.fileno()))


def is_terminal() -> bool:
    """Tell whether somebody sees stderr."""
    with contextlib.suppress(OSError, ValueError):
        return sys.stderr is not None and sys.stderr.isatty()
    return False


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, with escapes where stdout's encoding lacks a character."""
    text = json.dumps(value, ensure_ascii=False)
    print(text if takes(text) else json.dumps(value), flush=True)


def takes(text: str) -> bool:
    """Tell whether stdout's encoding has every character of a text."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _settle(lost: Callable[[OSError], None]) -> None:
    occupy_descriptors()
    # Both names: at its end the interpreter falls back on sys.__stdout__, which may be full.
    sys.stdout = sys.__stdout__ = forgiving(sys.stdout, 1, lost)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = forgiving(sys.stderr, 2)  # type: ignore[misc]


class _Forgiving(io.RawIOBase):
    """A file descriptor that takes everything: from its first error on, what is written is dropped."""

    def __init__(self, number: int, lost: Callable[[OSError], None] | None) -> None:
        self._number = number
        self._tell_lost = lost
        self._is_lost = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data: Any) -> int:
        """Write what the descriptor takes; return how many bytes that were, or all of them if it fails."""
        while not self._is_lost:
            try:
                return os.write(self._number, data)
            except BlockingIOError:  # a pipe that somebody set so, and that is full
                select.select([], [self._number], [])
            except OSError as error:
                self._is_lost = True
                if self._tell_lost:
                    self._tell_lost(error)
        return len(data)
