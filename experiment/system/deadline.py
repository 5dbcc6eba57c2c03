"""Wait for something, but no longer than that: for calls and servers that have no bound of their own."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

Returned = TypeVar("Returned")


class DeadlinePassed(Exception):
    """A call has not returned in time; it goes on, on a thread that is left behind."""


def within(seconds: float, function: Callable[[], Returned]) -> Returned:
    """Call a function on a thread and return what it returns, if it does so in time.

    The thread is left behind if it takes longer: nothing in Python ends one from outside. It does not hold
    the process.

    Args:
        seconds: how long to wait; nothing or less is not at all.
        function: what it raises in time is raised here.

    Raises:
        DeadlinePassed: it has not returned by then.
    """
    returned: list[Returned] = []
    raised: list[Exception] = []

    def call() -> None:
        try:
            returned.append(function())
        # Kept for the caller: what ends a thread is only printed.
        except Exception as error:
            raised.append(error)

    # A daemon, or Python would wait for it when the process ends.
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if raised:
        raise raised[0]
    if not returned:
        raise DeadlinePassed(f"no answer within {seconds:.3g} s")
    return returned[0]


def answers(url: str, seconds: float, method: str = "GET") -> bool:
    """Tell whether a URL answers with status 200 in time, name resolution included; its body is not read."""

    def probe() -> bool:
        request = urllib.request.Request(url, method=method)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as response:
                return bool(response.status == 200)
        except urllib.error.HTTPError as refusal:  # it holds the connection open until it is closed
            refusal.close()
            return False

    try:
        return within(seconds, probe)
    except (DeadlinePassed, OSError, ValueError, http.client.HTTPException):
        return False
