"""What Comet has of a run, and which messages of its archive tell what Comet lacks."""

from __future__ import annotations

import dataclasses
import functools
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from experiment.comet.server import Server
from experiment.errors import UserError
from experiment.store.archive_format import Message, asset_name, parameter_of, shown_name
from experiment.store.console_log import OUTPUT, lines_of, take_lines
from experiment.store.others import NAME, NOTE


@dataclasses.dataclass(frozen=True)
class Holdings:
    """What Comet has of a run: parameters, others with values, points (name, step), assets, tags, its page.

    Assets are ids and (name, bytes).
    """

    parameters: frozenset[str] = frozenset()
    others: Mapping[str, str] = dataclasses.field(default_factory=dict)
    points: frozenset[tuple[str, int | None]] = frozenset()
    assets: frozenset[Any] = frozenset()
    tags: frozenset[str] = frozenset()
    url: str | None = None
    output: Callable[[], Counter[str] | None] = Counter  # None where the server does not show it


# Others that change after a run told Comet of them: for these alone it counts what Comet's value is.
_CHANGING = ("run_status", NAME, NOTE)


def fetch_holdings(server: Server, key: str) -> Holdings | None:
    """Read back what Comet has of a run; None where it has no such run.

    Raises:
        UserError: the API key or the server's address is wrong, or Comet does not answer.
    """
    found = server.find(key)
    if found is None:
        return None
    return Holdings(
        server.ask(lambda: frozenset(each["name"] for each in found.get_parameters_summary())),
        server.ask(lambda: {each["name"]: str(each["valueCurrent"]) for each in found.get_others_summary()}),
        server.ask(
            lambda: frozenset((each["metricName"], _step(each.get("step"))) for each in found.get_metrics())
        ),
        server.ask(
            lambda: frozenset(
                identity
                for each in found.get_asset_list()
                # By either: what was uploaded in another way has another id, but the same name and size.
                for identity in (each["assetId"], (each["fileName"], int(each["fileSize"])))
            )
        ),
        server.ask(lambda: frozenset(found.get_tags() or ())),
        found.url,
        lambda: _output(server, found),
    )


def _output(server: Server, found: Any) -> Counter[str] | None:
    try:
        return lines_of(server.ask(found.get_output) or "")
    except UserError:
        return None


def _step(value: Any) -> int | None:
    return None if value is None else int(value)


def missing_from(messages: Iterable[Message], has: Holdings | None, archive: Path) -> list[Message]:
    """Return the messages that Comet lacks; kinds that can't be read back are sent the first time only."""
    if has is None:
        return list(messages)
    with zipfile.ZipFile(archive) as stored:
        sizes = {info.filename: info.file_size for info in stored.infolist()}
    output = functools.cache(has.output)
    missing = []
    for message in messages:
        payload, kind = message["payload"], message["type"]
        if kind == "parameter_msg":
            there = parameter_of(payload)["paramName"] in has.parameters
        elif kind == "log_other":
            there = _is_told(payload["key"], str(payload["value"]), has.others)
        elif kind == "metric_msg":
            there = (shown_name(payload), _step(payload["metric"].get("step"))) in has.points
        elif kind == "file_upload":
            details = payload.get("additional_params") or {}
            identity = (asset_name(payload), sizes[payload["file_path"]])
            there = (details.get("assetId") or details.get("imageId")) in has.assets or identity in has.assets
        elif kind == OUTPUT and (waiting := output()) is not None:
            # Counted, not in order: of what is sent together, the SDK sends stdout's lines first.
            there = take_lines(payload["output"], waiting)
        else:
            # The API does not show them, so sending again could only double them.
            there = True
        if not there:
            missing.append(message)
    return missing


def _is_told(key: str, value: str, others: Mapping[str, str]) -> bool:
    if key in _CHANGING and key in others:
        return others[key].strip() == value.strip()
    return key in others or (key == NOTE and not value)


def message_text(message: Message) -> str:
    """Return what a message tells of, in words: 'parameter seed'."""
    payload = message["payload"]
    return {
        "parameter_msg": lambda: f"parameter {parameter_of(payload)['paramName']}",
        "metric_msg": lambda: f"metric {shown_name(payload)}",
        "log_other": lambda: f"other {payload['key']}",
        "file_upload": lambda: f"asset {asset_name(payload)}",
        OUTPUT: lambda: "lines of output",
    }.get(message["type"], lambda: message["type"])()
