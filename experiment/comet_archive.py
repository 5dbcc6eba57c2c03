"""A Comet offline archive, ours or any that the SDK made, as a ``RunRecord``: read as a stream."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from experiment.curves import collect_curves, summarize_curves
from experiment.predictions import Predictions, read_predictions
from experiment.rundir import FAILED, FINISHED, Point, RunRecord

UNKNOWN = -1
PREDICTIONS = "predictions.npz"


@dataclasses.dataclass
class Contents:
    """What an archive tells beside points; ``files`` holds (member, kind) of each file, by its name."""

    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    others: dict[str, Any] = dataclasses.field(default_factory=dict)
    packages: list[str] = dataclasses.field(default_factory=list)
    files: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)


def read_archive(path: Path) -> RunRecord:
    """Read what an offline archive says of its run; of its files, none.

    Its messages pass one at a time; of a point 24 bytes are held until the results are summed up.

    Raises:
        ValueError: it is no whole archive of the SDK.
    """
    contents = Contents()
    try:
        curves = collect_curves(read_points(path, contents))
        with zipfile.ZipFile(path) as archive:
            described = json.loads(archive.read("experiment.json"))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"'{path}' is not a whole Comet archive: {error}") from None
    known = {
        "key": described.get("offline_id") or path.stem,
        "tags": described.get("tags") or [],
        "workspace": described.get("workspace"),
        "project": described.get("project_name"),
        "mode": "offline",
        "url": None,
        "started": (described.get("start_time") or 0) / 1000,
        "ended": (described.get("stop_time") or 0) / 1000 or None,
        "status": contents.others.get("run_status")
        or (FAILED if described.get("customer_error_reported") else FINISHED),
    }
    run = facts_from_others(contents.others, known)
    return RunRecord(
        *(run["key"], run["name"], run["status"], run["mode"], run, contents.params),
        summarize_curves(curves),
        str(path),
        points=lambda: read_points(path, Contents()),
        predictions=lambda: _predictions(path, contents),
    )


def facts_from_others(others: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of ``run.json`` as far as Comet's "others" tell them, beside what is known already.

    Others are flat: ``dataset_fingerprint``, ``git_commit``; a run that another tool made has none of them.
    """
    names = {"name": "dataset", "fingerprint": "dataset_fingerprint"}
    names |= {name: name for name in ("split_fingerprint", "test_fingerprint")}
    return {
        **known,
        "name": str(others.get("Name") or known["key"][:12]),
        "dataset": {field: others[other] for field, other in names.items() if other in others},
        "code_fingerprint": others.get("code_fingerprint"),
        "git": {"commit": others["git_commit"]} if "git_commit" in others else {},
    }


def read_points(path: Path, contents: Contents) -> Iterator[Point]:
    """Yield the points of an archive; what else it tells goes into ``contents``, all of it at the end."""
    counted: dict[str, int] = {}
    with zipfile.ZipFile(path) as archive, archive.open("messages.json") as stream:
        for message in _messages(stream):
            kind, payload = message["type"], message["payload"]
            if kind == "metric_msg":
                yield _point(payload, counted)
            elif kind == "parameter_msg":
                contents.params[payload["param"]["paramName"]] = payload["param"]["paramValue"]
            elif kind == "log_other":
                contents.others[payload["key"]] = payload["value"]
            elif kind == "installed_packages":
                contents.packages = payload["installed_packages"]
            elif kind == "file_upload":
                name = payload["additional_params"].get("fileName")
                contents.files[name] = payload["file_path"], payload["upload_type"]


def _messages(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    while lines := stream.readlines(1 << 18):  # many at once: parsing them singly takes twice as long
        yield from json.loads(b"[" + b",".join(lines) + b"]")


def _point(payload: Mapping[str, Any], counted: dict[str, int]) -> Point:
    metric = payload["metric"]
    name = shown_name(metric["metricName"], payload.get("context"))
    step, epoch = metric.get("step"), metric.get("epoch")
    if step is None:  # its place among the points of its name must do
        counted[name] = step = counted.get(name, UNKNOWN) + 1
    time = (payload.get("local_timestamp") or 0) / 1000
    return Point(
        name, float(metric["metricValue"]), int(step), UNKNOWN if epoch is None else int(epoch), time
    )


def shown_name(name: str, context: str | None) -> str:
    """Return a metric's name as Comet shows it, its context before it."""
    return f"{context}_{name}" if context else name


def _predictions(path: Path, contents: Contents) -> Predictions | None:
    if PREDICTIONS not in contents.files:
        return None
    with zipfile.ZipFile(path) as archive:
        return read_predictions(io.BytesIO(archive.read(contents.files[PREDICTIONS][0])))
