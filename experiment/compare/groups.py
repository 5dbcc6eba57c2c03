"""Runs that differ in nothing but their seed and their fold, as groups."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from experiment.compare.origins import origin_of, plain, tested_on
from experiment.evaluation import significance
from experiment.store.record import FINISHED, RunRecord
from experiment.system.names import counted
from experiment.system.text_table import printable

PARAMETERS_IN_A_LABEL = 3  # more only where groups cannot be told apart by these
LONGEST_NAME = 40
REPEATED = ("seed", "fold")  # what repetitions of one setting differ in
_SPEAK_FOR_THEMSELVES = ("dataset", "model", "optimizer")  # a label holds their values alone: `adam`


@dataclasses.dataclass(frozen=True)
class Group:
    """Finished runs that differ in nothing but ``seed`` and ``fold``, one of each; perhaps a single run."""

    label: str
    records: Sequence[RunRecord]
    values: Sequence[float]  # of the chosen metric
    mean: float
    half_width: float  # of the mean's 95 % interval; NaN of fewer than 2 runs

    @property
    def test_set(self) -> str | None:
        """The fingerprint of the examples that its runs were tested on; None where it is unknown."""
        return tested_on(self.records[0])


def value_of(results: Mapping[str, Any], metric: str) -> float | None:
    """Return a metric of a run: the test set's, else at the best epoch, else at the last; None without it."""
    # The test set's first, as that is the result; an epoch's value depends on when one stops.
    for place in (results, results.get("best", {}), results.get("last", {})):
        value = place.get(metric)
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            with contextlib.suppress(ValueError):  # a text that is no number, and no value then
                return float(value)
    return None


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
    """Return all but seed and fold that a run's result depends on, as far as it is known."""
    params = tuple(
        sorted((name, plain(value)) for name, value in record.params.items() if name not in REPEATED)
    )
    return (params, *origin_of(record).values())


def by_test_set(groups: Sequence[Group]) -> dict[str | None, list[Group]]:
    """Sort groups by what they were tested on: values of different test sets say nothing of each other."""
    found: dict[str | None, list[Group]] = {}
    for group in groups:
        found.setdefault(group.test_set, []).append(group)
    return found


def name_of_test_set(record: RunRecord) -> str:
    """Return how the test set of a run is spoken of: the data set, and the beginning of the fingerprint."""
    return f"{_dataset(record)}, test set {(tested_on(record) or 'unknown')[:8]}"


def group_runs(
    records: Sequence[RunRecord], results: Sequence[Mapping[str, Any]], metric: str
) -> tuple[list[Group], list[str]]:
    """Group finished runs that have the metric; return sentences about those that are left out, too."""
    grouped: dict[tuple[Any, ...], dict[tuple[str, ...], tuple[RunRecord, float]]] = {}
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
        which = tuple(plain(record.params.get(name)) for name in REPEATED)
        repeated += which in members
        members.setdefault(which, (record, value))
    warnings = []
    if repeated:
        warnings.append(
            f"{counted(repeated, 'run repeats', 'runs repeat')} another in everything, the seed too: "
            "each seed counts once"
        )
    if infinite:
        warnings.append(
            f"{counted(infinite, 'run')} ended with no finite {metric}: left out of groups and verdicts"
        )
    members_of = [list(members.values()) for members in grouped.values()]
    labels = _labels([[record for record, _ in members] for members in members_of])
    groups = []
    for label, chosen in zip(labels, members_of, strict=True):
        values = [value for _, value in chosen]
        runs = [record for record, _ in chosen]
        groups.append(Group(label, runs, values, *significance.mean_interval(values)))
    return groups, warnings


def _labels(members_of: Sequence[Sequence[RunRecord]]) -> list[str]:
    """Name each group shortly, and no two alike: ``adam ×3``; a single run by its name and key."""
    firsts = [members[0] for members in members_of]
    labels = [label_of(record) for record in firsts]
    blocks: dict[str | None, list[int]] = {}
    for place, record in enumerate(firsts):
        blocks.setdefault(tested_on(record), []).append(place)
    for block in blocks.values():
        several = [place for place in block if len(members_of[place]) > 1]
        peers = several if len(several) > 1 else block
        names = _shared_names([members_of[place] for place in block])
        differences = dict(zip(peers, _differences([firsts[place] for place in peers]), strict=True))
        for place in several:
            labels[place] = names[block.index(place)] or differences[place] or _dataset(firsts[place])
    # Each only where labels are still alike: a label stays as short as it can be.
    for detail in (
        lambda record: f"on {_dataset(record)}",
        lambda record: f"test set {(tested_on(record) or 'unknown')[:8]}",
        lambda record: record.key[:8],
    ):
        doubled = {label for label, count in Counter(labels).items() if count > 1}
        labels = [
            f"{label} {detail(record)}" if label in doubled else label
            for label, record in zip(labels, firsts, strict=True)
        ]
    counts = [len(members) for members in members_of]
    return [label if count == 1 else f"{label} ×{count}" for label, count in zip(labels, counts, strict=True)]


def _shared_names(members_of: Sequence[Sequence[RunRecord]]) -> list[str]:
    """Return the name that all runs of a group bear and no other run does; "" where there is none."""
    names = [{record.name for record in members} for members in members_of]
    # A name that two groups share tells neither from the other.
    owners = Counter(name for each in names for name in each)
    found = [next(iter(each)) if len(each) == 1 else "" for each in names]
    return [
        printable(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…")
        if owners[name] == 1
        else ""
        for name in found
    ]


def _differences(firsts: Sequence[RunRecord]) -> list[str]:
    """Tell groups apart by the parameters that all of them have and, where it takes more, by all there is."""
    differing = [name for name in differing_parameters(firsts, False) if name not in REPEATED]
    shared = [name for name in differing if all(name in record.params for record in firsts)]
    origins = [origin_of(record) for record in firsts]
    columns = [[_setting(name, record) for record in firsts] for name in shared]
    columns += [[_setting(name, record) for record in firsts] for name in differing if name not in shared]
    columns += [
        [f"{part} {str(origin[part])[:8]}" for origin in origins]
        for part in origins[0]
        if len({origin[part] for origin in origins}) > 1
    ]
    count = max(1, min(PARAMETERS_IN_A_LABEL, len(shared)))
    while count < len(columns) and len(set(zip(*columns[:count], strict=True))) < len(firsts):
        count += 1
    more = " …" if count < len(shared) else ""
    return [" ".join(filter(None, parts)) + more for parts in zip(*columns[:count], strict=True)] or [
        ""
    ] * len(firsts)


def _setting(name: str, record: RunRecord) -> str:
    if name not in record.params:
        return ""
    value = record.params[name]
    return printable(str(value) if name in _SPEAK_FOR_THEMSELVES else f"{name}={value}")


def _dataset(record: RunRecord) -> str:
    return printable(str(record.run.get("dataset", {}).get("name") or "unknown data"))
