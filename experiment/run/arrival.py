"""At the end of an online run: what Comet has of it, said truly; and the alert that tells of the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from experiment.comet import dataset_artifact, session, upload
from experiment.comet.tracker import Tracker
from experiment.errors import UserError
from experiment.store.directory import RunDirectory
from experiment.store.record import read_results, read_run
from experiment.system.console import Console
from experiment.system.deadline import DeadlinePassed, within
from experiment.system.names import some
from experiment.system.parser import command_on

ALERT_SECONDS = 1.5  # of the five that an interrupted run may take to end


def alert(
    directory: RunDirectory, tracker: Tracker, status: str, error: str | None, console: Console
) -> None:
    """Let Comet send its notification that a run has ended: status, result and link.

    ``error`` is the run's traceback, of which the last line is told.
    """
    if tracker.mode != session.ONLINE:
        console.notice(
            f"no alert is sent: Comet sends one only for a run that is online; this one is {tracker.mode}"
        )
        return
    told: dict[str, Any] = {"link": tracker.url, **_result(directory)}
    if error:
        told["error"] = error.strip().splitlines()[-1]
    try:
        within(
            ALERT_SECONDS,
            lambda: tracker.send_notification(
                f"Run {read_run(directory.path)['name']}: {status}", status=status, additional_data=told
            ),
        )
    except DeadlinePassed:
        console.notice("Comet does not take the alert in time")


def _result(directory: RunDirectory) -> Mapping[str, Any]:
    try:
        results = read_results(directory.path)
    except UserError:  # a disk that is full, say
        return {}
    return {name: results[name] for name in ("epochs", "test_accuracy", "test_loss") if name in results}


def say_what_arrived(directory: RunDirectory, seconds: float, console: Console) -> None:
    """Say whether Comet has all of an online run, as far as it tells within some seconds."""
    ledger, deadline = None, time.monotonic() + seconds
    try:
        ledger = within(seconds, lambda: upload.verify(directory, seconds - 1))
    # No answer in time; the archive has everything, and that is said below.
    except (DeadlinePassed, UserError):
        pass
    except Exception as error:  # a full disk, say: the run is over and recorded
        console.notice(f"reading back from Comet ended early: {type(error).__name__}: {error}")
    send = command_on(directory.path, "experiment", "upload")
    later = f"the archive has everything; send the rest: {send}"
    if not ledger:
        console.notice(f"Comet does not say what it has of this run; {later}")
    elif missing := ledger["missing"]:
        console.notice(f"Comet lacks {some(missing, 3)}; {later}")
    else:
        console.say(f"Comet has all of this run: {upload.contents(ledger)}, read back")
        _send_dataset(directory, deadline - time.monotonic(), later, console)


def _send_dataset(directory: RunDirectory, seconds: float, later: str, console: Console) -> None:
    try:
        version = within(seconds, lambda: dataset_artifact.send(directory))
    except Exception as error:  # the SDK's own, requests' and a deadline's alike: the run itself is there
        console.notice(f"Comet did not take the data set ({type(error).__name__}); {later}")
        return
    if version:
        console.say(f"data set {version}")
