"""What the run directories say of a trial: settled, to be resumed, or to be begun.

They are the only truth of a sweep. Ray Tune can restore an experiment too, but from a state of its own, which
it saves now and then, apart from what the runs wrote: after a crash the two could disagree.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiment.store import archive_writer
from experiment.store.directory import RunDirectory
from experiment.store.files import DamagedFile
from experiment.store.journal import read_metrics
from experiment.store.record import FAILED, FINISHED, INTERRUPTED, RUNNING, read_results, read_run
from experiment.sweep.trial import Trial

DIVERGED = "diverged"
# A process that was killed holds its lock until the kernel has taken it down.
LOCK_SECONDS = 60.0
WORST = 1e30  # stands for a score that is not finite, which neither ASHA nor Optuna can rank


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trial ended: finished, diverged or failed; only a finished one has a score.

    ``epochs`` counts what it trained, ``error`` is the last line of what made it fail.
    """

    trial: Trial
    status: str
    score: float | None
    epochs: int
    results: Mapping[str, Any]
    error: str | None = None

    @property
    def rankable(self) -> float:
        """The score, or one worse than any."""
        return rankable(self.trial, self.score)


def rankable(trial: Trial, value: float | None) -> float:
    """Return a finite value that ranks as this one does; None and NaN are worse than any."""
    worst = -WORST if trial.objective == "maximize" else WORST
    return worst if value is None or not math.isfinite(value) else value


def settle(runs: Path, trial: Trial, retries: int) -> Outcome | Trial:
    """Return how a trial ended, or the attempt of it that is to be begun or resumed.

    An attempt whose ``run.json`` is damaged has failed: nobody can tell how far it came.
    """
    # Each attempt has a run of its own, whose key follows from its number: looking is enough.
    for attempt in itertools.count(1):
        trial = dataclasses.replace(trial, attempt=attempt)
        directory = RunDirectory(runs / trial.key)
        if not directory.run_file.exists():
            break
        try:
            run = read_run(directory.path)
            if run["status"] in (RUNNING, INTERRUPTED):
                break
            outcome = _outcome(trial, directory, run)
        except DamagedFile as error:
            run, outcome = {}, Outcome(trial, FAILED, None, 0, {}, str(error))
        if outcome.status != FAILED or attempt + run.get("deaths", 0) > retries:
            return outcome
    return trial


def epoch_values(directory: RunDirectory, metric: str) -> list[float]:
    """Return a metric's values, one an epoch for most, as the run's journal has them."""
    return [point.value for point in read_metrics(directory.metrics_file) if point.name == metric]


def note_death(directory: RunDirectory, session_began: float, retries: int) -> None:
    """Count that a worker process died over a run in this session; give the run up after too many times.

    What ended before this session, seconds since 1970, was the whole sweep: that is not the run's fault.
    """
    run = read_run(directory.path)
    if run["status"] != RUNNING or run.get("process", {}).get("since", 0) < session_began:
        return
    deaths = run.get("deaths", 0) + 1
    directory.update_run(deaths=deaths)
    if run.get("sweep", {}).get("attempt", 1) + deaths > retries + 1:
        archive_writer.recover(directory)
        times = "once" if deaths == 1 else f"{deaths} times"
        error = f"its worker process died {times}: killed, or out of memory"
        directory.update_run(status=FAILED, error=error)


def wait_for_lock(directory: RunDirectory) -> None:
    """Wait until a worker that was just lost has let go of its run."""
    deadline = time.monotonic() + LOCK_SECONDS
    while directory.is_alive() and time.monotonic() < deadline:
        time.sleep(0.2)


def _outcome(trial: Trial, directory: RunDirectory, run: Mapping[str, Any]) -> Outcome:
    results = read_results(directory.path)
    values = epoch_values(directory, trial.metric)
    names = ("batch_loss", "loss", "val_loss")
    losses = [value for name in names for value in epoch_values(directory, name)]
    status = run["status"]
    if not all(math.isfinite(loss) for loss in losses):
        status = DIVERGED
    error = (run.get("error") or "").strip().splitlines()
    return Outcome(
        trial,
        status,
        trial.score(values) if status == FINISHED else None,
        len(epoch_values(directory, "loss")),
        results,
        error[-1] if error else None,
    )
