"""Send to Comet what it does not have of a run yet, by the SDK's sender, and believe what is read back."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from experiment.comet import tracker as tracking
from experiment.errors import UserError
from experiment.store import archive_writer as archives
from experiment.store.directory import DamagedFile, RunDirectory, read_json, read_run, write_json
from experiment.store.files import Schema, Seconds

READ_BACK_SECONDS = 30.0
SENDER_SECONDS = 120.0
# The sender holds a lock of its own: it may outlive the process that started it.
_SEND = """
import sys
from filelock import FileLock
lock = FileLock(sys.argv.pop(1))
lock.acquire()
from comet_ml.scripts.comet import main
sys.argv[0] = "comet"
main()
"""


@dataclasses.dataclass(frozen=True)
class Holdings:
    """What Comet has of a run: names, points (name, step), asset ids and (name, bytes), its page."""

    parameters: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    points: frozenset[tuple[str, int | None]] = frozenset()
    assets: frozenset[Any] = frozenset()
    url: str | None = None


def upload(
    directory: RunDirectory,
    say: Callable[[str], None],
    workspace: str | None = None,
    project: str | None = None,
) -> dict[str, Any]:
    """Upload a run and verify that it arrived; doing it again sends nothing twice.

    Args:
        directory: the run's.
        say: called with a sentence about each step.
        workspace: where to, if not where the run was meant to go; the surroundings never redirect it.
        project: likewise.

    Returns:
        The ledger that is kept in ``comet/upload.json``; its ``missing`` lists what could not be verified,
        its ``url`` is the run's page, which ``run.json`` then names, too.

    Raises:
        UserError: the run is alive, damaged, was not tracked, or cannot be written to; or there is no API
            key or no answer from Comet.
    """
    with directory.exclusive():
        run = read_run(directory.path)
        if run["mode"] == tracking.DISABLED:
            raise UserError(f"run {directory.key[:12]} was not tracked (--mode disabled): nothing to upload")
        if archives.check_archive(directory.archive):
            try:
                archives.build_archive(directory)
            except OSError as error:
                reason = error.strerror or error
                raise UserError(f"'{directory.archive}' cannot be written: {reason}") from None
        messages = list(archives.archived_messages(directory.archive))
        try:
            with FileLock(_sending(directory), timeout=SENDER_SECONDS):
                has = _fetch(directory.key)
        except Timeout:
            raise UserError(f"run {directory.key[:12]} is being sent by another process") from None
        missing = _missing(messages, has, directory.archive)
        if missing or has is None:
            say(f"run {directory.key[:12]}: sending {len(missing)} of {len(messages)} messages")
            destination = (workspace or run.get("workspace"), project or run.get("project"))
            _send(directory, missing, "create" if has is None else "get", destination)
            missing, has = _wait_until_there(directory, messages, READ_BACK_SECONDS)
        ledger = _write_ledger(directory, messages, missing, has)
        if ledger["url"]:
            directory.update_run(url=ledger["url"])
        return ledger


def verify(directory: RunDirectory, seconds: float) -> dict[str, Any]:
    """Read back what Comet has of a run of this process; return the ledger, kept as by ``upload``.

    Comet may show things seconds after it took them: it is asked until nothing is missing or time is up.

    Raises:
        UserError: Comet does not answer.
    """
    messages = list(archives.archived_messages(directory.archive))
    return _write_ledger(directory, messages, *_wait_until_there(directory, messages, seconds))


class _Ledger(Schema):
    """What of ``comet/upload.json`` is read."""

    verified: bool
    uploaded: Seconds


def is_verified(directory: RunDirectory) -> bool:
    """Tell whether all of a run was read back from Comet since the run last ended.

    A ledger that is damaged proves nothing: then the run is verified anew, which sends nothing twice.

    Raises:
        DamagedFile: the run's own file is damaged.
    """
    ended = read_run(directory.path).get("ended")
    try:
        ledger = read_json(directory.upload_file, _Ledger)
    except DamagedFile:
        return False
    return ledger["verified"] and ledger["uploaded"] >= (ended or math.inf)


def counted(ledger: Mapping[str, Any]) -> str:
    """Return what a ledger counts, as words."""
    return ", ".join(f"{count} {name}" for name, count in ledger["counts"].items())


def _write_ledger(
    directory: RunDirectory,
    messages: list[archives.Message],
    missing: list[archives.Message],
    has: Holdings | None,
) -> dict[str, Any]:
    counts = {kind: sum(m["type"] == kind for m in messages) for kind in _COUNTED}
    ledger = {
        "key": directory.key,
        "url": has.url if has else None,
        "uploaded": time.time(),
        "verified": not missing,
        "counts": {_COUNTED[kind]: count for kind, count in counts.items()},
        "missing": sorted({_describe(message) for message in missing}),
    }
    write_json(directory.upload_file, ledger)
    return ledger


_COUNTED = {"parameter_msg": "parameters", "metric_msg": "points", "file_upload": "assets"}


def _fetch(key: str) -> Holdings | None:
    """Read back what Comet has of a run; None where it has no such run.

    Raises:
        UserError: there is no API key, it or the server's address is wrong, or Comet does not answer.
    """
    if not tracking.api_key():
        raise UserError(
            tracking.NO_KEY.replace("mode = 'online'", "upload").replace(", or take --mode offline", "")
        )
    comet_ml = tracking.import_comet()
    tracking.server_address()
    try:
        found = comet_ml.API(api_key=tracking.api_key()).get_experiment_by_key(key)
        if found is None:
            return None
        return Holdings(
            frozenset(each["name"] for each in found.get_parameters_summary()),
            frozenset(each["name"] for each in found.get_others_summary()),
            frozenset((each["metricName"], _step(each.get("step"))) for each in found.get_metrics()),
            frozenset(
                identity
                for each in found.get_asset_list()
                for identity in (each["assetId"], (each["fileName"], int(each["fileSize"])))
            ),
            found.url,
        )
    except Exception as error:  # the SDK raises its own, requests' and everett's errors alike
        reason = "refuses the API key" if type(error).__name__ in _KEY_ERRORS else "cannot be read"
        raise UserError(f"Comet {reason} ({type(error).__name__})") from None


_KEY_ERRORS = ("Unauthorized", "InvalidAPIKey", "InvalidRestAPIKey")


def _step(value: Any) -> int | None:
    return None if value is None else int(value)


def _missing(
    messages: Iterable[archives.Message], has: Holdings | None, archive: Path
) -> list[archives.Message]:
    """Return the messages that Comet lacks; kinds that can't be read back are sent the first time only."""
    if has is None:
        return list(messages)
    with zipfile.ZipFile(archive) as stored:
        sizes = {info.filename: info.file_size for info in stored.infolist()}
    missing = []
    for message in messages:
        payload, kind = message["payload"], message["type"]
        if kind == "parameter_msg":
            there = _parameter(payload) in has.parameters
        elif kind == "log_other":
            there = payload["key"] in has.others
        elif kind == "metric_msg":
            there = (_shown_name(payload), _step(payload["metric"].get("step"))) in has.points
        elif kind == "file_upload":
            details = payload.get("additional_params") or {}
            identity = (details.get("fileName") or details.get("figName"), sizes[payload["file_path"]])
            there = (details.get("assetId") or details.get("imageId")) in has.assets or identity in has.assets
        else:
            there = True
        if not there:
            missing.append(message)
    return missing


