"""A run that is to be repeated, as its run directory, its offline archive or Comet's API tell of it."""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiment.comet import server as online
from experiment.errors import UserError
from experiment.run import provenance
from experiment.store import archive_writer as archives
from experiment.store.archive_reader import UNKNOWN, Contents, read_description, read_points
from experiment.store.directory import RUNNING, Point, RunDirectory, demand, read_record
from experiment.store.find import find_run
from experiment.store.predictions import read_predictions

TEXTS = ("predictions.npz", "git.patch")
_KEY = re.compile(r"[A-Za-z0-9]{32,50}")


@dataclasses.dataclass(frozen=True)
class Original:
    """What is known of a run to repeat.

    Attributes:
        source: 'run directory', 'archive' or 'Comet'.
        place: the path, or in Comet the key, by which ``find_original`` finds it again.
        params: the parameters as they were logged; all of them texts if Comet tells them.
        facts: what it was made of, as in ``run.json``; what the source does not tell is not in it.
        points: all points of its metrics.
        predictions: labels int32 [N] and probabilities float32 [N, classes]; None where there are none.
        code: SHA-256 of each file of its code, by its name; empty where the source has no code.
        patch: its uncommitted changes.
    """

    key: str
    name: str
    status: str
    source: str
    place: str
    params: Mapping[str, Any]
    facts: Mapping[str, Any]
    points: Sequence[Point]
    predictions: tuple[np.ndarray, np.ndarray] | None
    code: Mapping[str, str]
    patch: str


def find_original(runs: Path, run: str) -> Original:
    """Find a run: an archive by its path, a run directory, or with a whole key what Comet has.

    Raises:
        UserError: there is none, it is alive, or it cannot be read.
    """
    if os.path.isfile(run):
        return read_archive(Path(run))
    try:
        directory = find_run(runs, run)
    except UserError:
        if not _KEY.fullmatch(run):
            raise
        return fetch(run)
    return read_directory(directory)


def read_directory(directory: RunDirectory) -> Original:
    """Read a run directory; code and patch are in its archive, if it has one.

    Raises:
        UserError: the run is alive, or one of its files is damaged or does not tell enough.
    """
    record = read_record(directory.path)
    if record.status == RUNNING and directory.is_alive():
        raise UserError(f"run {record.key[:12]} is alive: wait for its end before repeating it")
    demand(record.run, f"'{directory.run_file}'", "dataset.name", "dataset.fingerprint", "code_fingerprint")
    files: dict[str, bytes] = {}
    code: dict[str, str] = {}
    if directory.archive.exists() and not archives.check_archive(directory.archive):
        contents = Contents()
        collections.deque(read_points(directory.archive, contents), maxlen=0)
        files, code = _read_files(directory.archive, contents)
    predictions = record.predictions()
    read = _contents(files, f"'{directory.archive}'")
    if predictions:
        read["predictions"] = predictions.labels, predictions.probabilities
    return Original(
        key=record.key,
        name=record.name,
        status=record.status,
        source="run directory",
        place=str(directory.path),
        params=record.params,
        facts=record.run,
        points=list(record.points()),
        code=code,
        **read,
    )


def read_archive(path: Path) -> Original:
    """Read an offline archive.

    Raises:
        UserError: it is damaged, or not of this pipeline.
    """
    if wrong := archives.check_archive(path):
        raise UserError(f"'{path}' is no sound archive of a run: {wrong[0]}")
    contents = Contents()
    points = _comparable(read_points(path, contents))
    others = contents.others
    key = read_description(path).get("offline_id") or path.stem
    files, code = _read_files(path, contents)
    return Original(
        key=key,
        name=str(others.get("Name", key[:12])),
        status=str(others.get("run_status", RUNNING)),
        source="archive",
        place=str(path.absolute()),
        params=contents.params,
        facts=_facts(f"'{path}'", others, contents.packages),
        points=points,
        code=code,
        **_contents(files, f"'{path}'"),
    )


