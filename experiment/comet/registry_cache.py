"""Versions of the registry on this machine: each downloaded once, as a directory of the run that made it."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiment.comet import registry
from experiment.comet.runs import fetch_run
from experiment.comet.server import Server
from experiment.errors import UserError
from experiment.store.bundle import Bundle, read_bundle
from experiment.store.directory import RunDirectory
from experiment.store.files import plain_json, write_json
from experiment.store.journal import MetricsJournal
from experiment.store.record import FINISHED, RunRecord
from experiment.system.environment import cache_home


def fetch(text: str) -> Path:
    """Return the directory of ``registry:WORKSPACE/NAME[:VERSION or tag]``, downloaded where it is not here.

    It holds ``model/`` and what Comet tells of the run that made it, as a run directory does. A version that
    was named and is here needs neither key nor network.

    Raises:
        UserError: it is none, Comet does not have it, or it holds no bundle that goes with its model.
    """
    place = registry.parse(text)
    home = cache_home() / "registry" / place.workspace / place.name
    if place.is_version and (home / place.wanted / "run.json").is_file():
        return home / place.wanted
    server = Server(str(place))
    version = registry.find_version(server, place)
    folder = home / version
    if (folder / "run.json").is_file():
        return folder
    try:
        home.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".tmp-", dir=home))
    except OSError as error:
        raise UserError(f"'{home}' cannot be written to: {error.strerror}") from None
    try:
        _download(server, registry.Place(place.workspace, place.name, version), beside)
        shutil.rmtree(folder, ignore_errors=True)  # one that another process left half
        beside.rename(folder)
    except OSError as error:
        raise UserError(f"'{folder}' cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def _download(server: Server, place: registry.Place, path: Path) -> None:
    """Download a version and write what is known of its run; ``run.json`` comes last and says: whole."""
    directory = RunDirectory(path)
    model = server.ask(lambda: server.api.get_model(place.workspace, place.name))
    details = server.ask(lambda: model.get_details(place.wanted))
    server.ask(lambda: model.download(place.wanted, output_folder=str(directory.model)))
    try:
        bundle = read_bundle(directory.model)
    except UserError as error:
        raise UserError(f"'{place}' cannot be used: {error}") from None
    if not (directory.model / bundle.model_file).is_file():
        raise UserError(f"'{place}' cannot be used: its bundle names {bundle.model_file}, which it has not")
    record = _record(bundle, place)
    write_json(directory.params_file, bundle.parameters)
    write_json(directory.results_file, plain_json({**record.results, **bundle.metrics}))
    MetricsJournal(directory.metrics_file, durable=False).append(record.points())
    write_json(directory.run_file, plain_json({**record.run, **_registered(place, details)}))


def _registered(place: registry.Place, details: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: details.get(name) for name in ("tags", "status", "comment")}
    known = {"workspace": place.workspace, "name": place.name, "version": place.wanted}
    return {"registry": {**known, **told, "downloaded": time.time()}}


def _record(bundle: Bundle, place: registry.Place) -> RunRecord:
    """Return what Comet tells of the run that a bundle is of; of a run that is gone, what the bundle says."""
    try:
        record = fetch_run(bundle.key)
    except UserError:
        run = {
            "key": bundle.key,
            "name": f"{place.name} {place.wanted}",
            "status": FINISHED,
            "mode": "online",
        }
        record = RunRecord(bundle.key, run["name"], FINISHED, "online", run, {}, {}, str(place))
    dataset = {**record.run.get("dataset", {}), **bundle.dataset, "classes": bundle.class_names}
    # A named set is found by its name anywhere; where pictures lay is known only where the run was made.
    dataset.setdefault("source", dataset["name"])
    return dataclasses.replace(record, run={**record.run, "dataset": dataset})
