"""A run directory as a ``RunRecord``."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from pathlib import Path

from experiment.errors import UserError
from experiment.store.archive_reader import read_sources
from experiment.store.directory import RunDirectory
from experiment.store.files import DamagedFile
from experiment.store.journal import read_metrics, read_system_metrics
from experiment.store.predictions import stored_predictions
from experiment.store.record import DIRECTORY, RunRecord, read_params, read_results, read_run


def read_record(path: Path) -> RunRecord:
    """Read what a run directory says of its run; its code and patch are in its archive, if it has one.

    Raises:
        DamagedFile: one of its files is not there or does not hold what it should.
    """
    run = read_run(path)
    # Both are in the archive, which is read through only once, and only if somebody asks.
    sources = functools.cache(functools.partial(_sources, path))
    return RunRecord(
        *(run["key"], run["name"], run["status"], run["mode"], run),
        *(read_params(path), read_results(path), str(path)),
        points=lambda: itertools.chain(
            read_metrics(path / "metrics.jsonl"), read_system_metrics(path / "system.jsonl")
        ),
        predictions=functools.partial(stored_predictions, path / "predictions.npz"),
        kind=DIRECTORY,
        code=lambda: sources()[0],
        patch=lambda: sources()[1],
        file=functools.partial(_read_file, path),
    )


def _read_file(path: Path, name: str) -> bytes | None:
    """Return what a file in a run directory holds, None where there is none.

    Raises:
        DamagedFile: it cannot be read.
    """
    try:
        return (path / name).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedFile(f"'{path / name}' cannot be read: {error.strerror}") from None


def _sources(path: Path) -> tuple[Mapping[str, str], str]:
    """Return code and patch of a run; none where its archive is damaged: ``recover`` builds it anew."""
    archive = RunDirectory(path).archive
    try:
        return read_sources(archive) if archive.exists() else ({}, "")
    except UserError:
        return {}, ""
