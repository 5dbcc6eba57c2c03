"""Start an experiment: online, offline or disabled, and offline where Comet cannot be reached."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from experiment.comet.settings import api_key, import_comet, server_address
from experiment.comet.tracker import ONLINE, Tracker
from experiment.errors import UserError
from experiment.store.labels import check_length
from experiment.system.deadline import DeadlinePassed, answers, within
from experiment.system.parser import command_on

AUTO, OFFLINE, DISABLED = "auto", "offline", "disabled"
MODES = (AUTO, ONLINE, OFFLINE, DISABLED)
# Together with the handshake 8.5 s at most: that long training may wait for a server that is silent.
PROBE_SECONDS = 3.0
HANDSHAKE_SECONDS = 5.5
PROJECT = "keras-image-classifiers"

NO_KEY = (
    "mode = 'online' needs a Comet API key and none is set: put COMET_API_KEY=… into .env "
    "(see .env.example), or take --mode offline"
)


@dataclasses.dataclass(frozen=True)
class Destination:
    """Where in Comet a run belongs, and how it is called there."""

    workspace: str | None
    project: str
    name: str
    tags: Sequence[str]


def resolve_mode(mode: str) -> str:
    """Turn ``auto`` into online where an API key is configured, else offline.

    Raises:
        UserError: online without an API key, or with an address that is none.
    """
    if mode == AUTO:
        mode = ONLINE if api_key() else OFFLINE
    if mode == ONLINE:
        if not api_key():
            raise UserError(NO_KEY)
        server_address()
    return mode


def destination(name: str, tags: Sequence[str], workspace: str | None, project: str | None) -> Destination:
    """Complete a destination from what the SDK is configured with.

    Raises:
        UserError: a name or tag is too long: it would be cut somewhere on its way.
    """
    for kind, text in (("name", name), *(("tag", tag) for tag in tags)):
        check_length(kind, text)
    config = import_comet().config.get_config()
    return Destination(
        workspace or config["comet.workspace"] or None,
        project or config["comet.project_name"] or PROJECT,
        name,
        tuple(tags),
    )


def new_key() -> str:
    """Make an experiment key: 40 hexadecimal digits."""
    return os.urandom(20).hex()


def start_experiment(
    mode: str,
    key: str,
    where: Destination,
    segment: Path,
    notify: Callable[[str], None],
    *,
    again: bool = False,
) -> Tracker:
    """Start the experiment ``key``; where Comet can't be reached the run goes on offline, after a notice.

    Args:
        mode: online, offline or disabled.
        key: 32 to 50 letters and digits; the same for every process that works on the run.
        where: its place and name in Comet.
        segment: the folder for this process's journal and archive, ``runs/KEY/comet/segments/N``.
        notify: called with one sentence for each thing that the user should know.
        again: go on with it: online, Comet has the run.
    """
    _hear_warnings(notify)
    if mode == ONLINE:
        try:
            return Tracker(_start_online(key, where, segment, again), ONLINE, notify, replaces=again)
        except ConnectionError as error:
            tell_offline(segment.parents[2], str(error), notify)
            mode = OFFLINE
    experiment = _start(key, where, segment, online=False, disabled=mode == DISABLED)
    if mode == OFFLINE:
        # The streamer otherwise sleeps a second in end(); a test pins these private names.
        experiment.streamer.queue_timeout = experiment.streamer._wait_for_finish_sleep_interval = 0.05
    return Tracker(experiment, mode, notify, replaces=again)


def tell_offline(directory: Path, reason: str, notify: Callable[[str], None]) -> None:
    """Tell why a run that was to be tracked online is not, and how to send it."""
    later = command_on(directory, "experiment", "upload")
    notify(f"tracking offline: {reason}; send the run later: {later}")


def _start_online(key: str, where: Destination, segment: Path, again: bool) -> Any:
    """Start online.

    Raises:
        ConnectionError: one clause saying why it cannot be.
    """
    comet_ml = import_comet()
    server = urllib.parse.urljoin(server_address(), "isAlive/ver")
    host = urllib.parse.urlsplit(server).netloc.rpartition("@")[2]
    silence = f"Comet's server at {host} does not answer"
    if not answers(server, PROBE_SECONDS):
        raise ConnectionError(silence)
    # Apart from the offline segment, in case the SDK comes back after we have gone on without it.
    folder = segment / ONLINE
    folder.mkdir()
    try:
        # On a thread: the SDK's own time limits add up to half a minute.
        started = within(
            HANDSHAKE_SECONDS, lambda: _start(key, where, folder, online=True, disabled=False, again=again)
        )
    except DeadlinePassed:
        comet_ml.config.set_global_experiment(None)  # or the next start would wait for this one to end
        raise ConnectionError(silence) from None
    except Exception as error:  # the SDK raises its own and requests' errors alike
        about_key = "APIKey" in type(error).__name__ or type(error).__name__ == "Unauthorized"
        reason = "refuses the API key" if about_key else "does not take the run"
        raise ConnectionError(f"Comet {reason} ({type(error).__name__})") from None
    # The SDK returns an experiment even then, whose every call does nothing.
    if not started.alive:
        started.end()
        raise ConnectionError("Comet does not take the run: wrong API key or workspace, or its server ails")
    return started


def _start(
    key: str, where: Destination, segment: Path, *, online: bool, disabled: bool, again: bool = False
) -> Any:
    comet_ml = import_comet()
    config = comet_ml.ExperimentConfig(
        disabled=disabled,
        # Of a run that Comet has, name and tags may have been changed there since.
        name=None if again else where.name,
        tags=None if again else list(where.tags),
        offline_directory=str(segment),
        # The run logs all of it itself, complete and redacted; what the SDK adds costs a second at the end.
        log_code=False,
        log_graph=False,
        log_env_details=False,
        log_git_metadata=False,
        log_git_patch=False,
        parse_args=False,
        auto_output_logging=False,
        auto_param_logging=False,
        auto_metric_logging=False,
        display_summary_level=0,
    )
    with _temporary_files_in(segment):
        return comet_ml.start(
            experiment_key=key,
            workspace=where.workspace,
            project_name=where.project,
            # Never "get_or_create", which would mix two runs if a key were used twice.
            mode="get" if again else "create",
            online=online,
            experiment_config=config,
        )


def reopen(key: str, folder: Path) -> Any:
    """Start the SDK's experiment of a run that Comet has once more, to log what its run could not.

    Raises:
        Exception: the SDK's own: Comet does not have it, does not answer, or refuses.
    """
    experiment = _start(
        key, Destination(None, PROJECT, "", ()), folder, online=True, disabled=False, again=True
    )
    if not experiment.alive:
        raise ConnectionError("Comet does not take the run")
    return experiment


class _Notices(logging.Handler):
    """Turns the SDK's warnings and errors into notices."""

    def __init__(self, notify: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._notify = notify

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on, as one line."""
        self._notify(f"Comet: {' '.join(record.getMessage().split())}")


def _hear_warnings(notify: Callable[[str], None]) -> None:
    import_comet()
    logger = logging.getLogger("comet_ml")
    # Of an earlier run in this process: its console would hear this run's warnings.
    for handler in [handler for handler in logger.handlers if isinstance(handler, _Notices)]:
        logger.removeHandler(handler)
    logger.addHandler(_Notices(notify))


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Let the SDK make its temporary folder, the journal of a killed run, in the run directory."""
    before = tempfile.tempdir
    # The SDK's constructor has no argument for it.
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
