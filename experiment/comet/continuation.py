"""Go on tracking a run under its key: live where Comet has it, each point once, else offline."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from experiment.comet import messages, session
from experiment.comet.holdings import Holdings, fetch_holdings
from experiment.comet.server import Server
from experiment.comet.tracker import ONLINE, Tracker
from experiment.errors import UserError
from experiment.store.archive_writer import TEST_PREFIX
from experiment.store.console_log import read_console_log, take_lines
from experiment.store.directory import RunDirectory
from experiment.store.journal import UNKNOWN, Point, read_metrics, read_system_metrics
from experiment.system.deadline import DeadlinePassed, within

CHECK_SECONDS = 8.0
SETTLING_SECONDS = 2.0  # Comet shows a point some time after it took it


def go_on(
    mode: str, directory: RunDirectory, where: session.Destination, notify: Callable[[str], None]
) -> Tracker:
    """Start the experiment of a run that was begun before; where it cannot be live it is offline.

    Live, Comet gets at once what it lacks of the run's points and lines so far. What is logged from now on it
    cannot have: the journal hands each point out once.

    Args:
        mode: online, offline or disabled.
        directory: of the run, whose lock is held.
        where: its place and name in Comet.
        notify: called with one sentence for each thing that the user should know.
    """
    lacking = Lacking()
    segment = directory.new_segment()
    if mode == ONLINE:
        try:
            lacking = within(CHECK_SECONDS, lambda: _lacking(directory))
        except (DeadlinePassed, UserError, ConnectionError) as error:
            silent = isinstance(error, DeadlinePassed)
            reason = "Comet does not say in time what it has of this run" if silent else str(error)
            session.tell_offline(directory.path, reason, notify)
            mode = session.OFFLINE
    tracker = session.start_experiment(mode, directory.key, where, segment, notify, again=True)
    if tracker.mode == ONLINE:
        _log(tracker, lacking)
    return tracker


@dataclasses.dataclass(frozen=True)
class Lacking:
    """What Comet does not have of a run: points of its journals, lines that it printed, with their ends."""

    points: Sequence[Point] = ()
    lines: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.points) + len(self.lines)


def _lacking(directory: RunDirectory) -> Lacking:
    """Return what of a run's journals Comet does not have.

    Raises:
        ConnectionError: Comet does not have the run.
        UserError: Comet does not answer.
    """
    points = [*read_metrics(directory.metrics_file), *read_system_metrics(directory.system_file)]
    all_of_it = Lacking(points, read_console_log(directory.console_file))
    server = Server(directory.key)
    lacking = _without(all_of_it, fetch_holdings(server, directory.key))
    while lacking:
        before = len(lacking)
        time.sleep(SETTLING_SECONDS)
        lacking = _without(all_of_it, fetch_holdings(server, directory.key))
        if len(lacking) == before:
            break
    return lacking


def _without(whole: Lacking, has: Holdings | None) -> Lacking:
    if has is None:
        raise ConnectionError("Comet does not have this run yet")
    printed = has.output() if whole.lines else None
    return Lacking(
        [point for point in whole.points if (point.name, point.step) not in has.points],
        [] if printed is None else [line for line in whole.lines if not take_lines(line, printed)],
    )


def _log(tracker: Tracker, lacking: Lacking) -> None:
    for line in lacking.lines:
        tracker.log_message(messages.output_line(line, True, time.time()))
    for point in lacking.points:
        if point.epoch == UNKNOWN:
            message = messages.system_metric(point.name, point.value, point.step, point.time)
            tracker.log_message(message)
        elif point.name.startswith(TEST_PREFIX):
            with tracker.test():
                name = point.name.removeprefix(TEST_PREFIX)
                tracker.log_metric(name, point.value, step=point.step, epoch=point.epoch)
        else:
            tracker.log_metric(point.name, point.value, step=point.step, epoch=point.epoch)
