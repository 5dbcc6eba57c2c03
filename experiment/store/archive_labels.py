"""Name, tags and note of a run in its archive: said when it is built, and changed afterwards."""

from __future__ import annotations

import itertools
import json
import shutil
import zipfile
from collections.abc import Mapping
from typing import Any

from experiment.store.archive_format import (
    Message,
    archived_messages,
    identity,
    numbered,
    other_message,
    write_member,
    write_messages,
)
from experiment.store.directory import RunDirectory
from experiment.store.files import atomic_path
from experiment.store.others import NAME, NOTE
from experiment.store.record import read_run

_REWRITTEN = ("experiment.json", "messages.json")


def label_messages(run: Mapping[str, Any]) -> list[Message]:
    """Return the messages that say what a run is called; a note that was cleared is said, too, as empty."""
    notes = [other_message(NOTE, run["note"])] if run.get("note") is not None else []
    return [other_message(NAME, run["name"]), *notes]


def relabel(directory: RunDirectory) -> bool:
    """Bring name, tags and note of a run's archive up to ``run.json``; tell whether that changed anything.

    The archive is there and sound; the rest of it is copied as it is.

    Raises:
        OSError: it could not be written whole; the earlier archive is untouched.
        UserError: ``run.json`` is damaged.
    """
    run, path = read_run(directory.path), directory.archive
    said, tags = label_messages(run), run.get("tags") or []
    names = set(map(identity, said))
    with zipfile.ZipFile(path) as old:
        described = json.loads(old.read("experiment.json"))
        known = [message for message in archived_messages(path) if identity(message) in names]
        if (described.get("tags") or []) == tags and _texts(known) == _texts(said):
            return False
        kept = (message for message in archived_messages(path) if identity(message) not in names)
        with atomic_path(path) as beside, zipfile.ZipFile(beside, "w") as new:
            write_messages(new, numbered(itertools.chain(kept, said)))
            write_member(new, "experiment.json", json.dumps(described | {"tags": tags}))
            for info in old.infolist():
                if info.filename not in _REWRITTEN:
                    with old.open(info) as source, new.open(info.filename, "w", force_zip64=True) as to:
                        shutil.copyfileobj(source, to)
    return True


def _texts(messages: list[Message]) -> list[tuple[str, Any]]:
    return sorted((message["payload"]["key"], str(message["payload"]["value"])) for message in messages)
