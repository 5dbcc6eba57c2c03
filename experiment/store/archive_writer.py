"""Comet's offline archive of a run: built from the journals of all its segments, and checked.

Each process that worked on a run left a segment: a finished zip, or, if it was
killed, the SDK's temporary folder with the same messages and files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import shutil
import uuid
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from experiment.errors import UserError
from experiment.store.archive_format import (
    Message,
    check_archive,
    identity,
    numbered,
    other_message,
    whole_message,
    write_member,
    write_messages,
)
from experiment.store.archive_labels import label_messages
from experiment.store.console_log import OUTPUT, output_messages, read_console_log
from experiment.store.directory import RunDirectory
from experiment.store.files import atomic_path, finite_or_text
from experiment.store.journal import UNKNOWN, Point, read_metrics, read_system_metrics
from experiment.store.record import INTERRUPTED, RUNNING, read_params, read_run

TEST_PREFIX = "test_"


@dataclasses.dataclass
class Segment:
    """What one process left: messages in order, and how to open the files they name."""

    messages: list[Message]
    open_file: Callable[[str], IO[bytes]]
    has_file: Callable[[str], bool]


def recover(directory: RunDirectory) -> list[str]:
    """Build the archive of a run from whatever its processes left, and mark a dead run interrupted.

    Doing it again changes nothing.

    Returns:
        Sentences about what is missing; empty when nothing is.

    Raises:
        UserError: the run is alive, or its directory cannot be read or written to.
    """
    with directory.exclusive():
        run = read_run(directory.path)
        try:
            if run["status"] == RUNNING:
                points = read_metrics(directory.metrics_file)
                # Killed some time after its last point: that is the best that anyone knows of its end.
                last = max((point.time for point in points), default=run.get("started"))
                directory.update_run(status=INTERRUPTED, ended=last)
            return build_archive(directory)
        except OSError as error:
            raise UserError(f"'{directory.archive}' cannot be written: {error.strerror or error}") from None


def build_archive(directory: RunDirectory) -> list[str]:
    """Build ``comet/<key>.zip`` from all segments, the metrics journal and the parameters; check it.

    Returns:
        Sentences about assets that are missing; empty when nothing is.

    Raises:
        OSError: it could not be written whole; an earlier archive is untouched.
        UserError: ``run.json`` or ``params.json`` is damaged.
    """
    run, params = read_run(directory.path), read_params(directory.path)
    missing: list[str] = []
    directory.comet.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack, atomic_path(directory.archive) as beside:
        segments = [
            segment for path in directory.segment_folders() if (segment := _open_segment(path, stack))
        ]
        with zipfile.ZipFile(beside, "w") as archive:
            # Said anew and last: each process of a resumed run logged a status and a name of its own.
            said_last = [other_message("run_status", run["status"]), *label_messages(run)]
            replaced = set(map(identity, said_last))
            messages = [m for m in _merge(segments, archive, missing) if identity(m) not in replaced]
            messages += _parameters_not_in(messages, params, run.get("started") or 0)
            messages += _points_not_in(messages, directory)
            messages = _with_output(messages, directory, run.get("started") or 0)
            messages += said_last
            write_messages(archive, numbered(messages))
            write_member(archive, "experiment.json", json.dumps(_experiment(run)))
        # Before it takes the place of an earlier one, which may be the only sound archive.
        if wrong := check_archive(beside):
            raise OSError(f"the archive of run {directory.key} is not sound: {'; '.join(wrong)}")
    return missing


def _open_segment(folder: Path, stack: contextlib.ExitStack) -> Segment | None:
    """Open a segment's zip where the SDK finished it, else its temporary folder; None without either."""
    # A run that was to be online keeps the SDK's own fallback in a folder of its own.
    for place in (folder, folder / "online"):
        for path in place.glob("*.zip"):
            if not check_archive(path):
                archive = stack.enter_context(zipfile.ZipFile(path))
                names = set(archive.namelist())
                messages = _read_messages(archive.read("messages.json"))
                return Segment(messages, archive.open, names.__contains__)
        # Killed before the SDK made its zip: the folder that the zip is made of is still there.
        for journal in place.glob("*/messages.json"):
            return _open_folder(journal.parent)
    return None


