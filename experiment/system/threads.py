"""What ends a thread that nobody waits for, told to the user."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def threads_tell(notify: Callable[[str], None]) -> Iterator[None]:
    """Make a notice of what ends a thread, one of the SDK's on a full disk say, instead of a traceback."""
    before = threading.excepthook

    def tell(error: threading.ExceptHookArgs) -> None:
        notify(f"a thread ended early: {error.exc_type.__name__}: {error.exc_value}")

    # Process-wide, but only while a run lasts; the SDK's threads cannot be wrapped one by one.
    threading.excepthook = tell
    try:
        yield
    finally:
        threading.excepthook = before
