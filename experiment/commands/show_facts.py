"""What a run was made of, as lines of its page: data, machine, code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from experiment.commands.list_table import one_line
from experiment.store.record import RunRecord
from experiment.store.usage import usage_lines
from experiment.system.names import counted, short

_PARTS = {"train": "to train on", "validation": "to validate on", "test": "to test on"}
_PACKAGES = ("tensorflow", "keras", "comet-ml")


def joined(parts: Iterable[Any], between: str = ", ") -> list[str]:
    """Return what is known of some parts as one line, none where nothing is."""
    said = between.join(str(part) for part in parts if part)
    return [said] if said else []


def data(record: RunRecord) -> list[str]:
    """Return what is known of a run's data."""
    described = record.run.get("dataset") or {}
    parts = [
        f"{described[part]:,} {to}" for part, to in _PARTS.items() if isinstance(described.get(part), int)
    ]
    classes, shape = described.get("classes") or [], described.get("image_shape") or []
    return [
        *joined([described.get("name") or record.params.get("dataset")]),
        *joined(
            [
                *parts,
                classes and counted(len(classes), "class"),
                shape and f"images of {' × '.join(map(str, shape))}",
            ]
        ),
        *joined([described.get("fingerprint") and f"fingerprint {short(described['fingerprint'])}"]),
    ]


def machine(record: RunRecord) -> list[str]:
    """Return what is known of the machine, and what the run took of it."""
    run = record.run
    hosted, packages = run.get("machine") or {}, run.get("packages") or {}
    cores, threads = hosted.get("cores"), run.get("threads")
    versions = [f"{name} {packages[name]}" for name in _PACKAGES if name in packages]
    hardware = (
        *(hosted.get("processor"), hosted.get("gpu")),
        cores and counted(cores, "core"),
        threads and counted(threads, "thread"),
        hosted.get("system"),
    )
    software = (run.get("python") and f"Python {run['python']}", *versions)
    return [
        *joined(one_line(part) for part in hardware if part),
        *joined(software),
        *joined([run.get("compiled") and f"epochs compiled: {run['compiled']}"]),
        *usage_lines(record),
    ]


def code(record: RunRecord) -> list[str]:
    """Return what is known of the code, and the command line."""
    run = record.run
    git = run.get("git") or {}
    commit = git.get("commit") and f"commit {short(git['commit'])}"
    state = (
        commit,
        git.get("branch") and f"branch {git['branch']}",
        commit and git.get("dirty") and "with changes that were not committed",
        run.get("code_fingerprint") and f"fingerprint {short(run['code_fingerprint'])}",
    )
    return [*joined(state), *joined(run.get("command") or [], " ")]
