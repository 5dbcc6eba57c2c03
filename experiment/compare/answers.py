"""What a ``Comparison`` answers: a block a test set, verdicts as sentences, the undecided by reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from experiment.compare.comparison import Comparison
from experiment.compare.groups import Group, by_test_set, name_of_test_set
from experiment.compare.pairs import NOISE, OF_EXAMPLES, UNDECIDED, Verdict
from experiment.system.names import counted


@dataclasses.dataclass(frozen=True)
class Block:
    """What was tested on the same examples: its groups, single runs among them, and the verdicts on them."""

    title: str
    test_set: str | None
    groups: Sequence[Group]
    verdicts: Sequence[Verdict]


def blocks(comparison: Comparison) -> list[Block]:
    """Return the answers by test set, without the pairs of which nothing can be said."""
    decided = [verdict for verdict in comparison.verdicts if verdict.verdict != UNDECIDED]
    return [
        Block(
            name_of_test_set(groups[0].records[0]),
            test_set,
            groups,
            [verdict for verdict in decided if verdict.test_set == test_set],
        )
        for test_set, groups in by_test_set(comparison.groups).items()
    ]


def undecided(comparison: Comparison) -> dict[str, list[str]]:
    """Return the pairs of which nothing can be said, by the reason."""
    found: dict[str, list[str]] = {}
    for verdict in comparison.verdicts:
        if verdict.verdict == UNDECIDED:
            found.setdefault(verdict.reason, []).append(f"{verdict.first} – {verdict.second}")
    return found


def count_text(pairs: Sequence[str]) -> str:
    """Return how many pairs there are, as words."""
    return counted(len(pairs), "pair")


def verdict_text(verdict: Verdict) -> str:
    """Return a verdict as a sentence."""
    if verdict.test is None:
        return f"{verdict.first} – {verdict.second}: {verdict.verdict} ({verdict.reason})"
    difference = f"{verdict.metric} {_signed(verdict.difference)}"
    if verdict.low is not None:
        difference += f", 95 % interval {_signed(verdict.low)} to {_signed(verdict.high)}"
    reason = f"; {verdict.reason}" if verdict.reason else ""
    joint = "–" if verdict.verdict == NOISE else f"is {verdict.verdict} than"
    tail = f": {NOISE}" if joint == "–" else ""
    return f"{verdict.first} {joint} {verdict.second}{tail} ({difference}; p = {verdict.p:.2g}{reason})"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}" if abs(value) >= 0.001 else f"{value:+.2g}"


def method_text(comparison: Comparison) -> str:
    """Return how verdicts were reached."""
    folds = any("fold" in record.params for group in comparison.groups for record in group.records[1:])
    tests = {
        "Welch": f"Welch's t test of {comparison.metric} over {'folds' if folds else 'seeds'}",
        "McNemar": f"McNemar's exact test of {OF_EXAMPLES}",
    }
    used = [tests[test] for test in tests if any(verdict.test == test for verdict in comparison.verdicts)]
    if not used:
        return "no pair could be tested"
    text = f"by {', and '.join(used)}, p adjusted by Holm over the pairs, at 5 %"
    if "McNemar" in {verdict.test for verdict in comparison.verdicts}:
        text += (
            "\nMcNemar compares these trained networks, not their settings: for those, train several seeds"
        )
    if folds:
        text += "\nfolds share most of their training set: intervals and p are somewhat too small"
    return text
