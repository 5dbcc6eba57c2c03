"""What a run says while it goes: a progress bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from experiment.system import streams
from experiment.system.live import EpochBar, clock
from experiment.system.output import Output
from experiment.system.secrets import redact

_SHOWN = ("loss", "accuracy", "val_loss", "val_accuracy")
_SHORT = ("loss", "val_loss", "val_accuracy")  # what fits on a line of 80 columns
WIDE = 96  # columns
NOTICED = 0.5  # seconds: what takes less is not told of


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

    ``on_notice`` is called with each notice instead, where a run is one of many. ``output`` takes all of it,
    what is not shown as well.
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
        self._bar: EpochBar | None = None
        self._above: Any = None  # rich's console, whose lines stay above what moves
        self._compiling_since: float | None = None
        self._held: list[str] | None = None
        self.notices: list[str] = []
        self.output = Output(secrets, self.notice)

    def notice(self, text: str) -> None:
        """Say what the user should know; said when quiet, too, and once."""
        text = redact(text, self._secrets)
        # The SDK repeats a warning for each message that it cannot send.
        if text in self.notices:
            return
        self.notices.append(text)
        if self._on_notice:
            self.output.line(f"notice: {text}")
            self._on_notice(text)
        else:
            self._line(f"notice: {text}")

    def say(self, text: str) -> None:
        """Say what a user may want to know."""
        if self._quiet:
            self.output.line(text)
        else:
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

    @contextlib.contextmanager
    def doing(self, title: str) -> Iterator[None]:
        """Say what is being done before the first epoch, and how many seconds it took where one notices."""
        began = time.perf_counter()
        try:
            with self._live_clock(title) as self._above:
                self.output.hear_streams()  # rich has put streams of its own in their places
                yield
        finally:
            self._above = None
        self._say_seconds(title, time.perf_counter() - began)

    def _live_clock(self, title: str) -> contextlib.AbstractContextManager[Any]:
        shown = not self._quiet and streams.is_terminal() and self._held is None
        return clock(title) if shown else contextlib.nullcontext()

    def _say_seconds(self, title: str, seconds: float) -> None:
        if seconds >= NOTICED:
            self.say(f"{title}  {seconds:.1f} s")

    def start(self, epochs: int, done: int) -> None:
        """Begin to show epochs, of which some may be done already; their program is compiled first."""
        self._compiling_since = time.perf_counter()
        if not self._quiet and streams.is_terminal():
            self._bar = EpochBar(epochs, done)
            self._above = self._bar.console
            self.output.hear_streams()

    def compiled(self) -> None:
        """Say how long compiling took, where it was just done."""
        if self._compiling_since is not None:
            self._say_seconds("compile the epochs", time.perf_counter() - self._compiling_since)
            self._compiling_since = None

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

    @property
    def moves_within_epochs(self) -> bool:
        """Whether ``within_epoch`` shows anything."""
        return self._bar is not None

    def within_epoch(self, epoch: int, share: float) -> None:
        """Show that a share, 0 to 1, of an epoch, counted from 1, is done."""
        if self._bar:
            self._bar.move(epoch, share)

    def epoch(self, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """Tell of a finished epoch, counted from 1, in a line that stays."""
        names = _SHORT if self._bar and self._bar.console.width < WIDE else _SHOWN
        shown = "  ".join(f"{name} {metrics[name]:.4f}" for name in names if name in metrics)
        self.say(f"epoch {epoch}/{epochs}  {shown}  {metrics['epoch_seconds']:.2f} s")
        if self._bar:
            self._bar.epoch_done(epoch)

    def stop(self) -> None:
        """Stop showing epochs."""
        if self._bar:
            self._bar.stop()
            self._bar = self._above = None

    def _line(self, text: str) -> None:
        if self._held is not None:
            self._held.append(text)
            return
        if self._above or not self.output.hears_stderr():
            self.output.line(text)
        if self._above:
            self._above.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            streams.tell(text)
