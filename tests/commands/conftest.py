"""A pipe, where nothing is left out for want of room, unless a test says how wide a terminal is."""

import pytest


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
