"""The runs of a folder as a pandas DataFrame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from warnings import warn

from experiment.store.columns import Columns
from experiment.store.find import read_runs
from experiment.store.selection import column_of, select

if TYPE_CHECKING:
    import pandas as pd  # half a second that commands do not need


def frame(
    runs: str | os.PathLike[str] = "runs",
    where: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return runs as a DataFrame, one a row, the newest first, with their keys as index.

    Args:
        runs: the folder of run directories.
        where: which runs, as ``list --where`` takes it; None for all.
        sort: columns, by commas; ``-NAME`` for the greatest first.
        limit: how many runs at most.
        columns: of them; by default all facts, parameters and results that any run has. ``started`` is a
            time in UTC, ``tags`` a list, ``seconds`` and ``age`` are in seconds; what a run lacks is missing.

    Raises:
        UserError: an expression, a column or a limit is wrong, or the folder cannot be read.
    """
    import pandas as pd

    records, problems = read_runs(Path(runs))
    for problem in problems:
        warn(problem, stacklevel=2)
    rows = select(reversed(records), where, sort, limit)
    known = Columns(rows)
    chosen = known.stored() if columns is None else [column_of(name, known, "columns") for name in columns]
    found = pd.DataFrame(
        {column.name: [column.of(row) for row in rows] for column in chosen if column.name != "key"},
        index=pd.Index([row.record.key for row in rows], name="key"),
    )
    if "started" in found:
        found["started"] = pd.to_datetime(found["started"], unit="s", utc=True)
    return found
