"""One run's place in a sweep: its key, what is logged of it, and its score."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

SHOWN_CHARACTERS = 40  # of a value


@dataclasses.dataclass(frozen=True)
class Trial:
    """A point of a sweep under one seed, at its first attempt or a later one.

    ``number`` counts the sweep's points from 1; ``point`` holds the parameters that the sweep varies.
    """

    sweep: str
    name: str
    number: int
    point: Mapping[str, Any]
    seed: int
    metric: str
    objective: str
    attempt: int = 1

    @property
    def key(self) -> str:
        """The run's key: 40 hexadecimal digits, the same for the same trial and for no other."""
        words = [self.sweep, self.point, self.seed, self.attempt]
        return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:40]

    @property
    def label(self) -> str:
        """What tells the run from its neighbours."""
        values = " ".join(f"{name}={str(value)[:SHOWN_CHARACTERS]}" for name, value in self.point.items())
        return f"{self.name} {self.number}: {values} seed={self.seed}"

    @property
    def tags(self) -> tuple[str, str]:
        """The run's tags: all runs of a sweep share them."""
        return ("sweep", self.sweep)

    def facts(self) -> dict[str, Any]:
        """Return the field ``sweep`` of ``run.json``."""
        return dataclasses.asdict(self) | {"point": dict(self.point)}

    def score(self, values: Iterable[float]) -> float | None:
        """Return the best of a metric's values, as Comet's Optimizer scores a run; None if none is finite."""
        finite = [value for value in values if math.isfinite(value)]
        return (max if self.objective == "maximize" else min)(finite, default=None)

    def others(self, score: float | None) -> dict[str, Any]:
        """Return what Comet's optimizer panels read beside the id, metric and objective."""
        return {
            "optimizer_metric_value": score,
            "optimizer_parameters": json.dumps(dict(self.point)),
            "optimizer_name": self.name,
            "optimizer_count": self.number,
            "optimizer_trial": self.attempt,
            "optimizer_process": os.getpid(),
            "optimizer_version": "keras-comet-pipeline",
        }
