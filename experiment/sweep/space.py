"""The values that one parameter of a sweep takes: a few given ones, or a range of numbers.

Both answer the same two questions, so that grid, random and bayes search need nothing else: which value lies
at a share of the way, 0 to 1, and which values make a grid.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

SMALLEST_SHARE = 1e-9  # a normal distribution has no value at a share of 0 or 1


@dataclasses.dataclass(frozen=True)
class Choices:
    """Values to choose from; ``is_ordered`` where they are numbers."""

    values: Sequence[Any]
    is_ordered: bool

    def at(self, share: float) -> Any:
        """Return the value at a share, 0 to 1, of the way through the list."""
        return self.values[min(len(self.values) - 1, int(share * len(self.values)))]

    def grid(self, size: int) -> list[Any]:  # noqa: ARG002
        """Return all values, whatever the size of a grid."""
        return list(self.values)


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``: evenly, by their logarithm, or around a mean.

    ``mu`` and ``sigma`` are those of the value (normal) or of its logarithm (lognormal).
    """

    scaling: str
    is_integer: bool
    low: float
    high: float
    mu: float = 0.0
    sigma: float = 1.0

    def at(self, share: float) -> int | float:
        """Return the value that has a share, 0 to 1, of the range's probability below it.

        Floats have six significant digits: they are read, typed and compared by people.
        """
        if self.is_integer and self.scaling == "uniform":
            # One more than the difference, so that both bounds are as likely as what lies between.
            return int(min(self.high, self.low + int(share * (self.high - self.low + 1))))
        value = min(self.high, max(self.low, self._value(share)))
        return round(value) if self.is_integer else min(self.high, max(self.low, float(f"{value:.6g}")))

    def grid(self, size: int) -> list[int | float]:
        """Return at most ``size`` values, from bound to bound, or at even shares where one bound is open."""
        if self.is_integer and self.high - self.low < size:
            return list(range(int(self.low), int(self.high) + 1))
        inner = size == 1 or self.scaling in ("normal", "lognormal")
        shares = [(i + 0.5) / size if inner else i / (size - 1) for i in range(size)]
        return list(dict.fromkeys(self.at(share) for share in shares))

    def _value(self, share: float) -> float:
        if self.scaling == "uniform":
            return self.low + share * (self.high - self.low)
        if self.scaling == "loguniform":
            return self.low * (self.high / self.low) ** share
        is_log = self.scaling == "lognormal"
        normal = NormalDist(self.mu, self.sigma)
        low, high = (normal.cdf(_log(bound) if is_log else bound) for bound in (self.low, self.high))
        share = min(1 - SMALLEST_SHARE, max(SMALLEST_SHARE, low + share * (high - low)))
        return math.exp(normal.inv_cdf(share)) if is_log else normal.inv_cdf(share)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
