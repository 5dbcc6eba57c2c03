"""Runs as Comet's server knows them, as ``RunRecord``s: asked for in pages, under its rate limits."""

from __future__ import annotations

import functools
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from experiment.comet import tracker as tracking
from experiment.errors import UserError
from experiment.store.archive_reader import PREDICTIONS, UNKNOWN, facts_from_others
from experiment.store.curves import collect_curves, points_of, summarize_curves
from experiment.store.directory import FAILED, FINISHED, RUNNING, Point, RunRecord
from experiment.store.predictions import Predictions, read_predictions
from experiment.system import streams

PAGE = 100
# Comet allows an API key 15,000 requests an hour:
# comet.com/docs/v2/guides/experiment-management/limits-and-performance
FREE_REQUESTS = 5000
REQUESTS_PER_SECOND = 2.5  # after those, so that an hour never has more than 14,000
RETRIES, RETRY_SECONDS = 5, 60.0


class Server:
    """Comet's API, asked no faster than it allows; what goes wrong is one sentence without the API key.

    Args:
        place: what is asked for, as sentences name it: WORKSPACE/PROJECT, or a run's key.

    Raises:
        UserError: there is no API key, or the server's address is none.
    """

    def __init__(self, place: str) -> None:
        key = tracking.api_key()
        if not key:
            raise UserError(
                f"to look for '{place}' in Comet an API key is needed and none is set: put COMET_API_KEY=… "
                "into .env (see .env.example)"
            )
        self.place = place
        self._requests = 0
        tracking.server_address()
        self.api = self.ask(lambda: tracking.import_comet().API(api_key=key, cache=False))

    def ask(self, function: Callable[[], Any]) -> Any:
        """Return what a function that makes one request returns; a throttled one is repeated.

        Raises:
            UserError: the key or the place is refused, or Comet does not answer.
        """
        for _ in range(RETRIES):
            self._requests += 1
            if self._requests > FREE_REQUESTS:
                time.sleep(1 / REQUESTS_PER_SECOND)
            try:
                return function()
            except Exception as error:  # the SDK raises its own, requests' and everett's errors alike
                response = getattr(error, "response", None)
                if getattr(response, "status_code", None) != 429:
                    raise UserError(self._sentence(error)) from None
                self._wait(response)
        raise UserError("Comet goes on refusing requests for their rate: try again in an hour")

    def _wait(self, response: Any) -> None:
        headers = response.headers
        wanted = headers.get("Retry-After") or headers.get("Retry-After-Custom") or ""
        seconds = min(float(wanted), 600.0) if wanted.isdigit() else RETRY_SECONDS
        streams.tell(f"Comet asks to wait {seconds:.0f} s")
        time.sleep(seconds)

    def _sentence(self, error: Exception) -> str:
        kind, status = type(error).__name__, getattr(getattr(error, "response", None), "status_code", None)
        if "APIKey" in kind or kind == "Unauthorized" or status in (401, 403):
            return f"Comet refuses the API key, or it may not read '{self.place}' ({kind})"
        if status in (400, 404) or kind == "AttributeError":  # the SDK's own, at an empty answer
            return f"Comet has no '{self.place}' for this API key ({kind})"
        return f"Comet cannot be read ({kind})"


def fetch_runs(place: str, names: Sequence[str] = (), *, with_tags: bool = False) -> list[RunRecord]:
    """Read runs of a project from Comet, the newest first.

    Args:
        place: WORKSPACE/PROJECT.
        names: keys, beginnings of keys or names of runs; by default all.
        with_tags: read their tags, one request more each.

    Raises:
        UserError: a wrong place, key or name, or no answer.
    """
    workspace, _, project = place.partition("/")
    if not workspace or not project or "/" in project:
        raise UserError(f"--online '{place}' should be WORKSPACE/PROJECT")
    server = Server(place)
    found = _list(server, workspace, project)
    if not found:
        raise UserError(f"Comet has no runs in '{place}'")
    if names:
        found = [_choose(found, name, place) for name in names]
    return [_read(server, each, with_tags) for each in _shown(found)]


