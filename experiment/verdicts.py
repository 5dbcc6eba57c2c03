"""Is one group of runs better than another, or one run than another? Plain verdicts by stated tests."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from experiment import statistics
from experiment.groups import Group, label_of, origin_of
from experiment.predictions import Predictions
from experiment.rundir import RunRecord

SIGNIFICANT = 0.05
ALL_PAIRS = 10  # of that many groups, or single runs, every pair is tested; of more, each with the baseline
BETTER, WORSE, NOISE, UNDECIDED = "better", "worse", "within noise", "cannot say"
_LOWER_IS_BETTER = ("loss", "error", "seconds", "_s", "mae", "mse")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What can be said of a pair: ``first`` is better or worse than ``second``, or neither can be said.

    ``difference`` is first − second, with its 95 % interval for Welch's test; ``p`` is adjusted by Holm over
    all pairs of the same test.
    """

    first: str
    second: str
    verdict: str
    reason: str
    test: str | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


def lower_is_better(metric: str) -> bool:
    """Tell by its name whether less of a metric is better: losses, errors, seconds."""
    return metric.endswith(_LOWER_IS_BETTER) or "loss" in metric


def _pairs(groups: Sequence[Group], leader: Group | None) -> list[tuple[Group, Group]]:
    if len(groups) <= ALL_PAIRS:
        return list(itertools.combinations(groups, 2))
    return [(group, leader) for group in groups if leader and group is not leader]


def welch_verdicts(groups: Sequence[Group], leader: Group | None, metric: str) -> list[Verdict]:
    """Compare each pair in which at least one side has several seeds."""
    pairs = [pair for pair in _pairs(groups, leader) if max(len(group.values) for group in pair) > 1]
    tested = [statistics.welch(first.values, second.values) for first, second in pairs]
    adjusted = iter(statistics.holm([each.p for each in tested if each]))
    verdicts = []
    for (first, second), each in zip(pairs, tested, strict=True):
        if each is None:
            verdicts.append(Verdict(first.label, second.label, UNDECIDED, _why_untested(first, second)))
            continue
        p = next(adjusted)
        verdict = _decide(each.value, p, lower_is_better(metric))
        fewest = min(len(first.values), len(second.values))
        reason = "" if fewest >= 3 else f"only {fewest} seeds: nothing but a large difference can show"
        verdicts.append(
            Verdict(
                *(first.label, second.label, verdict, reason, "Welch"), *(each.value, each.low, each.high, p)
            )
        )
    return verdicts


def _why_untested(first: Group, second: Group) -> str:
    for group in (first, second):
        if len(group.values) < 2:
            return f"too few seeds: {group.label} is one run, which has no spread; at least 2 are needed"
    return "all seeds gave the same value: there is no spread to measure a difference by"


def mcnemar_verdicts(groups: Sequence[Group]) -> list[Verdict]:
    """Compare single runs, example by example, on what they said of the test set."""
    singles = [group.records[0] for group in groups if len(group.records) == 1]
    if not 2 <= len(singles) <= ALL_PAIRS:
        return []
    right = {record.key: _predictions_or_reason(record) for record in singles}
    pairs, untested, p_values, counts = [], [], [], []
    for first, second in itertools.combinations(singles, 2):
        reason = _why_incomparable(first, second, right)
        if reason:
            untested.append(Verdict(label_of(first), label_of(second), UNDECIDED, reason))
            continue
        only_first, only_second, p = statistics.mcnemar(_right(right[first.key]), _right(right[second.key]))
        pairs.append((first, second))
        counts.append((only_first, only_second))
        p_values.append(p)
    verdicts = []
    for (first, second), (only_first, only_second), p in zip(
        pairs, counts, statistics.holm(p_values), strict=True
    ):
        examples = len(right[first.key].labels)  # type: ignore[union-attr]
        difference = (only_first - only_second) / examples
        reason = (
            f"of {examples} test examples, {only_first} only the first got right, {only_second} the second"
        )
        verdicts.append(
            Verdict(
                *(
                    label_of(first),
                    label_of(second),
                    _decide(difference, p, False),
                    reason,
                    "McNemar",
                    difference,
                ),
                p=p,
            )
        )
    return verdicts + untested


def _predictions_or_reason(record: RunRecord) -> Predictions | str:
    try:
        return record.predictions() or f"{label_of(record)} has no stored predictions"
    except (OSError, ValueError) as error:
        return f"{label_of(record)}: {error}"


def _why_incomparable(
    first: RunRecord, second: RunRecord, predictions: Mapping[str, Predictions | str]
) -> str | None:
    for record in (first, second):
        found = predictions[record.key]
        if isinstance(found, str):
            return found
    prints = {origin_of(record)["test set"] for record in (first, second)}
    if len(prints) > 1 or None in prints:
        return "their test sets' fingerprints are unknown" if prints == {None} else "their test sets differ"
    shapes = {predictions[record.key].labels.shape for record in (first, second)}  # type: ignore[union-attr]
    return "their stored predictions are of different examples" if len(shapes) > 1 else None


def _right(predictions: Predictions | str) -> Any:
    return predictions.probabilities.argmax(-1) == predictions.labels  # type: ignore[union-attr]


def _decide(difference: float, p: float, less_is_better: bool) -> str:
    if not p < SIGNIFICANT:
        return NOISE
    return BETTER if (difference < 0) == less_is_better else WORSE
