"""A run without TensorFlow: all that a training process tells run directory and tracker, in little time.

python -m tests.support.writer RUNS MODE EPOCHS SECONDS_AN_EPOCH [KEY]

With a key, that run is gone on with: a run of an epoch that was not finished logs that epoch again.
"""

import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiment.comet import session
from experiment.comet.logged_parameters import LoggedParameters
from experiment.run.lifecycle import Interrupted, recorded
from experiment.store.directory import RunDirectory
from experiment.store.journal import MetricsJournal, Point
from experiment.system.console import Console
from experiment.system.parser import leave

PARAMS = {"batch-size": 128, "optimizer": "adam", "initial-lr": 0.01, "note": "数字 \U0001f600"}
STEPS = 5


def say(what: str) -> None:
    """Print a line with the time of a clock that all processes share, seconds."""
    print(json.dumps({"what": what, "at": time.monotonic()}), flush=True)


def write(
    runs: Path,
    mode: str,
    epochs: int,
    seconds: float,
    key: str | None = None,
    facts: Mapping[str, Any] | None = None,
    ends: Callable[[], None] = lambda: None,
    alert: bool = False,
) -> RunDirectory:
    """Write a run of epochs that take so many seconds each, or go on with one; ``ends`` is its last act."""
    directory = RunDirectory(runs / (key or session.new_key()))
    directory.create()
    where = session.destination("a writer", ["tag"], None, None)
    say("starting")
    described = {"dataset": {"name": "none"}, **(facts or {})}
    frame = recorded(directory, where, mode, PARAMS, described, Console(), alert=alert)
    with frame as tracker:
        say("started")
        parameters = LoggedParameters(tracker, PARAMS)
        for name in PARAMS:
            parameters.get_parameter(name)
        journal = MetricsJournal(directory.metrics_file)
        for epoch in range(1, epochs + 1):
            points = [
                Point(name, value / step, step, epoch, time.time())
                for step in range((epoch - 1) * STEPS + 1, epoch * STEPS + 1)
                for name, value in (("loss", 1.0), ("accuracy", 0.5))
            ]
            for point in journal.append(points):
                tracker.log_metric(point.name, point.value, step=point.step, epoch=point.epoch)
            tracker.log_asset_data(
                json.dumps([dataclasses.asdict(p) for p in points]), f"{epoch}.json", step=0
            )
            say(f"epoch {epoch}")
            time.sleep(seconds)
        say("done")
        ends()
    return directory


if __name__ == "__main__":

    def interrupt(number: int, frame: object) -> None:
        """End in order."""
        raise Interrupted(number)

    signal.signal(signal.SIGTERM, interrupt)
    try:
        write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), (*sys.argv[5:], None)[0])
    except Interrupted:
        leave(143)
    leave(0)