def fetch(key: str) -> Original:
    """Fetch a run from Comet by its key.

    Raises:
        UserError: there is no API key, no such run, or no answer.
    """
    server = online.Server(key)
    found = server.ask(lambda: server.api.get_experiment_by_key(key))
    if found is None:
        raise UserError(f"run '{key}' is neither here nor in Comet")
    others = online.values(server.ask(found.get_others_summary))
    params = online.values(server.ask(found.get_parameters_summary))
    packages = server.ask(found.get_installed_packages) or []
    points = _comparable(map(online.point, server.ask(found.get_metrics)))
    files: dict[str, bytes] = {}
    code: dict[str, str] = {}
    for asset in server.ask(found.get_asset_list):
        read = functools.partial(found.get_asset, asset["assetId"])
        if asset["fileName"] in TEXTS:
            files[asset["fileName"]] = server.ask(read)
        elif asset["type"] == "source_code":
            code[asset["fileName"]] = _sha256(server.ask(read))
    return Original(
        key=key,
        name=others.get("Name", key[:12]),
        status=others.get("run_status", RUNNING),
        source="Comet",
        place=key,
        params=params,
        facts=_facts(f"run '{key}'", others, packages),
        points=points,
        code=code,
        **_contents(files, f"run '{key}'"),
    )


def _contents(files: Mapping[str, bytes], which: str) -> dict[str, Any]:
    """Return predictions and patch out of files."""
    predictions = None
    if "predictions.npz" in files:
        found = read_predictions(io.BytesIO(files["predictions.npz"]), f"predictions.npz of {which}")
        predictions = found.labels, found.probabilities
    return {"predictions": predictions, "patch": files.get("git.patch", b"").decode(errors="replace")}


def _read_files(path: Path, contents: Contents) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files of an archive that a rerun needs, and the hashes of its code."""
    with zipfile.ZipFile(path) as stored:
        files = {name: stored.read(contents.files[name][0]) for name in TEXTS if name in contents.files}
        code = {
            name: _sha256(stored.read(member))
            for name, (member, kind) in contents.files.items()
            if kind == "source_code"
        }
    return files, code


def _facts(which: str, others: Mapping[str, Any], packages: Iterable[str]) -> dict[str, Any]:
    """Put what a run logged as single values into the form of ``run.json``."""
    if missing := [
        name for name in ("dataset", "dataset_fingerprint", "code_fingerprint") if name not in others
    ]:
        raise UserError(f"{which} does not tell enough to repeat it: it has no {missing[0]}")
    versions = dict(re.split("==?", package, maxsplit=1) for package in packages if "=" in package)
    named = {name.lower().replace("_", "-"): version for name, version in versions.items()}
    git = _part(others, "git_")
    if "commit" in git:
        git["commit"] = str(git["commit"])
    machine = _part(others, "machine_")
    counted = {"cores": _whole(which, "machine_cores", machine["cores"])} if "cores" in machine else {}
    return {
        "dataset": {
            "name": str(others["dataset"]),
            "fingerprint": str(others["dataset_fingerprint"]),
            "split_fingerprint": others.get("split_fingerprint"),
            "test_fingerprint": others.get("test_fingerprint"),
        },
        "git": git | ({"dirty": str(git["dirty"]).lower() == "true"} if "dirty" in git else {}),
        "machine": machine | counted,
        "packages": {name: named[name] for name in provenance.packages() if name in named},
        **{name: others[name] for name in ("code_fingerprint", "python", "compiled") if name in others},
        **({"threads": _whole(which, "threads", others["threads"])} if "threads" in others else {}),
    }


def _whole(which: str, name: str, value: Any) -> int:
    try:
        return int(value)
    except (ValueError, TypeError, OverflowError):
        raise UserError(f"{which}: {name} = {value!r}: should be a whole number") from None


def _part(others: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in others.items() if name.startswith(prefix)}


def _comparable(points: Iterable[Point]) -> list[Point]:
    """Return points without their times, and without the SDK's own, which have no step or epoch."""
    return [
        dataclasses.replace(point, time=0.0) for point in points if UNKNOWN not in (point.step, point.epoch)
    ]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
