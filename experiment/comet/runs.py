"""Runs as Comet's server knows them, as ``RunRecord``s; those of a project are asked for in pages."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiment.comet.server import Server
from experiment.errors import UserError
from experiment.store.curves import collect_curves, points_of, summarize_curves
from experiment.store.journal import UNKNOWN, Point
from experiment.store.others import PATCH, PREDICTIONS, SOURCE_CODE, facts_from_others, sha256
from experiment.store.predictions import Predictions, read_predictions
from experiment.store.record import COMET, FAILED, FINISHED, RUNNING, RunRecord
from experiment.system import streams
from experiment.system.names import short

PAGE = 100


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


def fetch_run(key: str) -> RunRecord:
    """Read one run from Comet by its whole key, with its tags and packages.

    Raises:
        UserError: there is no API key, no such run, or no answer.
    """
    server = Server(key)
    found = server.find(key)
    if found is None:
        raise UserError(f"run '{key}' is neither here nor in Comet")
    return _read(server, found, with_tags=True, with_packages=True)


def _list(server: Server, workspace: str, project: str) -> list[Any]:
    """Return the API's experiments of a project; a server that knows no pages answers all at once."""
    found: dict[str, Any] = {}
    for page in range(1, 1_000_000):
        wanted = {"page": page, "page_size": PAGE, "sort_by": "startTime", "sort_order": "desc"}
        new = server.ask(functools.partial(server.api.get_experiments, workspace, project, **wanted))
        # A run that starts meanwhile shifts the pages: some runs come twice.
        fresh = {each.key: each for each in new if each.key not in found}
        found |= fresh
        if len(fresh) < PAGE:
            break
    return list(found.values())


def _choose(found: Iterable[Any], name: str, place: str) -> Any:
    matching = [each for each in found if each.key.startswith(name)]
    matching = matching or [each for each in found if each.name == name]
    if len(matching) != 1:
        several = ", ".join(short(each.key) for each in matching)
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


def _read(server: Server, experiment: Any, with_tags: bool, with_packages: bool = False) -> RunRecord:
    others = _values(server.ask(experiment.get_others_summary))
    params = {
        name: _typed(value) for name, value in _values(server.ask(experiment.get_parameters_summary)).items()
    }
    curves = collect_curves(map(_point, server.ask(experiment.get_metrics)))
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
    packages = (server.ask(experiment.get_installed_packages) or []) if with_packages else []
    run = facts_from_others({"Name": experiment.name} | others, packages, known)
    assets = functools.cache(lambda: server.ask(experiment.get_asset_list))
    return RunRecord(
        *(run["key"], run["name"], run["status"], run["mode"], run, params),
        summarize_curves(curves),
        experiment.url,
        points=lambda: points_of(curves),
        predictions=lambda: _predictions(_read_file(server, experiment, assets(), PREDICTIONS)),
        kind=COMET,
        code=lambda: _code(server, experiment, assets()),
        patch=lambda: (_read_file(server, experiment, assets(), PATCH) or b"").decode(errors="replace"),
        file=lambda name: _read_file(server, experiment, assets(), name),
    )


def _state(metadata: Mapping[str, Any]) -> str:
    """Return the status of a run that did not log one."""
    if metadata.get("hasCrashed"):
        return FAILED
    return RUNNING if metadata.get("running") else FINISHED


def _values(summary: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the current value of each name in a summary, as the API returns it."""
    return {each["name"]: each["valueCurrent"] for each in summary}


def _typed(text: Any) -> Any:
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
        # Python reads 1_000 as a number, and nan as one that equals nothing: both were texts.
        return number if number == number and "_" not in text else text
    return text


def _point(metric: Mapping[str, Any]) -> Point:
    """Return a point of a metric as the API returns it; what it does not tell of step or epoch is UNKNOWN."""
    step, epoch = metric.get("step"), metric.get("epoch")
    return Point(
        metric["metricName"],
        float(metric["metricValue"]),
        UNKNOWN if step is None else int(step),
        UNKNOWN if epoch is None else int(epoch),
        (metric.get("timestamp") or 0) / 1000,
    )


def _predictions(content: bytes | None) -> Predictions | None:
    return None if content is None else read_predictions(io.BytesIO(content), f"{PREDICTIONS} in Comet")


def _code(server: Server, experiment: Any, assets: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    files = {each["fileName"]: each["assetId"] for each in assets if each["type"] == SOURCE_CODE}
    return {name: sha256(_content(server, experiment, identity)) for name, identity in files.items()}


def _read_file(
    server: Server, experiment: Any, assets: Iterable[Mapping[str, Any]], name: str
) -> bytes | None:
    """Return what a file of a run holds, None where Comet has none of that name."""
    identity = next((each["assetId"] for each in assets if each["fileName"] == name), None)
    return None if identity is None else _content(server, experiment, identity)


def _content(server: Server, experiment: Any, identity: str) -> bytes:
    content: bytes = server.ask(lambda: experiment.get_asset(identity))
    return content
