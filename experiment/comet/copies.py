"""Where else all of a run is: in Comet, or in an archive outside its directory."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiment.comet import session, settings
from experiment.comet.holdings import fetch_holdings, message_text, missing_from
from experiment.comet.server import Server
from experiment.comet.tags import unsettled
from experiment.comet.upload import is_verified
from experiment.errors import UserError
from experiment.store.archive_format import archived_messages, check_archive
from experiment.store.archive_reader import read_description
from experiment.store.directory import RunDirectory
from experiment.store.files import DamagedFile, read_json
from experiment.store.record import read_run
from experiment.system.names import some

_OWN = ("message_id", "file_path", "local_timestamp")  # differ between archives of one run


@dataclasses.dataclass(frozen=True)
class Copies:
    """Whether all of a run is somewhere else, and what is known of each place, in sentences."""

    whole: bool
    said: Sequence[str]


def find_copies(directory: RunDirectory, archives: Mapping[str, Sequence[Path]]) -> Copies:
    """Return where else a run is: Comet is asked where an API key is configured, else its ledger is believed.

    Args:
        directory: the run's.
        archives: of keys, as ``archives_in`` finds them.
    """
    places = [_in_comet(directory), *_in_archives(directory, archives.get(directory.key, ()))]
    return Copies(any(whole for whole, _ in places), [sentence for _, sentence in places])


def archives_in(folders: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the Comet archives that lie directly in some folders, by the keys of their runs."""
    found: dict[str, list[Path]] = {}
    for path in sorted({path.resolve() for folder in folders for path in folder.glob("*.zip")}):
        with contextlib.suppress(UserError):
            key = read_description(path).get("offline_id")
            if key:
                found.setdefault(key, []).append(path)
    return found


def _in_comet(directory: RunDirectory) -> tuple[bool, str]:
    run = read_run(directory.path)
    if run["mode"] == session.DISABLED:
        return False, "it was not tracked: Comet does not have it"
    by_ledger = _by_ledger(directory)
    if not settings.api_key_if_any():
        return by_ledger
    if not directory.archive.exists() or check_archive(directory.archive):
        return False, "its archive is not built or damaged, so nobody can say what Comet lacks: see recover"
    try:
        has = fetch_holdings(Server(directory.key), directory.key)
    except UserError as error:
        return by_ledger[0], f"{by_ledger[1]}; not read back now: {error}"
    if has is None:
        return False, "Comet does not have it"
    messages = list(archived_messages(directory.archive))
    missing = [message_text(each) for each in missing_from(messages, has, directory.archive)]
    missing += unsettled(run, has)
    if missing:
        return False, f"Comet lacks {some(sorted(set(missing)), 3)}"
    return True, f"Comet has all of it, read back now: {has.url}"


def _by_ledger(directory: RunDirectory) -> tuple[bool, str]:
    try:
        ledger = read_json(directory.upload_file)
        day = time.strftime("%Y-%m-%d", time.localtime(ledger["uploaded"]))
    except (DamagedFile, KeyError, TypeError, ValueError, OverflowError):
        return False, "it was not uploaded"
    if is_verified(directory):
        return True, f"Comet had all of it on {day}, by {directory.upload_file.name}"
    return False, f"Comet did not have all of it on {day}, by {directory.upload_file.name}"


def _in_archives(directory: RunDirectory, paths: Iterable[Path]) -> Iterator[tuple[bool, str]]:
    outside = [path for path in paths if directory.path not in path.parents]
    if not outside:
        return
    own = None if check_archive(directory.archive) else _contents(directory.archive)
    for path in outside:
        if own is None:
            yield False, f"'{path}' is an archive of it; it has none of its own to compare with: see recover"
        elif check_archive(path) or not own <= _contents(path):
            yield False, f"'{path}' is an archive of it, and lacks something"
        else:
            yield True, f"'{path}' has all of it"


def _contents(path: Path) -> set[tuple[str, Any]]:
    """Return what an archive tells, each message with the checksum of the file that it names."""
    with zipfile.ZipFile(path) as archive:
        sums = {info.filename: (info.CRC, info.file_size) for info in archive.infolist()}
    found = set()
    for message in archived_messages(path):
        told = {name: value for name, value in message["payload"].items() if name not in _OWN}
        file = message["payload"].get("file_path")
        found.add((json.dumps([message["type"], told], sort_keys=True), sums.get(file)))
    return found
