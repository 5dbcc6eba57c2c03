"""Which parameters made the difference, over many runs, by a random forest and by rank correlation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiment.groups import differing_parameters, plain, value_of
from experiment.rundir import FINISHED, RunRecord

FEWEST_RUNS = 10
TREES, REPEATS = 100, 5


def parameter_importance(
    records: Sequence[RunRecord], results: Sequence[Mapping[str, Any]], metric: str
) -> list[dict[str, Any]]:
    """Rank the parameters that differ by how much of a metric they explain.

    Returns:
        The largest first: ``name``; ``importance``, how much worse a random forest predicts the metric when
        this parameter's values are shuffled, as a share of all of them; ``correlation``, Spearman's, None for
        parameters that are no numbers. Empty of fewer than 10 finished runs. ``seed`` stays among them: what
        it seems to explain is noise.
    """
    values = [value_of(each, metric) for each in results]
    kept = [
        place
        for place, value in enumerate(values)
        if value is not None and np.isfinite(value) and records[place].status == FINISHED
    ]
    target = np.array([values[place] for place in kept], dtype=np.float64)
    chosen = [records[place] for place in kept]
    names = differing_parameters(chosen, False) if len(chosen) >= FEWEST_RUNS else []
    if not names or np.ptp(target) == 0:
        return []
    from scipy.stats import spearmanr
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    columns = [_column([record.params.get(name) for record in chosen]) for name in names]
    matrix = np.column_stack([column for column, _ in columns])
    forest = RandomForestRegressor(TREES, random_state=0).fit(matrix, target)
    shuffled = permutation_importance(forest, matrix, target, n_repeats=REPEATS, random_state=0)
    losses = np.maximum(0.0, shuffled.importances_mean)
    shares = losses / max(float(losses.sum()), np.finfo(np.float64).tiny)
    ranked = [
        {
            "name": name,
            "importance": float(share),
            "correlation": float(spearmanr(column, target).statistic) if ordered else None,
        }
        for name, (column, ordered), share in zip(names, columns, shares, strict=True)
    ]
    return sorted(ranked, key=lambda each: -each["importance"])


def _column(values: Sequence[Any]) -> tuple[np.ndarray, bool]:
    """Return values as float64 [runs], and whether their order means something: numbers all, or codes."""
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return np.array(values, dtype=np.float64), True
    texts = ["" if value is None else plain(value) for value in values]
    codes = {text: code for code, text in enumerate(sorted(set(texts)))}
    return np.array([codes[text] for text in texts], dtype=np.float64), False
