"""A run's data set as an Artifact of Comet: one version a content, used by each run of that content."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from experiment.comet import session
from experiment.comet.settings import import_comet
from experiment.store.directory import RunDirectory
from experiment.store.files import write_json
from experiment.store.record import read_run
from experiment.system.names import short

FILE = "dataset.json"
TYPE = "dataset"
SETTLE_SECONDS = 8.0  # for Comet to close a version whose files have come


def describe(dataset: Mapping[str, Any], counts: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Describe a data set as an artifact, for ``run.json``.

    Args:
        dataset: as in ``run.json``.
        counts: how many examples of each class a part has, by their names.
    """
    name = re.sub(r"[^\w.-]+", "-", dataset["name"]).strip("-") or "dataset"
    source = Path(dataset["source"])
    reference = source.as_uri() if source.is_absolute() and source.exists() else None
    metadata = {
        "fingerprint": dataset["fingerprint"],
        "image_shape": dataset["image_shape"],
        "class_counts": counts,
    }
    return {
        "name": name,
        "alias": f"sha256-{short(dataset['fingerprint'])}",
        "reference": reference,
    } | metadata


def send(directory: RunDirectory) -> str | None:
    """Let a run that Comet has use its data set's version there, made where there is none yet.

    Returns:
        The version, as WORKSPACE/NAME:VERSION; None for a run whose data set is not to be logged.

    Raises:
        Exception: the SDK's own, and requests': Comet does not answer, or refuses.
    """
    wanted = read_run(directory.path).get("dataset_artifact")
    if not wanted or wanted.get("version"):
        return wanted["version"] if wanted else None
    write_json(directory.path / FILE, wanted)
    # Runs of a sweep end side by side: without a lock each would make a version of its own.
    lock = FileLock(directory.path.parent / ".dataset-artifact.lock", timeout=SETTLE_SECONDS)
    with lock, tempfile.TemporaryDirectory(dir=directory.comet, ignore_cleanup_errors=True) as folder:
        experiment = session.reopen(directory.key, Path(folder))
        try:
            used = _use(experiment, wanted) or _make(experiment, wanted, directory.path / FILE)
        finally:
            experiment.end()
    version = f"{used.workspace}/{used.name}:{used.version}"
    directory.update_run(dataset_artifact=wanted | {"version": version})
    return version


def deliver(directory: RunDirectory, ledger: dict[str, Any]) -> dict[str, Any]:
    """Send the data set of an uploaded run; what fails makes its ledger one of a run that is not whole."""
    try:
        send(directory)
    except Exception as error:  # the SDK raises its own, requests' and lock's errors alike
        ledger |= {"verified": False}
        ledger["missing"] = [*ledger["missing"], f"its data set's artifact ({type(error).__name__})"]
        write_json(directory.upload_file, ledger)
    return ledger


def _use(experiment: Any, wanted: Mapping[str, Any]) -> Any:
    """Return the version with this content as one that the run uses; None where there is none."""
    try:
        return experiment.get_artifact(wanted["name"], version_or_alias=wanted["alias"])
    except import_comet().exceptions.ArtifactNotFound:
        return None


def _make(experiment: Any, wanted: Mapping[str, Any], described: Path) -> Any:
    """Make a version: its description, and a reference to where the data lies; nothing of it is copied."""
    comet_ml = import_comet()
    metadata = {name: value for name, value in wanted.items() if name not in ("name", "alias", "reference")}
    artifact = comet_ml.Artifact(wanted["name"], TYPE, aliases=[wanted["alias"]], metadata=metadata)
    artifact.add(str(described), logical_path=FILE)
    if wanted["reference"]:
        artifact.add_remote(wanted["reference"], logical_path=wanted["name"], sync_mode=False)
    made = experiment.log_artifact(artifact)
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:  # its files are on their way: until then it cannot be used
        try:
            return _use(experiment, wanted) or made
        except comet_ml.exceptions.ArtifactNotFinalException:
            time.sleep(0.2)
    return made
