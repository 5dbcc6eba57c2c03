"""A run that is to be repeated, as its run directory, its offline archive or Comet's API tell of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from experiment.errors import UserError
from experiment.store.directory import RunDirectory
from experiment.store.find import Runs, UnknownRun
from experiment.store.journal import UNKNOWN, Point
from experiment.store.record import DIRECTORY, KEY, RUNNING, RunRecord, demand
from experiment.system.names import short


def find_original(runs: Path, run: str) -> RunRecord:
    """Find a run, here or, with a whole key, in Comet; all of it is read now: a rerun may outlive its source.

    Raises:
        UserError: there is none, it is alive, it cannot be read, or it does not tell enough.
    """
    try:
        record = Runs(runs).read(run)
    except UnknownRun:
        if not KEY.fullmatch(run):
            raise
        from experiment.comet.runs import fetch_run

        record = fetch_run(run)
    return whole(record)


def whole(record: RunRecord) -> RunRecord:
    """Return a run with all that it takes to repeat it in memory: its points, predictions, code and patch.

    Raises:
        UserError: it is alive, one of its files is damaged, or it does not tell enough.
    """
    if record.kind == DIRECTORY and record.status == RUNNING and RunDirectory(Path(record.source)).is_alive():
        raise UserError(f"run {short(record.key)} is alive: wait for its end before repeating it")
    demand(record.run, f"'{record.source}'", "dataset.name", "dataset.fingerprint", "code_fingerprint")
    points, predictions = tuple(_comparable(record.points())), record.predictions()
    code, patch = record.code(), record.patch()
    return dataclasses.replace(
        record,
        points=lambda: points,
        predictions=lambda: predictions,
        code=lambda: code,
        patch=lambda: patch,
    )


def _comparable(points: Iterable[Point]) -> Iterable[Point]:
    """Yield points without their times, and without the SDK's own, which have no step or epoch."""
    return (
        dataclasses.replace(point, time=0.0) for point in points if UNKNOWN not in (point.step, point.epoch)
    )
