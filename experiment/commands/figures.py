"""``show RUN --figures``: draws what a run lacks, as a sweep's trials do, and lists all figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiment.errors import UserError
from experiment.run import drawings
from experiment.store.directory import RunDirectory
from experiment.store.record import DIRECTORY, RunRecord
from experiment.system import streams
from experiment.system.names import short
from experiment.system.text_table import printable


def print_figures(record: RunRecord, as_json: bool) -> int:
    """Draw the figures that a run lacks, and print the paths of all.

    Raises:
        UserError: it is no run directory, is still written or cannot be; its numbers are damaged; or it ended
            before there was anything to draw.
    """
    if record.kind != DIRECTORY:
        raise UserError(f"run {short(record.key)} has no figures in '{record.source}': its run directory has")
    directory = RunDirectory(Path(record.source))
    pictures = drawings.numbers(directory.figures, record.history)
    # Without a lock where nothing is missing: a copy may lie on a disk that cannot be written to.
    if missing := {name: pictures[name] for name in pictures if not (directory.figures / name).exists()}:
        with directory.exclusive():
            _draw(directory.figures, missing)
    paths = {name: str(path) for name, path in record.figures.items()}
    if not paths:
        raise UserError(f"run {short(record.key)} has no figures: it ended before its first epoch did")
    if as_json:
        streams.print_json(paths)
    else:
        print(*map(printable, paths.values()), sep="\n")
    return 0


def _draw(folder: Path, pictures: Mapping[str, Any]) -> None:
    try:
        drawings.draw(folder, pictures)
    except OSError as error:
        raise UserError(f"'{folder}' cannot be written to: {error.strerror or error}") from None