def _parameter(payload: dict[str, Any]) -> str:
    return (payload.get("param") or payload["params"])["paramName"]


def _shown_name(payload: dict[str, Any]) -> str:
    """Return a metric's name as Comet shows it, its context before it."""
    name = payload["metric"]["metricName"]
    return f"{payload['context']}_{name}" if payload.get("context") else name


def _describe(message: archives.Message) -> str:
    payload = message["payload"]
    details = payload.get("additional_params") or {}
    return {
        "parameter_msg": lambda: f"parameter {_parameter(payload)}",
        "metric_msg": lambda: f"metric {_shown_name(payload)}",
        "log_other": lambda: f"other {payload['key']}",
        "file_upload": lambda: f"asset {details.get('fileName') or details.get('figName')}",
    }.get(message["type"], lambda: message["type"])()


def _send(
    directory: RunDirectory,
    messages: list[archives.Message],
    strategy: str,
    destination: tuple[str | None, str | None],
) -> None:
    """Send messages by ``comet upload``, whose word on success counts for nothing."""
    with tempfile.TemporaryDirectory(dir=directory.comet) as folder:
        part = Path(folder) / f"{directory.key}.zip"
        with zipfile.ZipFile(directory.archive) as whole, zipfile.ZipFile(part, "w") as archive:
            described = json.loads(whole.read("experiment.json")) | {"resume_strategy": strategy}
            archives.write_member(archive, "experiment.json", json.dumps(described))
            archives.write_messages(archive, messages)
            for message in messages:
                if file := message["payload"].get("file_path"):
                    with whole.open(file) as source, archive.open(file, "w", force_zip64=True) as target:
                        shutil.copyfileobj(source, target)
        flags = [
            part
            for name, value in zip(("--workspace", "--project-name"), destination, strict=True)
            if value
            for part in (name, value)
        ]
        # Where the upload runs must not matter: no .env of that folder, no project of that shell.
        kept = {n: v for n, v in os.environ.items() if n not in ("COMET_WORKSPACE", "COMET_PROJECT_NAME")}
        kept |= {"COMET_API_KEY": tracking.api_key() or "", "COMET_OFFLINE_SAMPLING_SIZE": "1000000"}
        subprocess.run(
            [sys.executable, "-c", _SEND, str(_sending(directory)), "upload", str(part), *flags],
            cwd=folder,
            env=kept,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )


def _sending(directory: RunDirectory) -> Path:
    return directory.comet / ".sending"


def _wait_until_there(
    directory: RunDirectory, messages: list[archives.Message], seconds: float
) -> tuple[list[archives.Message], Holdings | None]:
    """Read back until nothing is missing or time is up; return what is missing then, and what is there.

    Raises:
        UserError: Comet did not answer, up to the end.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            has = _fetch(directory.key)
            missing = _missing(messages, has, directory.archive)
            if not missing or time.monotonic() > deadline:
                return missing, has
        except UserError:
            if time.monotonic() > deadline:
                raise
        time.sleep(2)
