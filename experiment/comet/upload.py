"""Send to Comet what it does not have of a run yet, by the SDK's sender, and believe what is read back."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from experiment.comet import dataset_artifact, session, settings
from experiment.comet.holdings import Holdings, fetch_holdings, message_text, missing_from
from experiment.comet.server import Server
from experiment.comet.tags import settle_tags, unsettled
from experiment.errors import UserError
from experiment.store.archive_format import (
    Message,
    archived_messages,
    check_archive,
    write_member,
    write_messages,
)
from experiment.store.archive_labels import relabel
from experiment.store.archive_writer import build_archive
from experiment.store.console_log import OUTPUT
from experiment.store.directory import RunDirectory
from experiment.store.files import DamagedFile, Schema, Seconds, read_json, write_json
from experiment.store.record import read_run
from experiment.system.names import counted, short

# Comet shows what it took only after a while.
READ_BACK_SECONDS = 30.0
# For a sender that outlived a killed `upload`; a large model takes minutes.
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
        if run["mode"] == session.DISABLED:
            raise UserError(
                f"run {short(directory.key)} was not tracked (--mode disabled): nothing to upload"
            )
        messages = _whole_archive(directory)
        server = Server(directory.key)
        has = _holdings_when_unsent(server, directory)
        unsent = missing_from(messages, has, directory.archive)
        if unsent or has is None:
            say(f"run {short(directory.key)}: sending {len(unsent)} of {counted(len(messages), 'message')}")
            destination = (workspace or run.get("workspace"), project or run.get("project"))
            _send(directory, unsent, "create" if has is None else "get", destination)
        settled = has is not None and settle_tags(server, directory.key, run, has)
        missing: list[str] = []
        if unsent or has is None or settled:
            missing, has = _wait_until_there(server, directory, messages, READ_BACK_SECONDS)
        ledger = _write_ledger(directory, messages, missing, has)
        if ledger["url"]:
            directory.update_run(url=ledger["url"])
        return dataset_artifact.deliver(directory, ledger)


def _whole_archive(directory: RunDirectory) -> list[Message]:
    """Return the messages of a run's archive, which is built first where it is not whole."""
    if check_archive(directory.archive):
        try:
            build_archive(directory)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"'{directory.archive}' cannot be written: {reason}") from None
    else:
        relabel(directory)
    return list(archived_messages(directory.archive))


def _holdings_when_unsent(server: Server, directory: RunDirectory) -> Holdings | None:
    """Return what Comet has of a run, once no sender that outlived its parent is at work on it."""
    try:
        with FileLock(directory.sending_file, timeout=SENDER_SECONDS):
            return fetch_holdings(server, directory.key)
    except Timeout:
        raise UserError(f"run {short(directory.key)} is being sent by another process") from None


def verify(directory: RunDirectory, seconds: float) -> dict[str, Any]:
    """Read back what Comet has of a run of this process; return the ledger, kept as by ``upload``.

    Comet may show things seconds after it took them: it is asked until nothing is missing or time is up.

    Raises:
        UserError: Comet does not answer.
    """
    messages = list(archived_messages(directory.archive))
    found = _wait_until_there(Server(directory.key), directory, messages, seconds)
    return _write_ledger(directory, messages, *found)


class _Ledger(Schema):
    """What of ``comet/upload.json`` is read."""

    verified: bool
    uploaded: Seconds


def is_verified(directory: RunDirectory) -> bool:
    """Tell whether all of a run was read back from Comet since the run last ended or was renamed.

    A ledger that is damaged proves nothing: then the run is verified anew, which sends nothing twice.

    Raises:
        DamagedFile: the run's own file is damaged.
    """
    run = read_run(directory.path)
    last = max(run.get("ended") or math.inf, run.get("labelled") or 0)
    try:
        ledger = read_json(directory.upload_file, _Ledger)
    except DamagedFile:
        return False
    return ledger["verified"] and ledger["uploaded"] >= last


def contents(ledger: Mapping[str, Any]) -> str:
    """Return what a ledger counts, as words."""
    return ", ".join(counted(count, name.removesuffix("s")) for name, count in ledger["counts"].items())


def _write_ledger(
    directory: RunDirectory,
    messages: list[Message],
    missing: list[str],
    has: Holdings | None,
) -> dict[str, Any]:
    counts = {kind: sum(m["type"] == kind for m in messages) for kind in _COUNTED}
    ledger = {
        "key": directory.key,
        "url": has.url if has else None,
        "uploaded": time.time(),
        "verified": not missing,
        "counts": {_COUNTED[kind]: count for kind, count in counts.items()},
        "missing": sorted(set(missing)),
    }
    write_json(directory.upload_file, ledger)
    return ledger


_COUNTED = {"parameter_msg": "parameters", "metric_msg": "points", "file_upload": "assets", OUTPUT: "lines"}


def _send(
    directory: RunDirectory,
    messages: list[Message],
    strategy: str,
    destination: tuple[str | None, str | None],
) -> None:
    """Send messages by ``comet upload``, whose word on success counts for nothing."""
    with tempfile.TemporaryDirectory(dir=directory.comet) as folder:
        part = Path(folder) / f"{directory.key}.zip"
        with zipfile.ZipFile(directory.archive) as whole, zipfile.ZipFile(part, "w") as archive:
            described = json.loads(whole.read("experiment.json")) | {"resume_strategy": strategy}
            write_member(archive, "experiment.json", json.dumps(described))
            write_messages(archive, messages)
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
        # The SDK would otherwise draw 15,000 points of each metric at random and drop the rest.
        kept |= {"COMET_API_KEY": settings.api_key() or "", "COMET_OFFLINE_SAMPLING_SIZE": "1000000"}
        subprocess.run(
            [sys.executable, "-c", _SEND, str(directory.sending_file), "upload", str(part), *flags],
            cwd=folder,
            env=kept,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )


def _wait_until_there(
    server: Server, directory: RunDirectory, messages: list[Message], seconds: float
) -> tuple[list[str], Holdings | None]:
    """Read back until nothing is missing or time is up; return what is missing then, in words, and the rest.

    Raises:
        UserError: Comet did not answer, up to the end.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            has = fetch_holdings(server, directory.key)
            missing = [message_text(each) for each in missing_from(messages, has, directory.archive)]
            missing += unsettled(read_run(directory.path), has)
            if not missing or time.monotonic() > deadline:
                return missing, has
        except UserError:
            if time.monotonic() > deadline:
                raise
        time.sleep(2)
