"""Imports that take seconds, made shorter: no garbage is looked for meanwhile, and what is optional can wait.

Keras and Comet's SDK import pandas, scikit-learn, SciPy, pyplot and plotly only to know these packages' own
objects when they are given some. A process of ours, without code of a user's, gives them none.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
import threading
from collections.abc import Iterator

_waiting = False


def let_optional_wait() -> None:
    """Leave out what is optional from now on: this process is ours alone."""
    global _waiting
    _waiting = True


def take_optional() -> None:
    """Import everything from now on: code of a user's is about to run."""
    global _waiting
    _waiting = False


def are_ours() -> bool:
    """Tell whether this process runs no code of a user's."""
    return _waiting


@contextlib.contextmanager
def quickly(*optional: str) -> Iterator[None]:
    """Import without garbage collection; in a process of ours, let ``optional`` modules seem not installed.

    Those that are imported already stay; the others can be imported afterwards by whoever needs them.
    """
    hidden = [name for name in optional if _waiting and name not in sys.modules]
    collects = gc.isenabled()
    # What is imported stays, and there is much of it: looking through it takes a fifth of an import's time.
    gc.disable()
    # None is Python's own sign for a module that must not be imported.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
        if collects:
            gc.enable()


def beside(*modules: str) -> threading.Thread:
    """Import modules on a thread, while compiled code keeps this one waiting; one that is missing is left."""

    def work() -> None:
        for name in modules:
            # Whoever needs it will import it, too, and hears why it cannot be.
            with contextlib.suppress(Exception), quickly():
                importlib.import_module(name)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
