"""Which parameters made the difference, over many runs, by a random forest and by rank correlation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiment.compare.groups import differing_parameters, value_of
from experiment.compare.origins import plain, tested_on
from experiment.store.record import FINISHED, RunRecord

# A forest of fewer explains noise.
FEWEST_RUNS = 10
# scikit-learn's defaults.
TREES, REPEATS = 100, 5


def parameter_importance(
    records: Sequence[RunRecord], results: Sequence[Mapping[str, Any]], metric: str
) -> tuple[list[dict[str, Any]], int]:
    """Rank the parameters that differ by how much of a metric they explain.

    Runs of different test sets are not mixed: those of the test set that most of them share are looked at.
    A parameter that only some runs have is judged among these alone, and only where it differs among them:
    that the others lack it follows from other parameters, such as ``model``.

    Returns:
        The largest first: ``name``; ``importance``, how much worse a random forest predicts the metric when
        this parameter's values are shuffled, as a share of all of them; ``correlation``, Spearman's, None for
        parameters that are no numbers. Empty of fewer than 10 finished runs. ``seed`` stays among them: what
        it seems to explain is noise. And the number of runs that were looked at, 0 if there is no ranking.
    """
    by_test: dict[str | None, list[tuple[RunRecord, float]]] = {}
    for record, each in zip(records, results, strict=True):
        value = value_of(each, metric)
        if value is not None and np.isfinite(value) and record.status == FINISHED:
            by_test.setdefault(tested_on(record), []).append((record, value))
    chosen = max(by_test.values(), key=len, default=[])
    target = np.array([value for _, value in chosen], dtype=np.float64)
    columns = _columns([record for record, _ in chosen]) if len(chosen) >= FEWEST_RUNS else []
    if not columns or np.ptp(target) == 0:
        return [], 0
    losses = np.maximum(0.0, _losses_when_shuffled(columns, target))
    shares = losses / max(float(losses.sum()), np.finfo(np.float64).tiny)
    ranked = [
        {
            "name": column.name,
            "importance": float(share),
            "correlation": _rank_correlation(column, target),
        }
        for column, share in zip(columns, shares, strict=True)
    ]
    return sorted(ranked, key=lambda each: -each["importance"]), len(chosen)


@dataclasses.dataclass(frozen=True)
class _Column:
    """A parameter's values float64 [runs], those of runs without it filled in; whether their order counts."""

    name: str
    values: np.ndarray
    present: np.ndarray  # bool [runs]
    ordered: bool


def _columns(records: Sequence[RunRecord]) -> list[_Column]:
    """Return the parameters that have different values, apart from being absent."""
    found = []
    for name in differing_parameters(records, False):
        present = np.array([name in record.params for record in records])
        known = [record.params[name] for record in records if name in record.params]
        if len({plain(value) for value in known}) < 2:
            continue
        ordered = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known)
        if not ordered:
            texts = [plain(value) for value in known]
            codes = {text: code for code, text in enumerate(sorted(set(texts)))}
            known = [codes[text] for text in texts]
        values = np.empty(len(records), dtype=np.float64)
        values[present] = known
        values[~present] = np.median(values[present])  # so that being absent is told by no value of its own
        found.append(_Column(name, values, present, ordered))
    return found


def _losses_when_shuffled(columns: Sequence[_Column], target: np.ndarray) -> np.ndarray:
    """Return the R² [columns] that a forest loses when a parameter is shuffled among runs that have it."""
    from sklearn.ensemble import RandomForestRegressor

    matrix = np.column_stack([column.values for column in columns])
    forest = RandomForestRegressor(TREES, random_state=0).fit(matrix, target)
    whole, chance = forest.score(matrix, target), np.random.default_rng(0)
    losses = np.zeros(len(columns))
    for place, column in enumerate(columns):
        for _ in range(REPEATS):
            shuffled = matrix.copy()
            shuffled[column.present, place] = chance.permutation(matrix[column.present, place])
            losses[place] += (whole - forest.score(shuffled, target)) / REPEATS
    return losses


def _rank_correlation(column: _Column, target: np.ndarray) -> float | None:
    """Return Spearman's correlation among the runs that have the parameter; None where there is none."""
    values, reached = column.values[column.present], target[column.present]
    if not column.ordered or np.ptp(reached) == 0:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(values, reached).statistic)
