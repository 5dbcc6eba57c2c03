"""What a signal does to a command: the first ends its work in order, the second the process."""

from __future__ import annotations

import contextlib
import os
import signal
import types
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def on_first_signal(act: Callable[[int], None]) -> Iterator[None]:
    """Let the first SIGINT, SIGTERM or SIGHUP call ``act(number)``, and a second one end the process."""

    def handle(number: int, frame: types.FrameType | None) -> None:  # noqa: ARG001
        for each in SIGNALS:
            # The second time nobody wants order any more; what was journalled is on disk.
            signal.signal(each, lambda number, frame: os._exit(128 + number))  # noqa: ARG005
        act(number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
