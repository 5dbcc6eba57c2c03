"""How the code of a rerun is not its original's: this project's, and a program's own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from experiment.errors import UserError
from experiment.run import provenance
from experiment.run.own_code import PREFIX
from experiment.store.record import RunRecord
from experiment.system.names import short, some

Change = tuple[str, Any, Any]  # what, then, now


def changes(original: RunRecord, facts: Mapping[str, Any]) -> list[Change]:
    """Return what of the code is not as it was; of a rerun ``facts`` are those of ``run.json``."""
    then = original.run
    found: list[Change] = []
    if then["code_fingerprint"] != facts["code_fingerprint"]:
        changed = _changed_files(_of_project(original.code()), _today())
        found.append((f"code {changed}".strip(), _version(then), _version(facts)))
    elif _version(then) != _version(facts):
        found.append(("commit, but not the code", _version(then), _version(facts)))
    return found + _own_changes(original, facts)


def notes(original: RunRecord, facts: Mapping[str, Any]) -> list[str]:
    """Say whether other code than today's can be had again; nothing where it is today's."""
    if original.run["code_fingerprint"] == facts["code_fingerprint"]:
        return []
    git = original.run.get("git") or {}
    if "commit" not in git:
        return ["the original's code is in no commit; today's trains"]
    if git.get("dirty") and not original.patch():
        return ["the original's uncommitted changes were not kept; today's code trains"]
    try:
        again = provenance.restored_fingerprint(git["commit"], original.patch())
    except UserError as error:
        return [f"the original's code cannot be had again: {error}; today's trains"]
    if again != original.run["code_fingerprint"]:
        return [f"commit {short(git['commit'])} is not all of the original's code; today's trains"]
    patch = " and git.patch from its archive" if original.patch() else ""
    return [f"today's code trains; commit {short(git['commit'])}{patch} would give the original's exactly"]


def _own_changes(original: RunRecord, facts: Mapping[str, Any]) -> list[Change]:
    """Return how the code differs that a program had beside this project's."""
    then, now = original.run.get("own_code", {}), facts.get("own_code", {})
    found: list[Change] = []
    if then.get("builder") != now.get("builder"):
        found.append(("code that builds the model", then.get("builder"), now.get("builder")))
    if then.get("fingerprint") != now.get("fingerprint"):
        kept = {name: text for name, text in original.code().items() if name.startswith(PREFIX)}
        changed = _changed_files(then.get("files") or kept, now.get("files", {}))
        found.append((f"code of the program {changed}".strip(), _version(then), _version(now)))
    return found


def _of_project(code: Mapping[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in code.items() if not name.startswith(PREFIX)}


def _today() -> dict[str, str]:
    """Return SHA-256 of each file of this project's code."""
    root = provenance.ROOT
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in provenance.code_files()
        if path.suffix == ".py"
    }


def _changed_files(code: Mapping[str, str], today: Mapping[str, str]) -> str:
    """Return which files of code are not what they were; '' where that is not known."""
    names = [name for name in sorted({*code, *today}) if code.get(name) != today.get(name)] if code else []
    return some(names, 5, "files")


def _version(facts: Mapping[str, Any]) -> str:
    git = facts.get("git") or {}
    if "commit" not in git:
        return "not in git"
    return f"commit {short(git['commit'])}" + (" with uncommitted changes" if git.get("dirty") else "")
