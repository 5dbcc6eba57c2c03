"""The live view in a terminal: a row a run; curves, machine and last output of the one that is chosen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import DataTable, Footer, Static
from textual_plotext import PlotextPlot

from experiment.store.record import RunRecord
from experiment.watch.live import LiveRun

EVERY = 1.0  # seconds
LISTED_EVERY = 5.0  # seconds: runs that began meanwhile
OUTPUT_LINES = 4
COLUMNS = ("run", "key", "status", "epoch", "val_loss", "val_acc", "left")
PAIRS = (("loss", "val_loss"), ("accuracy", "val_accuracy"))


class Watch(App[None]):
    """Shows runs, read every second from their own files; nothing is written."""

    CSS = """
    #runs { height: auto; max-height: 7; }
    #curves { height: 1fr; min-height: 6; }
    #curves PlotextPlot { width: 1fr; }
    #machine { height: 1; color: $text-muted; }
    #output { height: auto; max-height: 4; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("up,k", "move(-1)", "run above", priority=True),
        Binding("down,j", "move(1)", "run below", priority=True),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, choose: Callable[[], Sequence[RunRecord]]) -> None:
        super().__init__()
        self._choose = choose
        self._listed = 0.0
        self._runs: dict[str, LiveRun] = {}
        self._chosen = 0

    def compose(self) -> ComposeResult:
        """Lay out table, curves, machine, output and keys from top to bottom."""
        yield DataTable(id="runs", cursor_type="row", zebra_stripes=False)
        with Horizontal(id="curves"):
            yield PlotextPlot(id="loss")
            yield PlotextPlot(id="accuracy")
        yield Static(id="machine")
        yield Static(id="output")
        yield Footer()

    def on_mount(self) -> None:
        """Read for the first time, and from then on every second."""
        table = self.query_one(DataTable)
        table.add_columns(*COLUMNS)
        self._look()
        self.set_interval(EVERY, self._look)

    def action_move(self, by: int) -> None:
        """Choose the run above or below."""
        self._chosen = max(0, min(len(self._runs) - 1, self._chosen + by))
        self._draw()

    def _look(self) -> None:
        if time.monotonic() - self._listed > LISTED_EVERY:
            self._listed = time.monotonic()
            for record in self._choose():
                if record.source not in self._runs:
                    self._runs[record.source] = LiveRun(record)
        for run in self._runs.values():
            run.refresh()
        self._draw()

    def _draw(self) -> None:
        table, runs = self.query_one(DataTable), list(self._runs.values())
        table.clear()
        for run in runs:
            table.add_row(*(Text(cell) for cell in run.cells()))
        if not runs:
            self.query_one("#output", Static).update("no run yet: waiting for one to begin")
            return
        table.move_cursor(row=self._chosen)
        run = runs[self._chosen]
        for pair in PAIRS:
            self._plot(pair, run)
        self.query_one("#machine", Static).update(Text(run.machine()))
        self.query_one("#output", Static).update(Text("\n".join(run.output(OUTPUT_LINES)), no_wrap=True))

    def _plot(self, pair: Sequence[str], run: LiveRun) -> None:
        widget = self.query_one(f"#{pair[0]}", PlotextPlot)
        plot = widget.plt
        plot.clear_figure()
        plot.title(f"{pair[0]}, {pair[1]}")
        ticks = {1, max(1, run.epochs // 2), run.epochs}
        plot.xticks(sorted(ticks), [str(epoch) for epoch in sorted(ticks)])
        plot.xlim(1, max(2, run.epochs))
        for name, colour in zip(pair, ("blue", "orange"), strict=True):
            points = [(epoch, value) for epoch, value in run.curves.get(name, []) if math.isfinite(value)]
            if points:
                epochs, values = zip(*points, strict=True)
                plot.plot(list(epochs), list(values), marker="braille", color=colour, label=name)
        widget.refresh()
