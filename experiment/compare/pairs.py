"""Is one group of runs better than another, or one run than another? Plain verdicts by stated tests."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from experiment.compare.directions import lower_is_better
from experiment.compare.groups import Group, by_test_set, label_of
from experiment.compare.origins import test_set_of
from experiment.errors import UserError
from experiment.evaluation import significance
from experiment.store.predictions import Predictions
from experiment.store.record import RunRecord

SIGNIFICANT = 0.05
ALL_PAIRS = 10  # of that many groups, or single runs, every pair is tested; of more, each with the baseline
BETTER, WORSE, NOISE, UNDECIDED = "better", "worse", "within noise", "cannot say"
OTHER_TEST_SET = "their test sets differ"
NO_SPREAD = "all seeds gave the same value: there is no spread to measure a difference by"
OF_EXAMPLES = "test_accuracy"  # what McNemar's test is about, whatever metric was chosen


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What can be said of a pair: ``first`` is better or worse than ``second``, or neither can be said.

    ``difference`` is first − second in ``metric``, with its 95 % interval for Welch's test; ``p`` is adjusted
    by Holm over all pairs of the same test. ``test_set`` is the fingerprint of what both were tested on.
    """

    first: str
    second: str
    verdict: str
    reason: str
    test: str | None = None
    metric: str | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    test_set: str | None = None


def _pairs(groups: Sequence[Group], leader: Group | None) -> list[tuple[Group, Group]]:
    """Return the pairs to speak of: all of a few; of many those with the same test set, or with the leader.

    Where the leader has another test set, its part is taken by the first group of that test set.
    """
    if len(groups) <= ALL_PAIRS:
        return list(itertools.combinations(groups, 2))
    pairs = []
    for block in by_test_set(groups).values():
        if len(block) <= ALL_PAIRS:
            pairs += list(itertools.combinations(block, 2))
        elif leader:
            first = leader if leader in block else block[0]
            pairs += [(group, first) for group in block if group is not first]
    return pairs


def welch_verdicts(groups: Sequence[Group], leader: Group | None, metric: str) -> list[Verdict]:
    """Compare each pair in which at least one side has several seeds."""
    pairs = [pair for pair in _pairs(groups, leader) if max(len(group.values) for group in pair) > 1]
    reasons = [_why_untested(first, second) for first, second in pairs]
    tested = [
        None if reason else significance.welch(first.values, second.values)
        for (first, second), reason in zip(pairs, reasons, strict=True)
    ]
    adjusted = iter(significance.holm([each.p for each in tested if each]))
    verdicts = []
    for (first, second), reason, each in zip(pairs, reasons, tested, strict=True):
        if each is None:
            verdicts.append(Verdict(first.label, second.label, UNDECIDED, reason or NO_SPREAD))
            continue
        p = next(adjusted)
        fewest = min(len(first.values), len(second.values))
        verdicts.append(
            Verdict(
                first.label,
                second.label,
                _decide(each.value, p, lower_is_better(metric)),
                "" if fewest >= 3 else f"only {fewest} seeds: nothing but a large difference can show",
                test="Welch",
                metric=metric,
                difference=each.value,
                low=each.low,
                high=each.high,
                p=p,
                test_set=first.test_set,
            )
        )
    return verdicts


def _why_untested(first: Group, second: Group) -> str:
    if first.test_set != second.test_set:
        return OTHER_TEST_SET
    for group in (first, second):
        if len(group.values) < 2:
            return f"too few seeds: {group.label} is one run, which has no spread; at least 2 are needed"
    return ""


def mcnemar_verdicts(groups: Sequence[Group]) -> list[Verdict]:
    """Compare single runs, example by example, on what they said of the test set."""
    singles = [group for group in groups if len(group.records) == 1]
    pairs = [(first.records[0], second.records[0]) for first, second in _pairs(singles, None)]
    right = {record.key: _predictions_or_reason(record) for pair in pairs for record in pair}
    reasons = [_why_incomparable(first, second, right) for first, second in pairs]
    tested = [
        None if reason else significance.mcnemar(_right(right[first.key]), _right(right[second.key]))
        for (first, second), reason in zip(pairs, reasons, strict=True)
    ]
    adjusted = iter(significance.holm([each[2] for each in tested if each]))
    verdicts, untested = [], []
    for (first, second), reason, each in zip(pairs, reasons, tested, strict=True):
        if each is None:
            untested.append(Verdict(label_of(first), label_of(second), UNDECIDED, reason or ""))
            continue
        only_first, only_second, _ = each
        p = next(adjusted)
        examples = len(right[first.key].labels)  # type: ignore[union-attr]
        difference = (only_first - only_second) / examples
        verdicts.append(
            Verdict(
                label_of(first),
                label_of(second),
                _decide(difference, p, lower_is_better(OF_EXAMPLES)),
                f"of {examples} test examples, {only_first} only the first got right, "
                f"{only_second} the second",
                test="McNemar",
                metric=OF_EXAMPLES,
                difference=difference,
                p=p,
                test_set=test_set_of(first),
            )
        )
    return verdicts + untested


def _predictions_or_reason(record: RunRecord) -> Predictions | str:
    try:
        return record.predictions() or f"{label_of(record)} has no stored predictions"
    except (OSError, UserError) as error:
        return f"{label_of(record)}: {error}"


def _why_incomparable(
    first: RunRecord, second: RunRecord, predictions: Mapping[str, Predictions | str]
) -> str | None:
    for record in (first, second):
        found = predictions[record.key]
        if isinstance(found, str):
            return found
    prints = {test_set_of(record) for record in (first, second)}
    if len(prints) > 1 or None in prints:
        return "their test sets' fingerprints are unknown" if prints == {None} else OTHER_TEST_SET
    shapes = {predictions[record.key].labels.shape for record in (first, second)}  # type: ignore[union-attr]
    return "their stored predictions are of different examples" if len(shapes) > 1 else None


def _right(predictions: Predictions | str) -> Any:
    return predictions.probabilities.argmax(-1) == predictions.labels  # type: ignore[union-attr]


def _decide(difference: float, p: float, less_is_better: bool) -> str:
    if not p < SIGNIFICANT:
        return NOISE
    return BETTER if (difference < 0) == less_is_better else WORSE
