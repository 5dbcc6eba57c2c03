"""A Comet offline archive, ours or any that the SDK made, as a ``RunRecord``: read as a stream."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import Field

from experiment.errors import UserError
from experiment.store.archive_format import parameter_of, shown_name
from experiment.store.curves import collect_curves, summarize_curves
from experiment.store.files import DAMAGED, INTEGERS, DamagedFile, Schema, one_line, parse_json
from experiment.store.journal import UNKNOWN, Point
from experiment.store.others import PATCH, PREDICTIONS, SOURCE_CODE, facts_from_others, sha256
from experiment.store.predictions import Predictions, read_predictions
from experiment.store.record import ARCHIVE, FAILED, FINISHED, RunRecord


@dataclasses.dataclass
class Contents:
    """What an archive tells beside points; ``files`` holds (member, kind) of each file, by its name."""

    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    others: dict[str, Any] = dataclasses.field(default_factory=dict)
    packages: list[str] = dataclasses.field(default_factory=list)
    files: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)


class _Experiment(Schema):
    """What of ``experiment.json`` is read, as far as the SDK's version wrote it."""

    offline_id: str | None = None
    project_name: str | None = None
    workspace: str | None = None
    tags: list[str] | None = None
    # Milliseconds since 1970; the years that calendars know, roughly.
    start_time: Annotated[float, Field(ge=-6e13, le=2.5e14)] | None = None
    stop_time: Annotated[float, Field(ge=-6e13, le=2.5e14)] | None = None
    customer_error_reported: bool | None = None


def read_archive(path: Path) -> RunRecord:
    """Read what an offline archive says of its run; of its files, none.

    Its messages pass one at a time; of a point 24 bytes are held until the results are summed up.

    Raises:
        UserError: it is no whole archive of the SDK.
    """
    contents = Contents()
    described = read_description(path)
    curves = collect_curves(read_points(path, contents))
    # Without a key of its own, an archive of the classic SDK goes by its file's name.
    known = {
        "key": described.get("offline_id") or path.stem,
        "tags": described.get("tags") or [],
        "workspace": described.get("workspace"),
        "project": described.get("project_name"),
        "mode": "offline",
        "url": None,
        "started": (described.get("start_time") or 0) / 1000,
        "ended": (described.get("stop_time") or 0) / 1000 or None,
        "status": str(
            contents.others.get("run_status")
            or (FAILED if described.get("customer_error_reported") else FINISHED)
        ),
    }
    run = facts_from_others(contents.others, contents.packages, known)
    return RunRecord(
        *(run["key"], run["name"], run["status"], run["mode"], run, contents.params),
        summarize_curves(curves),
        str(path),
        points=lambda: read_points(path, Contents()),
        predictions=lambda: _predictions(path, contents),
        kind=ARCHIVE,
        code=lambda: _code(path, contents),
        patch=lambda: _patch(path, contents),
        file=lambda name: _read_file(path, contents, name),
    )


def read_description(path: Path) -> dict[str, Any]:
    """Read an archive's ``experiment.json``: key, times, tags, where it belongs.

    Raises:
        DamagedFile: it is no whole archive of the SDK.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        return parse_json(archive.read("experiment.json"), "its experiment.json", _Experiment)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
        raise DamagedFile(f"'{path}' is not a whole Comet archive: {one_line(error)}") from None


def read_sources(path: Path) -> tuple[dict[str, str], str]:
    """Return SHA-256 of each file of a run's code, by its name, and the patch of what was not committed.

    Raises:
        UserError: it is no whole archive of the SDK.
    """
    contents = Contents()
    # Consumes the points; `contents` is complete only when all messages have passed.
    collections.deque(read_points(path, contents), maxlen=0)
    return _code(path, contents), _patch(path, contents)


def read_points(path: Path, contents: Contents) -> Iterator[Point]:
    """Yield the points of an archive; what else it tells goes into ``contents``, all of it at the end.

    Raises:
        DamagedFile: it is no whole archive of the SDK.
    """
    counted: dict[str, int] = {}
    number = 0
    with _reading(path), zipfile.ZipFile(path) as archive, archive.open("messages.json") as stream:
        for number, message in enumerate(_messages(stream), 1):
            try:
                kind, payload = message["type"], message["payload"]
                if kind == "metric_msg":
                    point = _point(payload, counted)
                else:
                    _take(kind, payload, contents)
                    continue
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                raise UserError(f"message {number} is none that the SDK writes: {error!r}") from None
            yield point


def _take(kind: str, payload: Mapping[str, Any], contents: Contents) -> None:
    """Put what a message tells, if it is no point, into contents."""
    if kind == "parameter_msg":
        param = parameter_of(payload)
        contents.params[str(param["paramName"])] = _plain(param["paramValue"])
    elif kind == "log_other":
        contents.others[str(payload["key"])] = _plain(payload["value"])
    elif kind == "installed_packages":
        contents.packages = [str(package) for package in payload["installed_packages"]]
    elif kind == "file_upload":
        name = (payload.get("additional_params") or {}).get("fileName")
        contents.files[str(name)] = str(payload["file_path"]), str(payload.get("upload_type"))


def _plain(value: Any) -> Any:
    """Return a number, text, boolean or nothing as it is, anything else as text."""
    # Beyond 64 bits no table or number of JavaScript holds it exactly anyway.
    if isinstance(value, int) and value not in INTEGERS:
        return float(value)
    return (
        value if isinstance(value, (str, int, float, type(None))) else json.dumps(value, ensure_ascii=False)
    )


def _messages(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    while lines := stream.readlines(1 << 18):  # many at once: parsing them singly takes twice as long
        yield from json.loads(b"[" + b",".join(lines) + b"]")


def _point(payload: Mapping[str, Any], counted: dict[str, int]) -> Point:
    metric = payload["metric"]
    name = shown_name(payload)
    step, epoch = metric.get("step"), metric.get("epoch")
    if step is None:  # its place among the points of its name must do
        counted[name] = step = counted.get(name, UNKNOWN) + 1
    step, epoch = int(step), UNKNOWN if epoch is None else int(epoch)
    if step not in INTEGERS or epoch not in INTEGERS:
        raise UserError(f"step = {step}, epoch = {epoch}")
    time = (payload.get("local_timestamp") or 0) / 1000
    return Point(name, float(metric["metricValue"]), step, epoch, time)


def _predictions(path: Path, contents: Contents) -> Predictions | None:
    content = _read_file(path, contents, PREDICTIONS)
    if content is None:
        return None
    return read_predictions(io.BytesIO(content), f"{PREDICTIONS} in '{path}'")


def _code(path: Path, contents: Contents) -> dict[str, str]:
    members = {name: member for name, (member, kind) in contents.files.items() if kind == SOURCE_CODE}
    with _reading(path), zipfile.ZipFile(path) as archive:
        return {name: sha256(archive.read(member)) for name, member in members.items()}


def _patch(path: Path, contents: Contents) -> str:
    return (_read_file(path, contents, PATCH) or b"").decode(errors="replace")


def _read_file(path: Path, contents: Contents, name: str) -> bytes | None:
    """Return what a file in an archive holds, None where the archive has none of that name."""
    if name not in contents.files:
        return None
    with _reading(path), zipfile.ZipFile(path) as archive:
        return archive.read(contents.files[name][0])
