"""What can be asked of runs by name: their facts, parameters and results, as columns over them."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from experiment.store.curves import results_of
from experiment.store.directory import RunDirectory
from experiment.store.files import NOT_FINITE
from experiment.store.record import DIRECTORY, RUNNING, STATUSES, RunRecord
from params.load import NAMES
from params.spec import SYNONYMS
from params.words import did_you_mean

KILLED = "killed"  # says that it runs, and no process holds its lock
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SCALARS = (bool, int, float, str)

Range = tuple[float, float]  # the least and the greatest number that a text stands for


class Row:
    """One run, as its columns are read; ``now`` is what its age is taken at, in seconds since 1970."""

    def __init__(self, record: RunRecord, now: float | None = None) -> None:
        self.record = record
        self.now = time.time() if now is None else now

    @functools.cached_property
    def status(self) -> str:
        """The run's status; ``killed`` where it says that it runs and no process does."""
        record = self.record
        if record.status != RUNNING or record.kind != DIRECTORY:
            return record.status
        return RUNNING if RunDirectory(Path(record.source)).is_alive() else KILLED

    @functools.cached_property
    def results(self) -> Mapping[str, Any]:
        """The run's results in one level: the last epoch's by their names, those of the best by best_NAME."""
        found: dict[str, Any] = {}
        for name, value in results_of(self.record).items():
            if name == "last":
                found |= {each: _number(inner) for each, inner in value.items()}
            elif name == "best":
                found |= {f"best_{each}": _number(inner) for each, inner in value.items()}
            elif name in _RENAMED or isinstance(value, _SCALARS):
                found[_RENAMED.get(name, name)] = _number(value)
        return found


_RENAMED = {"epochs": "epoch", "process_s": "seconds"}  # `epochs` is a parameter: how many there shall be


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and value in NOT_FINITE else value


@dataclasses.dataclass(frozen=True)
class Column:
    """One column over runs: its name, its value in a row (None where it has none), what may stand for one.

    ``read`` turns a text into the range that it stands for, or raises ValueError with what is allowed;
    None where the values say what they are. ``choices`` are all that a text may be, if that is known.
    """

    name: str
    of: Callable[[Row], Any]
    read: Callable[[str], Range] | None = None
    choices: Sequence[str] = ()


def read_number(text: str) -> Range:
    """Return the number that a text stands for.

    Raises:
        ValueError: it stands for none.
    """
    try:
        return (float(text), float(text))
    except ValueError:
        raise ValueError("should be a number") from None


def read_age(text: str) -> Range:
    """Return the seconds that an age stands for: 90s, 30m, 12h, 7d or 2w.

    Raises:
        ValueError: it stands for none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.lower())
    if not found:
        raise ValueError("should be an age, such as 90s, 30m, 12h, 7d or 2w")
    seconds = float(found[1]) * _UNITS[found[2]]
    return (seconds, seconds)


def read_time(text: str) -> Range:
    """Return the seconds since 1970 of a local time, 2026-11-26T14:30, or of a day's begin and end.

    Raises:
        ValueError: it is none.
    """
    try:
        begin = datetime.fromisoformat(text)
        if len(text) > len("2026-11-26"):
            return (begin.timestamp(), begin.timestamp())
        return (begin.timestamp(), math.nextafter((begin + timedelta(days=1)).timestamp(), 0))
    except (ValueError, OverflowError, OSError):
        raise ValueError("should be a day or a time, such as 2026-11-26 or 2026-11-26T14:30") from None


def _of_run(name: str) -> Callable[[Row], Any]:
    return lambda row: row.record.run.get(name) or None


FACTS: dict[str, Column] = {
    column.name: column
    for column in (
        Column("key", lambda row: row.record.key),
        Column("name", lambda row: row.record.name),
        Column("status", lambda row: row.status, choices=(*STATUSES, KILLED)),
        Column("mode", lambda row: row.record.mode, choices=("online", "offline", "disabled")),
        Column("tags", _of_run("tags")),
        Column("note", _of_run("note")),
        Column("started", _of_run("started"), read_time),
        Column("age", lambda row: row.now - row.record.run["started"] if _started(row) else None, read_age),
        Column("seconds", lambda row: row.results.get("seconds"), read_number),
        Column("epoch", lambda row: row.results.get("epoch"), read_number),
        Column("project", _of_run("project")),
        Column("workspace", _of_run("workspace")),
        Column("commit", lambda row: (row.record.run.get("git") or {}).get("commit") or None),
    )
}
# It differs each time that it is asked for: it selects and is shown, and is written into no file.
PASSING = "age"
_ALIASES = {"tag": "tags", "run": "key", "process-s": "seconds"}


def _started(row: Row) -> Any:
    return row.record.run.get("started")


class Columns:
    """All columns that some runs have: facts first, then parameters, then results.

    A parameter or result that is called as one before it is ``parameter NAME`` or ``result NAME``.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        parameters: dict[str, None] = {}
        results: dict[str, None] = {}
        for row in rows:
            parameters |= dict.fromkeys(row.record.params)
            results |= dict.fromkeys(row.results)
        self.named: dict[str, Column] = dict(FACTS)
        for name in parameters:
            self._add(name, "parameter", lambda row, name=name: row.record.params.get(name))
        for name in results:
            if name not in FACTS:
                self._add(name, "result", lambda row, name=name: row.results.get(name))
        self._spelled = {_spelled(name): column for name, column in self.named.items()}

    def _add(self, name: str, kind: str, of: Callable[..., Any]) -> None:
        title = f"{kind} {name}" if name in self.named else name
        self.named[title] = Column(title, of)

    def stored(self) -> list[Column]:
        """Return all columns but those that are another each time they are read."""
        return [column for name, column in self.named.items() if name != PASSING]

    def find(self, name: str) -> Column | None:
        """Return the column of a name; hyphens and underscores, capitals and small letters are alike.

        A parameter that is declared and that no run has is a column without values.
        """
        spelled = _spelled(name)
        spelled = _ALIASES.get(spelled, spelled)
        found = self._spelled.get(spelled)
        if found is None and spelled in NAMES:
            return Column(spelled, lambda row: None)  # noqa: ARG005
        return found

    def suggestion(self, name: str) -> str:
        """Return the end of the sentence about an unknown name: the column that was probably meant."""
        word, shown = _spelled(name), {spelled: column.name for spelled, column in self._spelled.items()}
        near = did_you_mean(word, NAMES, {**SYNONYMS, **shown})
        if near or not word:
            return near
        parts = [column for spelled, column in shown.items() if word in spelled]
        return f": did you mean '{parts[0]}'?" if parts else f": there are {', '.join(self.named)}"


def _spelled(name: str) -> str:
    return name.lower().replace("_", "-")
