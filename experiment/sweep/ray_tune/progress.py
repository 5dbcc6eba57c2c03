"""What a sweep says while it runs: one live table on a terminal, elsewhere a line a trial."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray import tune
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from experiment.sweep.outcomes import FINISHED, Outcome
from experiment.sweep.plan import Plan
from experiment.sweep.trial import Trial
from experiment.system import streams
from experiment.system.names import counted


class Progress(tune.Callback):
    """Shows a sweep's trials; Ray Tune calls it in the sweep's own process.

    Args:
        plan: the sweep's.
        outcomes: of the trials that an earlier start of the sweep settled, and that are not told again.
        quiet: say nothing but failures and notices.
    """

    def __init__(self, plan: Plan, outcomes: Sequence[Outcome], quiet: bool) -> None:
        sweep = plan.sweep
        self._metric = sweep.spec.metric
        points = len(plan.points) if sweep.algorithm != "bayes" else sweep.limit or 0
        self._title = f"sweep {plan.folder.name}, {sweep.algorithm}"
        self._total = points * plan.repeats
        self._outcomes = list(outcomes)
        self._before = len(outcomes)
        self._quiet = quiet
        self._running: dict[str, tuple[Trial, dict[str, Any]]] = {}
        self._notices: set[str] = set()
        self._began = time.monotonic()
        self._console = streams.terminal()
        self._live = (
            None
            if quiet or not streams.is_terminal()
            else Live(console=self._console, get_renderable=self._render, refresh_per_second=4)
        )
        if self._live:
            self._live.start()
        elif not quiet:
            self._say(f"{self._title}: {counted(self._total, 'trial')}, {self._before} of them done before")

    def __getstate__(self) -> dict[str, Any]:
        """Pickle to nothing: Tune stores what it would restore a sweep from, which it is never asked to."""
        return {}

    def on_trial_start(self, trial: Any, **_: Any) -> None:
        """Show a trial as running."""
        self._running[trial.trial_id] = (trial.config["run"]["trial"], {})

    def on_trial_result(self, trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Show how far a trial is; what it tells last is its outcome."""
        if "epoch" in result and trial.trial_id in self._running:
            self._running[trial.trial_id][1].update(result)
        for notice in result.get("notices", ()):
            self.notice(notice)
        if "outcome" in result:
            self._running.pop(trial.trial_id, None)
            self._end(result["outcome"])

    def on_trial_recover(self, trial: Any, **_: Any) -> None:
        """Say that a trial is tried again."""
        self._running.pop(trial.trial_id, None)
        self.notice(f"{trial.config['run']['trial'].label}: {_reason(trial)}; it is tried again")

    def on_trial_error(self, trial: Any, **_: Any) -> None:
        """Forget a trial that Ray gave up; what its run directory says of it is told at the end."""
        self._running.pop(trial.trial_id, None)

    def stop(self) -> None:
        """Take the live table away."""
        if self._live:
            self._live.stop()

    def notice(self, text: str) -> None:
        """Say what the user should know, once, however many trials say it."""
        if text not in self._notices:
            self._notices.add(text)
            self._say(f"notice: {text}")

    def _end(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        line = (
            f"{len(self._outcomes)}/{self._total}  {outcome.status}  {outcome.trial.label}  {_told(outcome)}"
        )
        if outcome.status == FINISHED and (self._quiet or self._live):
            return
        self._say(line)

    def _say(self, text: str) -> None:
        if self._live:
            self._console.print(text, markup=False, highlight=False)
        else:
            streams.tell(text)

    def _render(self) -> Group:
        done = len(self._outcomes)
        bad = sum(outcome.status != FINISHED for outcome in self._outcomes)
        head = f"{self._title}: {done} of {self._total} done, {len(self._running)} running, {self._left()}"
        head += f"; {bad} failed or diverged" if bad else ""
        table = Table("trial", "epoch", self._metric, box=None, pad_edge=False)
        for trial, report in list(self._running.values()):  # this is another thread
            value = report.get("value")
            table.add_row(trial.label, str(report.get("epoch", "")), "" if value is None else f"{value:.4f}")
        best = best_of(self._outcomes)
        last = f"best  {_told(best)}  {best.trial.label}" if best else "best  none yet"
        return Group(Text(head), table, Text(last))

    def _left(self) -> str:
        """Estimate when it ends from the pace of this start."""
        done, elapsed = len(self._outcomes) - self._before, time.monotonic() - self._began
        if not done:
            return "end unknown"
        seconds = elapsed / done * (self._total - len(self._outcomes))
        return f"{seconds / 60:.0f} min left" if seconds > 90 else f"{seconds:.0f} s left"


def best_of(outcomes: Sequence[Outcome]) -> Outcome | None:
    """Return the outcome with the best score."""
    scored = [outcome for outcome in outcomes if outcome.score is not None]
    if not scored:
        return None
    best = max if scored[0].trial.objective == "maximize" else min
    return best(scored, key=lambda outcome: outcome.score or 0.0)


def _reason(trial: Any) -> str:
    """Return the last line of what Tune keeps of a failed trial's error."""
    try:
        lines = Path(trial.error_file).read_text(encoding="utf-8").strip().splitlines()
    except (OSError, TypeError):
        return "it failed"
    return lines[-1] if lines else "it failed"


def _told(outcome: Outcome) -> str:
    if outcome.score is None:
        return outcome.error or ""
    return f"{outcome.trial.metric} {outcome.score:.4f}, {counted(outcome.epochs, 'epoch')}"