def _list(server: Server, workspace: str, project: str) -> list[Any]:
    """Return the API's experiments of a project; a server that knows no pages answers all at once."""
    found: dict[str, Any] = {}
    for page in range(1, 1_000_000):
        wanted = {"page": page, "page_size": PAGE, "sort_by": "startTime", "sort_order": "desc"}
        new = server.ask(functools.partial(server.api.get_experiments, workspace, project, **wanted))
        fresh = {each.key: each for each in new if each.key not in found}
        found |= fresh
        if len(fresh) < PAGE:
            break
    return list(found.values())


def _choose(found: Iterable[Any], name: str, place: str) -> Any:
    matching = [each for each in found if each.key.startswith(name)]
    matching = matching or [each for each in found if each.name == name]
    if len(matching) != 1:
        several = ", ".join(each.key[:12] for each in matching)
        raise UserError(
            f"run '{name}' is not unique in '{place}': {several}"
            if matching
            else f"no run '{name}' in '{place}'"
        )
    return matching[0]


def _shown(found: Sequence[Any]) -> Iterable[Any]:
    """Yield each with a progress bar, where somebody looks."""
    if not streams.is_terminal():
        return found
    from rich.progress import track

    return track(found, "reading from Comet", console=streams.terminal(), transient=True)


def _read(server: Server, experiment: Any, with_tags: bool) -> RunRecord:
    others = values(server.ask(experiment.get_others_summary))
    params = {
        name: typed(value) for name, value in values(server.ask(experiment.get_parameters_summary)).items()
    }
    curves = collect_curves(map(point, server.ask(experiment.get_metrics)))
    known = {
        "key": experiment.key,
        "tags": server.ask(experiment.get_tags) if with_tags else [],
        "workspace": experiment.workspace,
        "project": experiment.project_name,
        "mode": "online",
        "url": experiment.url,
        "started": (experiment.start_server_timestamp or 0) / 1000,
        "ended": (experiment.end_server_timestamp or 0) / 1000 or None,
        "status": others.get("run_status") or _state(server.ask(experiment.get_metadata)),
    }
    run = facts_from_others({"Name": experiment.name} | others, known)
    return RunRecord(
        *(run["key"], run["name"], run["status"], run["mode"], run, params),
        summarize_curves(curves),
        experiment.url,
        points=lambda: points_of(curves),
        predictions=lambda: _predictions(server, experiment),
    )


def _state(metadata: Mapping[str, Any]) -> str:
    """Return the status of a run that did not log one."""
    if metadata.get("hasCrashed"):
        return FAILED
    return RUNNING if metadata.get("running") else FINISHED


def values(summary: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the current value of each name in a summary, as the API returns it."""
    return {each["name"]: each["valueCurrent"] for each in summary}


def typed(text: Any) -> Any:
    """Return the number or truth value that the server's text stands for; other text as it is."""
    if not isinstance(text, str):
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if number == number and "_" not in text else text
    return text


def point(metric: Mapping[str, Any]) -> Point:
    """Return a point of a metric as the API returns it; what it does not tell of step or epoch is UNKNOWN."""
    step, epoch = metric.get("step"), metric.get("epoch")
    return Point(
        metric["metricName"],
        float(metric["metricValue"]),
        UNKNOWN if step is None else int(step),
        UNKNOWN if epoch is None else int(epoch),
        (metric.get("timestamp") or 0) / 1000,
    )


def _predictions(server: Server, experiment: Any) -> Predictions | None:
    assets = server.ask(experiment.get_asset_list)
    identity = next((each["assetId"] for each in assets if each["fileName"] == PREDICTIONS), None)
    if identity is None:
        return None
    content = server.ask(lambda: experiment.get_asset(identity))
    return read_predictions(io.BytesIO(content))
