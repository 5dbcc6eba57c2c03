"""The report of runs that still train, served to this machine alone: its page asks for what is new."""

from __future__ import annotations

import hmac
import http.server
import json
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from experiment.compare.comparison import Comparison
from experiment.compare.report import page
from experiment.errors import UserError

LOOPBACK = "127.0.0.1"
WATCHED = ("run.json", "results.json", "metrics.jsonl")
AGAIN = 30.0  # seconds after which all is read anew: that a process was killed is in no file
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Followed:
    """The newest comparison, made anew when one of its runs' files has changed.

    Args:
        compare: makes the comparison.
        folders: returns the run directories that it may be about.
    """

    def __init__(self, compare: Callable[[], Comparison], folders: Callable[[], Sequence[Path]]) -> None:
        self._compare = compare
        self._folders = folders
        self._lock = threading.Lock()
        self._stamp: Any = None
        self._version = 0
        self.comparison = compare()
        self._news = b""

    def refresh(self) -> int:
        """Compare anew if something has changed; return the number of the newest comparison, from 1."""
        with self._lock:
            stamp = (time.monotonic() // AGAIN, *map(_stamp, self._folders()))
            if stamp != self._stamp:
                try:
                    self.comparison = self._compare()
                except UserError:
                    if not self._version:
                        raise
                    return (
                        self._version
                    )  # a file is half written, or the last run was removed: once more later
                self._stamp = stamp
                self._version += 1
                self._news = b""
            return self._version

    def page(self) -> bytes:
        """Return the page."""
        version = self.refresh()
        return page.render(self.comparison, version=version).encode("utf-8", "replace")

    def news(self) -> bytes:
        """Return what the page puts in the place of what it shows, as JSON."""
        version = self.refresh()
        with self._lock:
            if not self._news:
                content = page.news(self.comparison) | {"version": version}
                self._news = json.dumps(content, allow_nan=False).encode()
            return self._news


def _stamp(folder: Path) -> tuple[Any, ...]:
    found: list[Any] = [folder]
    for name in WATCHED:
        try:
            status = (folder / name).stat()
            found += [status.st_mtime_ns, status.st_size]
        except OSError:
            found.append(None)
    return tuple(found)


class Server(http.server.ThreadingHTTPServer):
    """Answers GET and HEAD on the loopback address, to whoever knows the token; it can change nothing."""

    daemon_threads = True

    def __init__(self, followed: Followed) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.followed = followed
        self.token = secrets.token_urlsafe(24)

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "report", ""

    def do_GET(self) -> None:  # noqa: N802
        """Answer with the page or with what is new."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:  # noqa: N802
        """Answer as to GET, without the content."""
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        asked = urlsplit(self.path)
        token, _, name = asked.path.removeprefix("/").partition("/")
        # A page elsewhere may let its own name point here: it is then in the Host header.
        known = f"{LOOPBACK}:{self.server.server_port}", f"localhost:{self.server.server_port}"
        allowed = self.headers.get("Host") in known
        if not (allowed and hmac.compare_digest(token.encode(), self.server.token.encode())):
            return self._send(404, b"", "text/plain", with_body)
        if name == "":
            return self._send(200, self.server.followed.page(), "text/html; charset=utf-8", with_body)
        if name != "news":
            return self._send(404, b"", "text/plain", with_body)
        if parse_qs(asked.query).get("since") == [str(self.server.followed.refresh())]:
            return self._send(204, b"", "application/json", with_body)
        return self._send(200, self.server.followed.news(), "application/json", with_body)

    def _send(self, status: int, content: bytes, kind: str, with_body: bool) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body and content:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing: an address in the terminal's history holds the token."""
