"""One run's place in a sweep, the purpose that it is made for: its key, what is logged of it, its score."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from experiment.comet.tracker import Tracker
from experiment.store.directory import RunDirectory

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
        # Not the number: a larger sweep may put the same point in another place.
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

    @property
    def chose_parameters(self) -> bool:
        """True: the sweep says once what has no effect."""
        return True

    def facts(
        self,
        values: Mapping[str, Any],  # noqa: ARG002
        facts: Mapping[str, Any],  # noqa: ARG002
        say: Callable[[str], None],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Return the field ``sweep`` of ``run.json``."""
        return {"sweep": dataclasses.asdict(self) | {"point": dict(self.point)}}

    def before_training(self, notify: Callable[[str], None]) -> None:
        """Do nothing: the worker's process was prepared once, for all its trials."""

    def conclude(
        self,
        tracker: Tracker,
        directory: RunDirectory,  # noqa: ARG002
        history: Mapping[str, Sequence[float]],
        results: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Log score and point under the names that Comet's optimizer panels read.

        The SDK's own ``log_optimization`` would log metric and parameters a second time: it gets neither.
        """
        score = self.score(history.get(self.metric) or [results[self.metric]])
        objective = self.objective.replace("mize", "mum")  # its word for what the sweep file calls maximize
        tracker.log_optimization(self.sweep, self.metric, None, None, objective)
        tracker.log_others(self.others(score))
        return {}

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
