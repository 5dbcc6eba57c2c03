"""What a run's result depends on beside its parameters: data, split, test set, code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from experiment.store.record import RunRecord


def plain(value: Any) -> str:
    """Return a parameter's value as text that does not depend on where it came from: 0.10, "0.1" → 0.1.

    Comet's server gives back everything as text.
    """
    if isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("true", "false")):
        return str(value).lower()
    if isinstance(value, (int, float, str)):
        try:
            # 15 digits: what every float keeps from text to number and back.
            return f"{float(value):.15g}"
        except (ValueError, OverflowError):
            return str(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def origin_of(record: RunRecord) -> dict[str, Any]:
    """Return the fingerprints of what a run was made of, None where they are unknown.

    The folds of one deal are one split: each of its runs was tested on a part of the same examples.
    """
    dataset = record.run.get("dataset", {})
    return {
        "data": dataset.get("fingerprint"),
        "split": _deal_of(record, "validation") or dataset.get("split_fingerprint"),
        "test set": tested_on(record),
        "code": _code(record.run),
    }


def _code(run: Mapping[str, Any]) -> str | None:
    """Return the fingerprint of a run's code, that of a program's own beside it."""
    own, found = run.get("own_code", {}).get("fingerprint"), run.get("code_fingerprint")
    return f"{found} {own}" if found and own else found


def test_set_of(record: RunRecord) -> str | None:
    """Return the fingerprint of the examples that a run was tested on; None where it is unknown."""
    found: str | None = record.run.get("dataset", {}).get("test_fingerprint")
    return found


def tested_on(record: RunRecord) -> str | None:
    """Return the fingerprint of what a run and its repetitions are tested on, perhaps fold by fold."""
    is_validated = record.params.get("validation") == "fold"
    return (None if is_validated else _deal_of(record)) or test_set_of(record)


def _deal_of(record: RunRecord, *more: str) -> str | None:
    """Return a fingerprint of how data was dealt into folds, and of more parameters; None of other runs."""
    if "fold" not in record.params:
        return None
    words = [record.run.get("dataset", {}).get("fingerprint")]
    words += [record.params.get(name) for name in ("folds", "split-seed", *more)]
    return hashlib.sha256(json.dumps([plain(word) for word in words]).encode()).hexdigest()
