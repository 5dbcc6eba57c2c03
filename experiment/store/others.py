"""What a run tells Comet of itself in single values, "others", and by files, read back into its facts."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from experiment.system import machine
from experiment.system.names import short

# Files of a run in Comet that are read back by their names, and the kind of those that are code.
PREDICTIONS, PATCH = "predictions.npz", "git.patch"
SOURCE_CODE = "source_code"
# What a run is called, which people may change: name and note.
NAME, NOTE = "Name", "note"
USAGE = "usage_"  # before the names of what a run took of its machine
_DATASET = {
    "name": "dataset",
    "fingerprint": "dataset_fingerprint",
    "split_fingerprint": "split_fingerprint",
    "test_fingerprint": "test_fingerprint",
}


def facts_from_others(
    others: Mapping[str, Any], packages: Iterable[str], known: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields of ``run.json`` as far as a run told Comet of them.

    Args:
        others: by their names; they are flat: ``dataset_fingerprint``, ``git_commit``; a run that another
            tool made has none of them.
        packages: what was installed, as pip lists it: ``numpy==2.1.0``.
        known: the fields that are known already; the key at least.
    """
    found = {
        **known,
        "name": str(others.get(NAME) or short(known["key"])),
        **({"note": str(others[NOTE])} if others.get(NOTE) else {}),
        "dataset": {field: str(others[name]) for field, name in _DATASET.items() if name in others},
        "git": _git(_part(others, "git_")),
        "machine": _part(others, "machine_"),
        **_own_code(others),
        "packages": _versions(packages),
        **{name: str(others[name]) for name in ("code_fingerprint", "python", "compiled") if name in others},
    }
    # What is no number is as good as unknown: a rerun says so.
    with contextlib.suppress(KeyError, ValueError, TypeError, OverflowError):
        found["threads"] = int(others["threads"])
    for name, kind in (("cores", int), ("memory_gb", float), ("gpu_memory_gb", float)):
        with contextlib.suppress(KeyError, ValueError, TypeError, OverflowError):
            found["machine"][name] = kind(found["machine"][name])
    usage: dict[str, float] = {}
    for name, value in _part(others, USAGE).items():
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            usage[name] = float(value)
    return found | ({"usage": usage} if usage else {})


def _own_code(others: Mapping[str, Any]) -> dict[str, Any]:
    told = _part(others, "own_code_")
    return {"own_code": told | {"git": _git(_part(others, "own_git_"))}} if told else {}


def sha256(content: bytes) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _part(others: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in others.items() if name.startswith(prefix)}


def _git(told: Mapping[str, Any]) -> dict[str, Any]:
    commit = {"commit": str(told["commit"])} if "commit" in told else {}
    return {**told, **commit, **({"dirty": str(told["dirty"]).lower() == "true"} if "dirty" in told else {})}


def _versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that a run depends on."""
    pairs = (re.split("==?", package, maxsplit=1) for package in packages if "=" in package)
    versions = {name.lower().replace("_", "-"): version for name, version in pairs}
    return {name: versions[name] for name in _telling_packages() if name in versions}


@functools.cache
def _telling_packages() -> tuple[str, ...]:
    return tuple(machine.packages())
