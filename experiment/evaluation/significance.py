"""Is a difference more than noise? Intervals and tests over SciPy; nothing of this project in it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class MeanDifference:
    """A difference of two means with its 95 % interval, and the two-sided p value of "there is none"."""

    value: float
    low: float
    high: float
    p: float


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the half-width of its 95 % interval, by Student's t; NaN of fewer than 2 values."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, math.nan
    from scipy import special  # half the import time of scipy.stats

    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean, float(special.stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * error


def welch(first: Sequence[float], second: Sequence[float]) -> MeanDifference | None:
    """Compare the means of first − second by Welch's t test, which lets the two vary differently.

    Returns:
        None where there is no test: one has fewer than 2 values, or neither varies at all.
    """
    if min(len(first), len(second)) < 2 or (np.ptp(first) == 0 and np.ptp(second) == 0):
        return None
    from scipy import stats

    result = stats.ttest_ind(first, second, equal_var=False)
    interval = result.confidence_interval(LEVEL)
    value = float(np.mean(first) - np.mean(second))
    return MeanDifference(value, float(interval.low), float(interval.high), float(result.pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted by Holm's step-down: the chance of even one false alarm stays at the level."""
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    stepped = np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[order] * factors)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted.tolist()


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> tuple[int, int, float]:
    """Compare two classifiers on the same examples by McNemar's exact test.

    Args:
        first_right: bool [N], which examples the first got right.
        second_right: bool [N], likewise.

    Returns:
        How many only the first got right, how many only the second, and the two-sided p value.
    """
    only_first = int(np.sum(first_right & ~second_right))
    only_second = int(np.sum(second_right & ~first_right))
    if only_first == only_second:  # none at all included
        return only_first, only_second, 1.0
    from scipy import special

    # The exact binomial test at one half; scipy.stats would take a second to import.
    discordant = only_first + only_second
    p = 2 * float(special.bdtr(min(only_first, only_second), discordant, 0.5))
    return only_first, only_second, min(1.0, p)
