"""A run that repeats another: the purpose that its story asks what to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiment.comet.tracker import Tracker
from experiment.rerun import differences, verdict
from experiment.store.directory import RunDirectory
from experiment.store.record import RunRecord
from experiment.system.names import short


@dataclasses.dataclass
class Repetition:
    """The repetition of an original, which it is compared with at its end."""

    original: RunRecord
    key: str | None = None
    label: str | None = None
    chose_parameters = True

    def __post_init__(self) -> None:
        self._announced: dict[str, Any] = {}

    @property
    def tags(self) -> Sequence[str]:
        """One that names the original."""
        return (f"rerun-of-{short(self.original.key)}",)

    def facts(
        self, values: Mapping[str, Any], facts: Mapping[str, Any], say: Callable[[str], None]
    ) -> dict[str, Any]:
        """Say what is not as it was, and what the verdict will mean; return it as the field ``rerun``."""
        self._announced = differences.announce(self.original, values, facts, say)
        return {"rerun": self._announced}

    def before_training(self, notify: Callable[[str], None]) -> None:
        """Compute on as many threads as the original did."""
        differences.limit_threads(self.original, notify)

    def conclude(
        self,
        tracker: Tracker,
        directory: RunDirectory,
        history: Mapping[str, Sequence[float]],  # noqa: ARG002
        results: Mapping[str, Any],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Judge whether the two are the same, and log the verdict."""
        found = self._announced | verdict.judge(self.original, directory)
        verdict.log_verdict(tracker, found)
        return {"rerun": found}
