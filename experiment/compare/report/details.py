"""What the page says of a single run: which parameters are not the defaults; data, machine, code."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping
from typing import Any

from experiment.compare.groups import plain
from experiment.store.record import RunRecord
from experiment.store.usage import usage_lines

Rows = list[list[str]]
SHORT = 12  # characters of a hash


def changed_parameters(record: RunRecord) -> list[str]:
    """Return the names of the parameters whose values are not the defaults, or that have none."""
    defaults = _defaults()
    return [
        name
        for name, value in record.params.items()
        if name not in defaults or plain(value) != defaults[name]
    ]


@functools.cache
def _defaults() -> dict[str, str]:
    from params.spec import default_parameters

    return {name: plain(value) for name, value in default_parameters().items()}


def facts(record: RunRecord) -> list[tuple[str, Rows]]:
    """Return what a run was made of, as titled rows of a name and a text; of the unknown, none."""
    run = record.run
    parts = {"Data": _data(run.get("dataset") or {}), "Machine": _machine(record), "Code": _code(run)}
    parts["Record"] = _rows({"source": record.source, "mode": record.mode, "error": _last_line(run)})
    return [(title, rows) for title, rows in parts.items() if rows]


def _data(dataset: Mapping[str, Any]) -> Rows:
    counts = [f"{part} {dataset[part]}" for part in ("train", "validation", "test") if part in dataset]
    return _rows(
        {
            "set": dataset.get("name"),
            "examples": ", ".join(counts),
            "classes": len(dataset.get("classes") or []) or None,
            "shape": " × ".join(map(str, dataset.get("image_shape") or [])),
            "fingerprint": str(dataset.get("fingerprint") or "")[:SHORT],
            "test set": str(dataset.get("test_fingerprint") or "")[:SHORT],
        }
    )


def _machine(record: RunRecord) -> Rows:
    run = record.run
    machine = run.get("machine") or {}
    versions = [f"{name} {version}" for name, version in (run.get("packages") or {}).items()]
    return [
        *_rows({str(name).replace("_", " "): value for name, value in machine.items()}),
        *(["use", line] for line in usage_lines(record)),
        *_rows(
            {
                "threads": run.get("threads"),
                "epochs compiled": run.get("compiled"),
                "python": run.get("python"),
                "packages": ", ".join(versions),
            }
        ),
    ]


def _code(run: Mapping[str, Any]) -> Rows:
    git = run.get("git") or {}
    commit = str(git.get("commit") or "")[:SHORT]
    return _rows(
        {
            "commit": f"{commit} with changes" if commit and git.get("dirty") else commit,
            "fingerprint": str(run.get("code_fingerprint") or "")[:SHORT],
            "command": shlex.join(map(str, run.get("command") or [])),
        }
    )


def _last_line(run: Mapping[str, Any]) -> str:
    lines = str(run.get("error") or "").strip().splitlines()
    return lines[-1] if lines else ""


def _rows(values: Mapping[str, Any]) -> Rows:
    return [[name, str(value)] for name, value in values.items() if value not in (None, "", {}, [])]
