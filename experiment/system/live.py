"""What moves on a terminal while a run goes on: a clock beside what is being done, a bar over epochs."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from experiment.system import streams

REDRAWN = 0.1  # seconds between two drawings: a batch may take a thousandth of that


@contextlib.contextmanager
def clock(title: str) -> Iterator[Any]:
    """Show what is being done, and since how many seconds; give rich's console, whose lines stay above it.

    It goes to a descriptor of its own, as TensorFlow is imported with stderr turned away.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    number = os.dup(sys.stderr.fileno())
    try:
        terminal = Console(file=streams.forgiving(sys.stderr, number))
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=terminal, transient=True) as shown:
            shown.add_task(title, total=None)
            yield terminal
    finally:
        os.close(number)


class EpochBar:
    """A bar over all epochs that also moves within one; lines are printed above it."""

    def __init__(self, epochs: int, done: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        self._drawn = 0.0
        self._progress = Progress(
            "epoch",
            TextColumn("{task.fields[epoch]}/{task.total:.0f}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[doing]}"),
            TimeRemainingColumn(),
            console=streams.terminal(),
        )
        self._task = self._progress.add_task("", total=epochs, completed=done, epoch=done, doing="compiling")
        self._progress.start()

    @property
    def console(self) -> Any:
        """Rich's console, whose lines stay above the bar."""
        return self._progress.console

    def move(self, epoch: int, share: float) -> None:
        """Show that a share, 0 to 1, of an epoch, counted from 1, is done."""
        now = time.monotonic()
        if share < 1 and now - self._drawn < REDRAWN:
            return
        self._drawn = now
        doing = f"{share:.0%}" if share < 1 else "validating"
        self._progress.update(self._task, completed=epoch - 1 + share, epoch=epoch, doing=doing)

    def epoch_done(self, epoch: int) -> None:
        """Show that an epoch, counted from 1, is done."""
        self._progress.update(self._task, completed=epoch, epoch=epoch, doing="")

    def stop(self) -> None:
        """Leave no bar: each epoch's line stays."""
        self._progress.update(self._task, visible=False)
        self._progress.stop()
