"""Why a run is made: for itself, as a trial of a sweep, or to repeat another run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from experiment.comet.tracker import Tracker
from experiment.store.directory import RunDirectory


# A protocol, so that sweep and rerun, which lie above, need not be imported here.
class Purpose(Protocol):
    """What a run's story asks of whoever has it made; the story itself knows neither sweeps nor reruns."""

    @property
    def key(self) -> str | None:
        """The run's key, 32 to 50 letters and digits; None for a new one."""

    @property
    def label(self) -> str | None:
        """The run's name where none is asked for; None for one that tells data, model and optimizer."""

    @property
    def tags(self) -> Sequence[str]:
        """Tags beside those that were asked for."""

    @property
    def chose_parameters(self) -> bool:
        """Whether parameters come from elsewhere: then nobody is told which of them have no effect."""

    def facts(
        self, values: Mapping[str, Any], facts: Mapping[str, Any], say: Callable[[str], None]
    ) -> dict[str, Any]:
        """Return further fields of ``run.json``.

        Args:
            values: the parameters that apply, by their names.
            facts: what the run is made of, as in ``run.json``.
            say: called with each sentence that the user may want to know.
        """

    def before_training(self, notify: Callable[[str], None]) -> None:
        """Prepare the process; TensorFlow is imported, and has computed nothing yet."""

    def conclude(
        self,
        tracker: Tracker,
        directory: RunDirectory,
        history: Mapping[str, Sequence[float]],
        results: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Log what the run means for its purpose; return further fields of ``results.json``.

        Args:
            tracker: of the run.
            directory: of the run; metrics and predictions are written.
            history: the values of each metric, one an epoch.
            results: what ``results.json`` holds so far.
        """


class OwnSake:
    """A run that is made for itself."""

    key: str | None = None
    label: str | None = None
    tags: Sequence[str] = ()
    chose_parameters = False

    def facts(
        self,
        values: Mapping[str, Any],  # noqa: ARG002
        facts: Mapping[str, Any],  # noqa: ARG002
        say: Callable[[str], None],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Return none."""
        return {}

    def before_training(self, notify: Callable[[str], None]) -> None:
        """Do nothing."""

    def conclude(
        self,
        tracker: Tracker,  # noqa: ARG002
        directory: RunDirectory,  # noqa: ARG002
        history: Mapping[str, Sequence[float]],  # noqa: ARG002
        results: Mapping[str, Any],  # noqa: ARG002
    ) -> dict[str, Any]:
        """Return none."""
        return {}
