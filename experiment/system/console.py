"""What a run says while it goes: a progress bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from experiment.system import streams
from experiment.system.secrets import redact

_SHOWN = ("loss", "accuracy", "val_loss", "val_accuracy")
_LIVE = ("loss", "val_loss", "val_accuracy")  # what fits beside a bar on 80 columns


@contextlib.contextmanager
def without_stderr() -> Iterator[None]:
    """Keep compiled code from writing to stderr; what it wrote is shown after all if an exception follows."""
    streams.occupy_descriptors()
    with contextlib.suppress(AttributeError, OSError, ValueError):  # none, full or closed
        sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        try:
            heard = stack.enter_context(tempfile.TemporaryFile())
        except OSError:  # no folder takes it: better a few lines too many than no run
            yield
            return
        # At the descriptor: compiled code does not know of sys.stderr.
        saved = os.dup(2)
        os.dup2(heard.fileno(), 2)
        try:
            yield
        except BaseException:
            heard.seek(0)
            with contextlib.suppress(OSError):
                os.write(saved, heard.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


class Console:
    """Writes notices, progress and the summary to stderr; each secret it knows is left out.

    ``on_notice`` is called with each notice instead, where a run is one of many.
    """

    def __init__(
        self,
        quiet: bool = False,
        secrets: tuple[str | None, ...] = (),
        on_notice: Callable[[str], None] | None = None,
    ) -> None:
        self._quiet = quiet
        self._on_notice = on_notice
        self._secrets = secrets
        self._progress: Any = None
        self._task: Any = None
        self._held: list[str] | None = None
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        """Say what the user should know; said when quiet, too, and once."""
        text = redact(text, self._secrets)
        # The SDK repeats a warning for each message that it cannot send.
        if text in self.notices:
            return
        self.notices.append(text)
        if self._on_notice:
            self._on_notice(text)
        else:
            self._line(f"notice: {text}")

    def say(self, text: str) -> None:
        """Say what a user may want to know."""
        if not self._quiet:
            self._line(redact(text, self._secrets))

    @contextlib.contextmanager
    def address_first(self) -> Iterator[None]:
        """Keep lines back until ``address`` is said; tell them where an error comes first."""
        self._held = []
        try:
            yield
        except BaseException:
            self._tell_held()
            raise

    def address(self, text: str) -> None:
        """Say where a run can be looked at, and then what was kept back."""
        held, self._held = self._held, None
        self.say(text)
        self._held = held
        self._tell_held()

    def _tell_held(self) -> None:
        held, self._held = self._held, None
        for line in held or ():
            self._line(line)

    def start(self, epochs: int, done: int) -> None:
        """Begin to show epochs, of which some may be done already."""
        if self._quiet or not streams.is_terminal():
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        whole = Column(no_wrap=True, min_width=len(f"{epochs}/{epochs}"))
        self._progress = Progress(
            "epoch",
            MofNCompleteColumn(table_column=whole),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[metrics]}"),
            TimeRemainingColumn(),
            console=streams.terminal(),
        )
        self._task = self._progress.add_task("", total=epochs, completed=done, metrics="")
        self._progress.start()

    @contextlib.contextmanager
    def counting(self) -> Iterator[Callable[[str, int, int], None]]:
        """Give a function to be told of what is done, how many are done, of how many: a bar on a terminal."""
        if self._quiet or not streams.is_terminal():
            yield lambda title, done, total: None  # noqa: ARG005
            return
        from rich.progress import Progress, TextColumn

        columns = (*Progress.get_default_columns(), TextColumn("{task.fields[pace]}"))
        with Progress(*columns, console=streams.terminal(), transient=True) as bar:
            task = bar.add_task("", pace="")

            def show(title: str, done: int, total: int) -> None:
                speed = bar.tasks[0].speed
                pace = f"{speed:.0f} a second" if speed else ""
                bar.update(task, description=f"{title} pictures", completed=done, total=total, pace=pace)

            yield show

    def epoch(self, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Show a finished epoch, counted from 1."""
        names = _LIVE if self._progress else _SHOWN
        shown = "  ".join(f"{name} {metrics[name]:.4f}" for name in names if name in metrics)
        if self._progress:
            self._progress.update(self._task, completed=epoch, metrics=shown)
        else:
            self.say(f"epoch {epoch}/{epochs}  {shown}  {metrics['epoch_seconds']:.2f} s")

    def stop(self) -> None:
        """Stop showing epochs."""
        if self._progress:
            self._progress.stop()
            self._progress = None

    def _line(self, text: str) -> None:
        if self._held is not None:
            self._held.append(text)
        elif self._progress:
            self._progress.console.print(text, markup=False, highlight=False)
        else:
            streams.tell(text)
