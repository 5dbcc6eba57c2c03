"""Waiting has a bound: what a call returns or raises in time is had, and no more is waited for."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from experiment.system.deadline import DeadlinePassed, answers, within
from tests.support.comet_server import CometServer


def test_what_a_call_returns_in_time_is_returned():
    assert within(60, lambda: None) is None
    assert within(60, lambda: "answer") == "answer"


def test_what_a_call_raises_in_time_is_raised():
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 / 0)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.05])
def test_a_call_that_takes_longer_is_left_behind(seconds):
    released = threading.Event()
    with pytest.raises(DeadlinePassed):
        within(seconds, released.wait)
    released.set()


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """Give a URL that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_a_server_that_takes_connections_and_never_answers_does_not_answer():
    with silent() as url:
        assert not answers(url, 0.1)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "no address", "http://[::1/", "ftp:///"])
def test_what_cannot_be_reached_does_not_answer(url):
    assert not answers(url, 5)


def test_only_success_is_an_answer():
    with CometServer() as server:
        url = server.environment()["COMET_URL_OVERRIDE"]
        assert answers(f"{url}isAlive/ver", 10)
        server.fault, server.faulty = 503, ("isAlive",)
        assert not answers(f"{url}isAlive/ver", 10)
