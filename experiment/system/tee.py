"""The two ends of what is printed: streams that are heard, and a thread that tells what they heard."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

# Called with a line and its end, whether it went to stderr, and when, in seconds since 1970.
Tell = Callable[[str, bool, float], None]

PATIENCE_SECONDS = 2.0


class Listener(Protocol):
    """Whoever hears streams, while it is listening."""

    is_listening: bool

    def hear(self, text: str, is_error: bool) -> None:
        """Take what is printed to a stream, in pieces of any size."""


class Tee:
    """A standard stream that is written to as before, and heard."""

    def __init__(self, stream: Any, output: Listener, is_error: bool) -> None:
        self.stream = stream
        self.output = output
        self._is_error = is_error

    def write(self, text: str) -> int:
        """Have text heard, then write it; return what the stream returns."""
        if self.output.is_listening and isinstance(text, str):
            self.output.hear(text, self._is_error)
        return len(text) if self.stream is None else self.stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream, if there is one."""
        if self.stream is not None:
            self.stream.flush()

    def isatty(self) -> bool:
        """Tell whether somebody sees it."""
        return self.stream is not None and self.stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Teller:
    """A thread that tells lines: whoever prints never waits, nor holds a lock that telling needs."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._lines: queue.SimpleQueue[tuple[str, bool, float] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="output", daemon=True)
        with contextlib.suppress(RuntimeError):  # the system gives no more threads; the file has it all
            self._thread.start()

    def put(self, line: str, is_error: bool, heard: float) -> None:
        """Have a line told, later."""
        self._lines.put((line, is_error, heard))

    def end(self) -> None:
        """Wait until all is told, no longer than PATIENCE_SECONDS."""
        self._lines.put(None)
        if self._thread.is_alive():
            self._thread.join(PATIENCE_SECONDS)

    def _work(self) -> None:
        while line := self._lines.get():
            self._tell(*line)
