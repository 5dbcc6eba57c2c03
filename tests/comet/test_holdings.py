"""What Comet has of a run is read back by the one client: as patient and as plain as it is for others."""

import threading
from collections.abc import Iterator

import pytest

from experiment import __main__ as command_line
from experiment.comet.holdings import fetch_holdings
from experiment.comet.server import Server
from experiment.commands import train
from tests.support.comet_server import CometServer, Run
from tests.support.made_runs import make_run

KEY = "0" * 40
WRONG = "wrongKey9876543210zyxwv"


@pytest.fixture
def server(monkeypatch) -> Iterator[CometServer]:
    """A server, and the SDK pointed to it."""
    with CometServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


def test_holdings_are_asked_for_again_when_comet_refuses_for_its_rate(server, capsys):
    server.runs[KEY] = Run("tests", "p", {"seed": "0"})
    client = Server(KEY)
    server.fault, server.faulty = 429, ("experiment/parameters",)
    threading.Timer(0.5, lambda: setattr(server, "fault", None)).start()
    found = fetch_holdings(client, KEY)
    assert found
    assert found.parameters == {"seed"}
    assert "Comet asks to wait 1 s" in capsys.readouterr().err


def test_comet_has_nothing_of_a_run_that_it_does_not_know(server):
    assert fetch_holdings(Server(KEY), KEY) is None


@pytest.mark.parametrize("asks", ["upload", "rerun"])
def test_a_refused_key_is_the_same_sentence_whatever_asks(server, monkeypatch, capsys, tmp_path, asks):
    monkeypatch.setenv("COMET_API_KEY", WRONG)
    key = make_run(tmp_path / "runs", "one").name if asks == "upload" else KEY
    with pytest.raises(SystemExit) as ended:
        command_line.main(["upload", key]) if asks == "upload" else train.main(["--rerun", key])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"Comet refuses the API key, or it may not read '{key}'" in line
    assert WRONG not in line
