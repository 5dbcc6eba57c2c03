"""The followed report's server: for this machine and its token alone, and nothing can be written by it."""

import contextlib
import http.client
import json
import threading

import pytest

from experiment import __main__ as command_line
from experiment.compare.comparison import compare_runs
from experiment.compare.report.server import Followed, Server
from experiment.store.find import list_runs, read_runs
from tests.support.made_runs import make_run

pytest.importorskip("plotly", reason="plotly is not installed")


@contextlib.contextmanager
def serving(runs):
    followed = Followed(lambda: compare_runs(read_runs(runs)[0]), lambda: list_runs(runs))
    with Server(followed) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server, path="", method="GET", **headers) -> tuple[int, bytes]:
    """Return status and content of an answer; ``path`` is below the token's."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request(method, path if path.startswith("/") else f"/{server.token}/{path}", headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


@pytest.fixture
def server(tmp_path):
    make_run(tmp_path / "runs", "a")
    with serving(tmp_path / "runs") as served:
        yield served


def test_only_who_knows_the_token_and_asks_by_this_machines_name_gets_an_answer(server):
    status, content = ask(server)
    assert (status, content[:15]) == (200, b"<!doctype html>")
    assert b"connect-src 'self'" in content
    assert server.server_address[0] == "127.0.0.1"
    assert len(server.token) >= 32
    wrong = [ask(server, f"/{server.token[:-1]}x/"), ask(server, "/"), ask(server, "../run.json")]
    wrong += [ask(server, Host="evil.example"), ask(server, "news", Host=f"evil:{server.server_port}")]
    assert wrong == [(404, b"")] * 5


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(server, method):
    assert ask(server, "news", method)[0] == 501


def test_what_is_new_is_told_once(server, tmp_path):
    status, content = ask(server, "news?since=")
    news = json.loads(content)
    assert (status, len(news["data"]["runs"])) == (200, 1)
    assert ask(server, f"news?since={news['version']}") == (204, b"")
    make_run(tmp_path / "runs", "<b>", losses=(0.5,))
    status, content = ask(server, f"news?since={news['version']}")
    renewed = json.loads(content)
    assert renewed["version"] > news["version"]
    assert [run["name"] for run in renewed["data"]["runs"]] == ["a", "<b>"]
    assert "<b>" not in renewed["answers"]
    assert ask(server, "news", "HEAD") == (200, b"")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--follow"], "say by --html FILE"),
        (["--follow", "--html", "x", "--online", "a/b"], "leave out --online"),
    ],
)
def test_follow_needs_a_page_and_runs_of_this_machine(flags, sentence, tmp_path, capsys):
    make_run(tmp_path / "runs", "a")
    with pytest.raises(SystemExit) as ended:
        command_line.main(["compare", *flags, "--runs", str(tmp_path / "runs")])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
