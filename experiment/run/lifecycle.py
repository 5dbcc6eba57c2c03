"""The frame around a run: its directory, lock, experiment and status, closed in order however it ends."""

from __future__ import annotations

import contextlib
import signal
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from experiment.comet import continuation, messages, session, settings
from experiment.comet.tracker import Tracker
from experiment.errors import UserError
from experiment.run import arrival
from experiment.run.own_model import OwnCodeError
from experiment.run.system_log import SystemLog
from experiment.store import archive_writer as archives
from experiment.store.directory import RunDirectory
from experiment.store.files import write_json
from experiment.store.others import USAGE
from experiment.store.record import FAILED, FINISHED, INTERRUPTED, RUNNING, process_identity
from experiment.system.console import Console
from experiment.system.deadline import DeadlinePassed, within
from experiment.system.names import short
from experiment.system.parser import command_on
from experiment.system.secrets import redact
from experiment.system.threads import threads_tell

# For Comet's server, from the last line of a run to the process's end: of a whole run, of an interrupted one.
# The promise is 30 s after a run and 5 s after a signal; the rest goes to the archive and the exit.
END_SECONDS, INTERRUPTED_SECONDS = 28.0, 3.0
# Of END_SECONDS: Comet may show what it took only seconds later.
READ_BACK_SECONDS = 8.0
SAMPLE_SECONDS = 10.0
PLAIN_ERRORS = (OSError, FloatingPointError)  # of these the message says all; others need their traceback
# Keras' and TensorFlow's messages may hold a whole graph.
REASON_CHARACTERS = 300


class RunFailed(Exception):
    """A run ended by an error of its own, after it was recorded; its cause is that error.

    Its text says which run failed, by what, and how to go on.
    """


# Not an Exception: code of models and callbacks that catches those must not swallow a signal.
class Interrupted(BaseException):
    """A signal asked the run to end; raised by the signal handlers of ``train.py``.

    Attributes:
        signal_number: of the signal.
        directory: of the run that was interrupted; None where none had begun.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number
        self.directory: RunDirectory | None = None

    def __str__(self) -> str:
        said = f"interrupted by {signal_name(self.signal_number)}"
        if not self.directory:
            return f"{said} before a run began"
        return f"{said}; go on with: {command_on(self.directory.path, 'train', '--resume')}"


def signal_name(number: int) -> str:
    """Return what a signal is called, and by which keys it is sent."""
    name = signal.Signals(number).name
    return f"Ctrl-C ({name})" if number == signal.SIGINT else name


@contextlib.contextmanager
def recorded(
    directory: RunDirectory,
    where: session.Destination,
    mode: str,
    params: Mapping[str, Any],
    facts: Mapping[str, Any],
    console: Console,
    sample_every: float = SAMPLE_SECONDS,
    alert: bool = False,
) -> Iterator[Tracker]:
    """Record a run, or its resumption, from its first line to its archive; it is closed whatever happens.

    Args:
        directory: the run's, made already.
        where: the run's place and name in Comet.
        mode: online, offline or disabled.
        params: the parameters that apply, by their names.
        facts: further fields of ``run.json``.
        console: told of all that goes wrong with tracking.
        sample_every: seconds between samples of the machine; 0 for none.
        alert: let Comet send a notification of the end.

    Raises:
        RunFailed: something inside raised.
    """
    secrets, output, alone = (settings.api_key(),), console.output, directory.exclusive()
    with alone, threads_tell(console.notice), _interruption_names(directory), output.listening():
        tracker = _open(directory, where, mode, params, facts, console)
        system_log = SystemLog(directory, tracker, sample_every, console.notice)
        status, error = FINISHED, None
        try:
            with system_log:
                yield tracker
        except (Interrupted, KeyboardInterrupt) as interruption:
            status = INTERRUPTED
            output.line(str(interruption) or "interrupted")
            raise
        except Exception as problem:
            status, error = FAILED, redact(traceback.format_exc(), secrets)
            output.line(error.rstrip())
            raise RunFailed(redact(_failure(directory, params, problem), secrets)) from problem
        finally:
            if alert:
                arrival.alert(directory, tracker, status, error, console)
            _close(directory, tracker, status, error, system_log.usage(), console)


def _open(
    directory: RunDirectory,
    where: session.Destination,
    mode: str,
    params: Mapping[str, Any],
    facts: Mapping[str, Any],
    console: Console,
) -> Tracker:
    """Write a run's parameters and facts, start its experiment, and say where both are."""
    write_json(directory.params_file, params)
    again = directory.run_file.exists()
    # What the first start wrote stands: a resumed run keeps its key, name, place and facts.
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
    # Before the experiment starts: a kill in between leaves a run that `list` shows and `recover` mends.
    directory.update_run(**({} if again else new), **now)
    if again:
        tracker = continuation.go_on(mode, directory, where, console.notice)
    else:
        segment = directory.new_segment()
        tracker = session.start_experiment(mode, directory.key, where, segment, console.notice)
    if not again or tracker.url:
        # Not what was asked for: a server that cannot be reached makes a run offline.
        directory.update_run(mode=tracker.mode, url=tracker.url)
    console.output.open(
        directory.console_file, lambda *line: tracker.log_message(messages.output_line(*line))
    )
    console.address(f"run {where.name}, {tracker.mode}: {tracker.url or directory.path}")
    return tracker