def _open_folder(folder: Path) -> Segment:
    return Segment(
        _read_messages((folder / "messages.json").read_bytes()),
        lambda name: (folder / name).open("rb"),
        lambda name: (folder / name).is_file(),
    )


def _read_messages(content: bytes) -> list[Message]:
    """Parse a journal; a torn or damaged line is left out."""
    return [message for line in content.splitlines() if (message := whole_message(line))]


def _merge(segments: list[Segment], archive: zipfile.ZipFile, missing: list[str]) -> list[Message]:
    """Return the messages of all segments without repetitions, their files copied into the archive.

    A resumed run logs some things again: of a point the first is kept, of anything else the last.
    """
    kept: dict[tuple[Any, ...], tuple[Segment, Message]] = {}
    for segment in segments:
        for number, message in enumerate(segment.messages):
            known_as = identity(message)
            if message["type"] == OUTPUT:  # the same line twice is two lines
                known_as = (OUTPUT, id(segment), number)
            if message["type"] == "metric_msg" and known_as in kept:
                continue
            # Popped, so that it moves to its later place in the order.
            kept.pop(known_as, None)
            kept[known_as] = (segment, message)
    messages = []
    for segment, message in kept.values():
        payload = dict(message["payload"])
        if file := payload.get("file_path"):
            if not segment.has_file(file):
                name = (payload.get("additional_params") or {}).get("fileName", file)
                missing.append(f"asset '{name}' was logged but its file is gone")
                continue
            # Segments may use the same names for different files.
            payload["file_path"] = uuid.uuid4().hex
            with (
                segment.open_file(file) as source,
                archive.open(payload["file_path"], "w", force_zip64=True) as target,
            ):
                shutil.copyfileobj(source, target)
        messages.append({"payload": payload, "type": message["type"]})
    return messages


def _points_not_in(messages: list[Message], directory: RunDirectory) -> list[Message]:
    """Return messages for journalled points that the SDK never wrote: its own queue lives in memory."""
    known = {identity(message) for message in messages if message["type"] == "metric_msg"}
    points = itertools.chain(read_metrics(directory.metrics_file), read_system_metrics(directory.system_file))
    made = map(_point_message, points)
    return [message for message in made if identity(message) not in known]


def _with_output(messages: list[Message], directory: RunDirectory, started: float) -> list[Message]:
    """Return messages with all that was printed at their end: what the SDK wrote of it, and the rest."""
    told = [message for message in messages if message["type"] == OUTPUT]
    others = [message for message in messages if message["type"] != OUTPUT]
    return others + output_messages(read_console_log(directory.console_file), told, started)


def _point_message(point: Point) -> Message:
    context = "test" if point.name.startswith(TEST_PREFIX) else None
    metric = {
        "metricName": point.name.removeprefix(TEST_PREFIX) if context else point.name,
        "metricValue": finite_or_text(point.value),
        "step": point.step,
        "epoch": None if point.epoch == UNKNOWN else point.epoch,
    }
    payload = {"local_timestamp": int(point.time * 1000), "metric": metric}
    return {"payload": payload | ({"context": context} if context else {}), "type": "metric_msg"}


def _parameters_not_in(messages: list[Message], params: Mapping[str, Any], started: float) -> list[Message]:
    known = {identity(message) for message in messages if message["type"] == "parameter_msg"}
    made = [
        {
            "payload": {
                "local_timestamp": int(started * 1000),
                "param": {"paramName": name, "paramValue": value, "source": "manual", "step": None},
            },
            "type": "parameter_msg",
        }
        for name, value in params.items()
    ]
    return [message for message in made if identity(message) not in known]


def _experiment(run: Mapping[str, Any]) -> dict[str, Any]:
    started = run.get("started") or 0
    return {
        "offline_id": run["key"],
        "project_name": run.get("project"),
        "workspace": run.get("workspace"),
        "start_time": int(started * 1000),
        "stop_time": int((run.get("ended") or started) * 1000),
        "tags": run.get("tags") or [],
        # Not "get_or_create": an upload of a run that the server has would append, and double every point.
        "resume_strategy": "create",
        "customer_error_reported": bool(run.get("error")),
        "customer_error_message": run.get("error"),
        "user_provided_experiment_key": True,
        "comet_start_sourced": True,
    }
