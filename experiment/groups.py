"""Runs that differ in nothing but their seed, as groups; what a run's result depends on."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from experiment import statistics
from experiment.rundir import FINISHED, RunRecord
from experiment.text_table import printable


@dataclasses.dataclass(frozen=True)
class Group:
    """Finished runs that differ in nothing but ``seed``, one of each seed; a single run is a group of one."""

    label: str
    records: Sequence[RunRecord]
    values: Sequence[float]  # of the chosen metric
    mean: float
    half_width: float  # of the mean's 95 % interval; NaN of fewer than 2 seeds


def value_of(results: Mapping[str, Any], metric: str) -> float | None:
    """Return a metric of a run: the test set's, else at the best epoch, else at the last; None without it."""
    for place in (results, results.get("best", {}), results.get("last", {})):
        value = place.get(metric)
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            with contextlib.suppress(ValueError):  # a text that is no number, and no value then
                return float(value)
    return None


def plain(value: Any) -> str:
    """Return a parameter's value as text that does not depend on where it came from: 0.10, "0.1" → 0.1.

    Comet's server gives back everything as text.
    """
    if isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("true", "false")):
        return str(value).lower()
    if isinstance(value, (int, float, str)):
        try:
            return f"{float(value):.15g}"
        except (ValueError, OverflowError):
            return str(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def differing_parameters(records: Sequence[RunRecord], all_params: bool) -> list[str]:
    """Return the names of the parameters that differ, or of all, in the order of runs."""
    names = list(dict.fromkeys(itertools.chain.from_iterable(record.params for record in records)))
    if all_params:
        return names
    return [
        name
        for name in names
        if len({plain(record.params[name]) if name in record.params else None for record in records}) > 1
    ]


def label_of(record: RunRecord) -> str:
    """Return the name by which a run is spoken of: two may have the same."""
    return f"{printable(record.name)} ({record.key[:8]})"


def _identity(record: RunRecord) -> tuple[Any, ...]:
    """Return all but the seed that a run's result depends on, as far as it is known."""
    params = tuple(sorted((name, plain(value)) for name, value in record.params.items() if name != "seed"))
    return (params, *origin_of(record).values())


def origin_of(record: RunRecord) -> dict[str, Any]:
    """Return the fingerprints of what a run was made of, None where they are unknown."""
    dataset = record.run.get("dataset", {})
    return {
        "data": dataset.get("fingerprint"),
        "split": dataset.get("split_fingerprint"),
        "test set": dataset.get("test_fingerprint"),
        "code": record.run.get("code_fingerprint"),
    }


def group_runs(
    records: Sequence[RunRecord], results: Sequence[Mapping[str, Any]], metric: str
) -> tuple[list[Group], list[str]]:
    """Group finished runs that have the metric; return sentences about those that are left out, too."""
    grouped: dict[tuple[Any, ...], dict[str, tuple[RunRecord, float]]] = {}
    repeated = infinite = 0
    for record, each in zip(records, results, strict=True):
        value = value_of(each, metric)
        if record.status != FINISHED or value is None:
            continue
        if not math.isfinite(value):
            infinite += 1
            continue
        # Without a seed nobody can tell a second run from a repetition of the first.
        identity = _identity(record) if "seed" in record.params else (record.key,)
        members = grouped.setdefault(identity, {})
        repeated += plain(record.params.get("seed")) in members
        members.setdefault(plain(record.params.get("seed")), (record, value))
    warnings = []
    if repeated:
        warnings.append(f"{repeated} run(s) repeat another in everything, the seed too: they count once")
    if infinite:
        warnings.append(f"{infinite} run(s) ended with no finite {metric}: left out of groups and verdicts")
    members_of = [list(members.values()) for members in grouped.values()]
    labels = _labels([members[0][0] for members in members_of], [len(members) for members in members_of])
    groups = []
    for label, chosen in zip(labels, members_of, strict=True):
        values = [value for _, value in chosen]
        runs = [record for record, _ in chosen]
        groups.append(Group(label, runs, values, *statistics.mean_interval(values)))
    return groups, warnings


def _labels(firsts: Sequence[RunRecord], sizes: Sequence[int]) -> list[str]:
    """Name each group by what sets it apart from the others, a single run by its name."""
    differing = [name for name in differing_parameters(firsts, False) if name != "seed"]
    origins = [origin_of(record) for record in firsts]
    apart = [part for part in origins[0] if len({origin[part] for origin in origins}) > 1] if firsts else []
    labels = []
    for record, origin, size in zip(firsts, origins, sizes, strict=True):
        parts = [printable(f"{name}={record.params[name]}") for name in differing if name in record.params]
        parts += [f"{part} {str(origin[part])[:8]}" for part in apart]
        labels.append(label_of(record) if size == 1 else f"{' '.join(parts) or 'all'} ({size} seeds)")
    return labels
