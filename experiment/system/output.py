"""What a run prints, line by line: kept in a file as it happens, then told to whoever is to know of it."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from experiment.system.secrets import REDACTED, redact
from experiment.system.tee import Tee, Tell, Teller

_STREAMS = {"stdout": False, "stderr": True}
# What moves a terminal's cursor, colours its text, or rings: ECMA-48's sequences, and control characters.
_ESCAPES = re.compile(
    r"""\x1b\[[0-?]*[ -/]*[@-~] | \x1b\][^\x07\x1b]*(?:\x07|\x1b\\) | \x1b[@-Z\\-_]
    | [\x00-\x08\x0b-\x1f\x7f]""",
    re.VERBOSE,
)
_KEY_BEGINS = re.compile("-----BEGIN [A-Z ]*PRIVATE KEY-----")
_KEY_ENDS = re.compile("-----END [A-Z ]*PRIVATE KEY-----")
_KEY_LINES = 200


class Output:
    """The lines of one run: what is printed while it listens, and what it is given.

    Of a line that is drawn anew, as progress bars do, the last state is kept. Lines from before the file is
    open are held for it. Nothing that goes wrong with the file or with telling is raised.

    Args:
        secrets: known ones; they and what has the shape of one are left out.
        notify: called with a sentence where the file cannot be written, once.
    """

    def __init__(self, secrets: Iterable[str | None], notify: Callable[[str], None]) -> None:
        self._secrets = tuple(secrets)
        self._notify = notify
        # Whoever writes to the file may print a notice: on the same thread.
        self._lock = threading.RLock()
        self._partial = {False: "", True: ""}
        self._private_key: list[str] = []
        self._early: list[tuple[str, bool, float]] = []
        self._is_open = self.is_listening = False
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._teller: Teller | None = None
        self._redirected: list[tuple[logging.StreamHandler[Any], Any]] = []

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Hear what Python prints to stdout and stderr meanwhile; inside another such context, do nothing."""
        if self.is_listening:
            yield
            return
        self.is_listening = True
        before = {name: getattr(sys, name) for name in _STREAMS}
        self.hear_streams()
        self._redirect_handlers(before)
        try:
            yield
        finally:
            self.is_listening = False
            self._restore(before)
            self._close()

    def hear_streams(self) -> None:
        """Hear stdout and stderr while listening, also where somebody put others in their places since."""
        for name, is_error in _STREAMS.items():
            stream = getattr(sys, name)
            if self.is_listening and not self._is_own(stream):
                setattr(sys, name, Tee(stream, self, is_error))

    def hears_stderr(self) -> bool:
        """Tell whether what is printed to stderr now is heard."""
        return self.is_listening and self._is_own(sys.stderr)

    def open(self, path: Path, tell: Tell) -> None:
        """Begin to write lines to a file's end, and to tell them, on a thread of its own."""
        with self._lock:
            self._path = path
            self._teller = Teller(tell)
            problem = self._open_file()
            self._is_open = True
            early, self._early = self._early, []
            for line in early:
                problem = self._put(*line) or problem
        self._complain(problem)

    def line(self, text: str, is_error: bool = True) -> None:
        """Take text as if it had been printed; it may have several lines."""
        self.hear(f"{text}\n", is_error)

    def hear(self, text: str, is_error: bool) -> None:
        """Take what is printed to a stream, in pieces of any size."""
        problem = None
        with self._lock:
            *lines, rest = (self._partial[is_error] + text).split("\n")
            self._partial[is_error] = _last_state(rest)
            for line in lines:
                problem = self._take(line, is_error) or problem
        self._complain(problem)

    def stop_telling(self) -> None:
        """Tell what is left, within seconds; further lines go to the file alone."""
        self._end_lines()
        with self._lock:
            teller, self._teller = self._teller, None
        if teller:
            teller.end()

    def _end_lines(self) -> None:
        for is_error, rest in self._partial.items():
            if rest:
                self.hear("\n", is_error)

    def _is_own(self, stream: Any) -> bool:
        return isinstance(stream, Tee) and stream.output is self

    def _redirect_handlers(self, before: Mapping[str, Any]) -> None:
        """Let loggers that were set up earlier print to the streams that are heard, as the SDK does it."""
        loggers = [logging.root, *logging.Logger.manager.loggerDict.values()]
        for handler in [each for logger in loggers for each in getattr(logger, "handlers", ())]:
            for name, stream in before.items():
                # Of FileHandlers, which are StreamHandlers, none has a standard stream.
                if stream is not None and getattr(handler, "stream", None) is stream:
                    handler.setStream(getattr(sys, name))
                    self._redirected.append((handler, stream))

    def _restore(self, before: Mapping[str, Any]) -> None:
        for handler, stream in self._redirected:
            if self._is_own(handler.stream):
                handler.setStream(stream)
        for name, stream in before.items():
            if self._is_own(getattr(sys, name)):
                setattr(sys, name, stream)

    def _close(self) -> None:
        self.stop_telling()
        with self._lock:
            if self._private_key:  # without its end
                self._private_key = []
                self._put(REDACTED, True, time.time())
            if self._file:
                self._file.close()
            self._file, self._is_open, self._early = None, False, []

    def _take(self, line: str, is_error: bool) -> str | None:
        line = _ESCAPES.sub("", _last_state(line))
        if self._private_key or (_KEY_BEGINS.search(line) and not _KEY_ENDS.search(line)):
            self._private_key.append(line)
            if not _KEY_ENDS.search(line) and len(self._private_key) < _KEY_LINES:
                return None
            whole, self._private_key = "\n".join(self._private_key), []
            line = redact(whole, self._secrets) if _KEY_ENDS.search(line) else REDACTED
        return self._put(redact(line, self._secrets), is_error, time.time())

    def _put(self, line: str, is_error: bool, heard: float) -> str | None:
        """Write a line, then tell it; return what is wrong with the file, if anything is."""
        if not self._is_open:
            if not self._path:
                self._early.append((line, is_error, heard))
            return None
        problem = None
        if self._file:
            try:
                self._file.write(f"{line}\n".encode(errors="backslashreplace"))
            except (OSError, ValueError) as error:
                problem = self._lose_file(error)
        if self._teller:
            self._teller.put(f"{line}\n", is_error, heard)
        return problem

    def _open_file(self) -> str | None:
        path = self._path or Path()
        try:
            self._file = path.open("ab", buffering=0)
            if self._file.tell() and path.read_bytes()[-1:] != b"\n":
                self._file.write(b"\n")  # a process was killed in the middle of a line
        except OSError as error:
            return self._lose_file(error)
        return None

    def _lose_file(self, error: Exception) -> str:
        with contextlib.suppress(OSError):
            if self._file:
                self._file.close()
        self._file = None
        reason = error.strerror if isinstance(error, OSError) else error
        return f"'{self._path}' cannot be written, so what is printed is not kept: {reason}"

    def _complain(self, problem: str | None) -> None:
        if problem:
            self._notify(problem)


def _last_state(line: str) -> str:
    """Return what a line that was drawn several times over shows at last."""
    ending = "\r" if line.endswith("\r") else ""
    return line.rstrip("\r").rpartition("\r")[2] + ending
