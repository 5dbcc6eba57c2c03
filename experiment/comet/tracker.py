"""Start a Comet experiment online, offline or disabled, and always end it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.client
import logging
import os
import tempfile
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiment.comet.settings import api_key, import_comet, server_address
from experiment.errors import UserError
from experiment.system.parser import command_on

AUTO, ONLINE, OFFLINE, DISABLED = MODES = ("auto", "online", "offline", "disabled")
PROBE_SECONDS = 3.0
HANDSHAKE_SECONDS = 5.5
NAME_CHARACTERS = 100
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


class Tracker:
    """Comet's experiment, with failures of its logging methods turned into notices.

    A run must not end for a tracker's sake, and what could not be logged must not stay unsaid.
    """

    def __init__(self, experiment: Any, mode: str, notify: Callable[[str], None]) -> None:
        self.experiment = experiment
        self.mode = mode
        self.notify = notify

    @property
    def url(self) -> str | None:
        """The run's page in Comet, None where there is none yet."""
        return self.experiment.url if self.mode == ONLINE else None

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.experiment, name)
        if not name.startswith(("log_", "add_", "set_", "register_", "end")):
            return attribute

        @functools.wraps(attribute)
        def guarded(*arguments: Any, **named: Any) -> Any:
            try:
                return attribute(*arguments, **named)
            except Exception as error:
                self.notify(f"Comet did not take {name}: {type(error).__name__}: {error}")

        return guarded


class LoggedParameters:
    """Logs the parameters of a run and reads them back, keeping account of which were read.

    Those in ``optional`` are logged when they are first read: a model of the user's own may read some of the
    stock models' parameters, or none.
    """

    def __init__(self, tracker: Tracker, params: Mapping[str, Any], optional: Collection[str] = ()) -> None:
        self.tracker = tracker
        self._optional = {name: params[name] for name in optional if name in params}
        self._logged = {name: value for name, value in params.items() if name not in self._optional}
        self._read: set[str] = set()
        tracker.log_parameters(self._logged)

    def get_parameter(self, name: str) -> Any:
        """Read a logged value back from the experiment.

        Raises:
            KeyError: it was not logged: the run would depend on a value that nobody can see.
        """
        if name in self._optional:
            self._logged[name] = self._optional.pop(name)
            self.tracker.log_parameter(name, self._logged[name])
        if name not in self._logged:
            raise KeyError(f"parameter '{name}' is read but not logged: it does not apply to this run")
        self._read.add(name)
        return self.tracker.experiment.get_parameter(name)

    def logged(self) -> dict[str, Any]:
        """Return what was logged."""
        return dict(self._logged)

    def unread(self) -> list[str]:
        """Return the names of what was logged and never read."""
        return sorted(set(self._logged) - self._read)


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
        UserError: a name or tag is longer than NAME_CHARACTERS: it would be cut somewhere on its way.
    """
    for kind, text in (("name", name), *(("tag", tag) for tag in tags)):
        if len(text) > NAME_CHARACTERS:
            raise UserError(
                f"{kind} = '{text[:20]}…' has {len(text)} characters; at most {NAME_CHARACTERS} are allowed"
            )
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
    mode: str, key: str, where: Destination, segment: Path, notify: Callable[[str], None]
) -> Tracker:
    """Start the experiment ``key``; where Comet can't be reached the run goes on offline, after a notice.

    Args:
        mode: online, offline or disabled.
        key: 32 to 50 letters and digits; the same for every process that works on the run.
        where: its place and name in Comet.
        segment: the folder for this process's journal and archive, ``runs/KEY/comet/segments/N``.
        notify: called with one sentence for each thing that the user should know.
    """
    _hear_warnings(notify)
    if mode == ONLINE:
        try:
            return Tracker(_start_online(key, where, segment), ONLINE, notify)
        except ConnectionError as error:
            later = command_on(segment.parents[2], "experiment", "upload")
            notify(f"tracking offline: {error}; send the run later: {later}")
            mode = OFFLINE
    experiment = _start(key, where, segment, online=False, disabled=mode == DISABLED)
    if mode == OFFLINE:
        # The streamer otherwise sleeps a second in end(); a test pins these private names.
        experiment.streamer.queue_timeout = experiment.streamer._wait_for_finish_sleep_interval = 0.05
    return Tracker(experiment, mode, notify)


def _start_online(key: str, where: Destination, segment: Path) -> Any:
    """Start online.

    Raises:
        ConnectionError: one clause saying why it cannot be.
    """
    comet_ml = import_comet()
    server = urllib.parse.urljoin(server_address(), "isAlive/ver")
    host = urllib.parse.urlsplit(server).netloc.rpartition("@")[2]
    silence = f"Comet's server at {host} does not answer"
    probe = _within(PROBE_SECONDS, lambda: _answers(server))
    if not probe or not probe[0]:
        raise ConnectionError(silence)
    # Apart from the offline segment, in case the SDK comes back after we have gone on without it.
    folder = segment / ONLINE
    folder.mkdir()
    try:
        started = _within(HANDSHAKE_SECONDS, lambda: _start(key, where, folder, online=True, disabled=False))
    except Exception as error:  # the SDK raises its own and requests' errors alike
        about_key = "APIKey" in type(error).__name__ or type(error).__name__ == "Unauthorized"
        reason = "refuses the API key" if about_key else "does not take the run"
        raise ConnectionError(f"Comet {reason} ({type(error).__name__})") from None
    if not started:
        comet_ml.config.set_global_experiment(None)  # or the next start would wait for this one to end
        raise ConnectionError(silence)
    if not started[0].alive:
        started[0].end()
        raise ConnectionError("Comet does not take the run: wrong API key or workspace, or its server ails")
    return started[0]


def _within(seconds: float, function: Callable[[], Any]) -> list[Any]:
    """Call a function on a thread; return its result in a list, empty if it took longer than that.

    The thread is left behind then: the SDK's own time limits add up to half a minute.
    """
    results: list[Any] = []
    errors: list[Exception] = []

    def call() -> None:
        try:
            results.append(function())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return list(results)


def _start(key: str, where: Destination, segment: Path, *, online: bool, disabled: bool) -> Any:
    comet_ml = import_comet()
    config = comet_ml.ExperimentConfig(
        disabled=disabled,
        name=where.name,
        tags=list(where.tags),
        offline_directory=str(segment),
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
            mode="create",
            online=online,
            experiment_config=config,
        )


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
    for handler in [handler for handler in logger.handlers if isinstance(handler, _Notices)]:
        logger.removeHandler(handler)
    logger.addHandler(_Notices(notify))


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Let the SDK make its temporary folder, the journal of a killed run, in the run directory."""
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _answers(url: str) -> bool:
    """Tell whether a server answers at all."""
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as response:
            return response.status == 200
    except (OSError, ValueError, http.client.HTTPException):
        return False
