"""The frame around a run: its directory, lock, experiment and status, closed in order however it ends."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from experiment import archives, provenance, tracking
from experiment.console import Console
from experiment.rundir import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    RunDirectory,
    process_identity,
    write_json,
)

END_SECONDS = 25.0


class RunFailed(Exception):
    """A run ended by an error of its own, after it was recorded; its cause is that error."""


class Interrupted(BaseException):
    """A signal asked the run to end; raised by the signal handlers of ``train.py``."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"signal {signal_number}")
        self.signal_number = signal_number


@contextlib.contextmanager
def recorded(
    directory: RunDirectory,
    where: tracking.Destination,
    mode: str,
    params: Mapping[str, Any],
    facts: Mapping[str, Any],
    console: Console,
) -> Iterator[tracking.Tracker]:
    """Record a run, or its resumption, from its first line to its archive; it is closed whatever happens.

    Args:
        directory: the run's, made already.
        where: the run's place and name in Comet.
        mode: online, offline or disabled.
        params: the parameters that apply, by their names.
        facts: further fields of ``run.json``.
        console: told of all that goes wrong with tracking.

    Raises:
        RunFailed: something inside raised.
    """
    secrets = (tracking.api_key(),)
    with directory.exclusive():
        write_json(directory.params_file, params)
        again = directory.run_file.exists()
        new = {
            "key": directory.key,
            "name": where.name,
            "tags": list(where.tags),
            "workspace": where.workspace,
            "project": where.project,
            "mode": mode,
            "url": None,
            "started": time.time(),
            **facts,
        }
        now = {"status": RUNNING, "ended": None, "error": None, "process": process_identity()}
        directory.update_run(**({} if again else new), **now)
        tracker = tracking.start_experiment(
            mode, directory.key, where, directory.new_segment(), console.notice
        )
        if not again:
            directory.update_run(mode=tracker.mode, url=tracker.url)
        status, error = FINISHED, None
        try:
            yield tracker
        except (Interrupted, KeyboardInterrupt):
            status = INTERRUPTED
            raise
        except Exception as problem:
            status, error = FAILED, provenance.redact(traceback.format_exc(), secrets)
            raise RunFailed(directory.key) from problem
        finally:
            console.stop()
            _close(directory, tracker, status, error, console)


def _close(
    directory: RunDirectory, tracker: tracking.Tracker, status: str, error: str | None, console: Console
) -> None:
    tracker.log_other("run_status", status)
    if error:
        tracker.log_asset_data(error, name="traceback.txt")
    _end(tracker, console)
    directory.update_run(status=status, ended=time.time(), error=error)
    if tracker.mode == tracking.DISABLED:
        return
    try:
        for sentence in archives.build_archive(directory):
            console.notice(sentence)
    except OSError as problem:
        console.notice(f"no archive ({problem}): python -m experiment recover {directory.key[:12]}")


def _end(tracker: tracking.Tracker, console: Console) -> None:
    """End the experiment, but wait for Comet's server no longer than END_SECONDS."""
    thread = threading.Thread(target=tracker.end, daemon=True)
    thread.start()
    thread.join(END_SECONDS)
    if thread.is_alive():
        console.notice(
            f"Comet did not take everything within {END_SECONDS:.0f} s; the rest is in the archive"
        )
