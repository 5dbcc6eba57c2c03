"""The parameters of a run, logged to its experiment and read back from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from experiment.comet.tracker import Tracker


class LoggedParameters:
    """Logs the parameters of a run and reads them back, keeping account of which were read.

    Those in ``optional`` are logged when they are first read: a model of the user's own may read some of the
    stock models' parameters, or none.
    """

    def __init__(self, tracker: Tracker, params: Mapping[str, Any], optional: Collection[str] = ()) -> None:
        self.tracker = tracker
        self._optional = {name: params[name] for name in optional if name in params}
        self._logged = {name: value for name, value in params.items() if name not in self._optional}
        self._read: set[str] = set()
        tracker.log_parameters(self._logged)

    def get_parameter(self, name: str) -> Any:
        """Read a logged value back from the experiment.

        Raises:
            KeyError: it was not logged: the run would depend on a value that nobody can see.
        """
        if name in self._optional:
            self._logged[name] = self._optional.pop(name)
            self.tracker.log_parameter(name, self._logged[name])
        if name not in self._logged:
            raise KeyError(f"parameter '{name}' is read but not logged: it does not apply to this run")
        self._read.add(name)
        return self.tracker.get_parameter(name)

    def logged(self) -> dict[str, Any]:
        """Return what was logged."""
        return dict(self._logged)

    def unread(self) -> list[str]:
        """Return the names of what was logged and never read."""
        return sorted(set(self._logged) - self._read)
