"""The format of Comet's offline archives: a zip of ``experiment.json``, ``messages.json`` and files.

A line of ``messages.json`` is one message, a JSON object with its type and its payload; some name a file.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from experiment.store.files import DAMAGED, one_line, parse_json

Message = dict[str, Any]


def check_archive(path: Path) -> list[str]:
    """Return what is wrong with an archive, as sentences; an empty list for a sound one."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            wrong = [
                f"{name} is missing" for name in ("experiment.json", "messages.json") if name not in names
            ]
            if wrong:
                return wrong
            if broken := archive.testzip():
                return [f"{broken} is damaged"]
            parse_json(archive.read("experiment.json"), "its experiment.json")
            with archive.open("messages.json") as lines:
                for number, line in enumerate(lines, 1):
                    message = whole_message(line)
                    if message is None:
                        return [*wrong, f"message {number} is none that the SDK writes"]
                    file = message["payload"].get("file_path")
                    if file is not None and file not in names:
                        wrong.append(f"message {number} names {file}, which is missing")
            return wrong
    except DAMAGED as error:
        return [f"it cannot be read: {one_line(error)}"]


def write_messages(archive: zipfile.ZipFile, messages: Iterable[Message]) -> None:
    """Write the messages of an archive."""
    write_member(archive, "messages.json", "".join(json.dumps(message) + "\n" for message in messages))


def numbered(messages: Iterable[Message]) -> Iterator[Message]:
    """Yield messages with ids from 1 on, as the SDK numbers a run's: those of several segments collide."""
    for number, message in enumerate(messages, 1):
        message["payload"]["message_id"] = number
        yield message


def other_message(key: str, value: str) -> Message:
    """Return the message that logs a value of its own, an "other"."""
    return {"payload": {"key": key, "value": value}, "type": "log_other"}


def write_member(archive: zipfile.ZipFile, name: str, text: str) -> None:
    """Write a text into an archive, dated 1980 as all members: a clock may be before a zip's first year."""
    # Its size is not known ahead, and may pass 4 GB.
    with archive.open(name, "w", force_zip64=True) as file:
        file.write(text.encode())


def archived_messages(path: Path) -> Iterator[Message]:
    """Yield the messages of an archive in order, one at a time."""
    with zipfile.ZipFile(path) as archive, archive.open("messages.json") as lines:
        for line in lines:
            yield json.loads(line)


def whole_message(line: bytes) -> Message | None:
    """Parse a line of a journal; None where it is torn or lacks what messages of its kind have."""
    try:
        message = json.loads(line)
        # Identities become keys of a dict; one that holds a list would fail there, far from its line.
        hash(identity(message))
        file = message["payload"].get("file_path")
        return message if isinstance(message["type"], str) and isinstance(file, (str, type(None))) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def identity(message: Message) -> tuple[Any, ...]:
    """Return what two messages share when one replaces the other."""
    payload, kind = message["payload"], message["type"]
    if kind == "metric_msg":
        metric = payload["metric"]
        return (kind, payload.get("context"), metric["metricName"], metric.get("step"))
    if kind == "parameter_msg":
        return (kind, parameter_of(payload)["paramName"])
    if kind == "log_other":
        return (kind, payload["key"])
    if kind == "file_upload":
        details = payload.get("additional_params") or {}
        return (kind, payload.get("upload_type"), asset_name(payload), details.get("step"))
    # Of any other kind only an equal message is a repetition; the SDK numbers them anew each time.
    return (kind, json.dumps({key: value for key, value in payload.items() if key != "message_id"}))


def parameter_of(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a message says of its parameter: the SDK has a plural for lists."""
    found: Mapping[str, Any] = payload.get("param") or payload["params"]
    return found


def shown_name(payload: Mapping[str, Any]) -> str:
    """Return the name of a point's metric as Comet shows it, its context before it."""
    name, context = str(payload["metric"]["metricName"]), payload.get("context")
    return f"{context}_{name}" if context else name


def asset_name(payload: Mapping[str, Any]) -> str | None:
    """Return what a message calls its file."""
    details = payload.get("additional_params") or {}
    name: str | None = details.get("fileName") or details.get("figName")
    return name
