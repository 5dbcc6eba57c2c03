"""Downloads into Keras' cache: whole and checked or not at all, and never for ever."""

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiment.data import downloads
from experiment.errors import UserError

CONTENT = b"weights" * 1000


@contextlib.contextmanager
def serving(content: bytes, announced: int) -> Iterator[str]:
    """Serve one content under every path of a server of our own; yield its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(announced))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def fetch(address: str, known: str = "") -> Path:
    path = Path("cache/models/net.h5")
    downloads.fetch(address + path.name, path, what="net.h5", advice="copy it there", known=known)
    return path


@pytest.mark.parametrize("known", ["", hashlib.md5(CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest()])
def test_a_file_is_fetched_into_its_place(known):
    with serving(CONTENT, len(CONTENT)) as address:
        assert fetch(address, known).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "known", "why"),
    [
        (CONTENT, "0" * 32, "the hash of what came is not 0000"),
        (CONTENT, "0" * 64, "the hash of what came is not 0000"),
        (CONTENT[:-1], "", "6999 of 7000 bytes came"),
    ],
)
def test_what_is_not_the_file_leaves_nothing_behind(content, known, why):
    with (
        serving(content, len(CONTENT)) as address,
        pytest.raises(UserError, match=f"net.h5 could not be downloaded from .*{why}.*: copy it there"),
    ):
        fetch(address, known)
    assert list(Path("cache/models").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_sentence():
    Path("cache").write_text("a file")
    with (
        serving(CONTENT, len(CONTENT)) as address,
        pytest.raises(UserError, match="net.h5 could not be downloaded .*copy it there"),
    ):
        fetch(address)