@contextlib.contextmanager
def _interruption_names(directory: RunDirectory) -> Iterator[None]:
    """Let an interruption tell whose it was."""
    try:
        yield
    except Interrupted as interruption:
        interruption.directory = directory
        raise


def _failure(directory: RunDirectory, params: Mapping[str, Any], problem: Exception) -> str:
    """Say what failed, and how to go on: a run of a program's own model or arrays needs that program."""
    first = (str(problem).strip().splitlines() or ["no message"])[0][:REASON_CHARACTERS]
    reason = (
        first
        if isinstance(problem, (*PLAIN_ERRORS, UserError, OwnCodeError))
        else f"{type(problem).__name__}: {first}"
    )
    by_program = "model" not in params or params.get("dataset") == "arrays"
    again = (
        "by train_and_evaluate(…, resume=RunDirectory(Path(…)))"
        if by_program
        else f"with: {command_on(directory.path, 'train', '--resume')}"
    )
    on = (
        f"go on from its last checkpoint {again}"
        if any(directory.checkpoints.glob("*.npz"))
        else "no epoch was finished, so there is nothing to go on from"
    )
    return (
        f"run {short(directory.key)} failed: {reason}; it is recorded all the same in {directory.path}; {on}"
    )


def _close(
    directory: RunDirectory,
    tracker: Tracker,
    status: str,
    error: str | None,
    usage: Mapping[str, Any],
    console: Console,
) -> None:
    # The progress bar owns the terminal; what closing says would be drawn over.
    console.stop()
    console.output.stop_telling()
    deadline = time.monotonic() + (INTERRUPTED_SECONDS if status == INTERRUPTED else END_SECONDS)
    tracker.log_others({f"{USAGE}{name}": value for name, value in usage.items()})
    tracker.log_other("run_status", status)
    if error:
        tracker.log_asset_data(error, name="traceback.txt")
    # The SDK was seen to wait for minutes, whatever its settings; what it leaves unsent is in the archive.
    kept_for_later = READ_BACK_SECONDS if status != INTERRUPTED else 0
    with contextlib.suppress(DeadlinePassed):
        within(deadline - time.monotonic() - kept_for_later, tracker.end)
    try:
        directory.update_run(status=status, ended=time.time(), error=error, usage=usage)
        if tracker.mode == session.DISABLED:
            return
        for sentence in archives.build_archive(directory):
            console.notice(sentence)
    except (OSError, UserError) as problem:
        console.notice(
            f"no archive ({problem}); later: {command_on(directory.path, 'experiment', 'recover')}"
        )
        return
    if tracker.mode == session.ONLINE:
        arrival.say_what_arrived(directory, deadline - time.monotonic(), console)
