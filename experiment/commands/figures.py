"""``show RUN --figures``: draws what a run lacks, as a sweep's trials do, and lists all figures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiment.errors import UserError
from experiment.run import drawings
from experiment.store.directory import RunDirectory
from experiment.store.files import DAMAGED, one_line
from experiment.store.record import DIRECTORY, RunRecord
from experiment.system import streams
from experiment.system.names import short
from experiment.system.text_table import printable


def print_figures(record: RunRecord, as_json: bool) -> int:
    """Draw the figures that a run lacks, and print the paths of all.

    Raises:
        UserError: it is no run directory, is still written or cannot be; its numbers are damaged; or there is
            nothing to draw.
    """
    if record.kind != DIRECTORY:
        raise UserError(f"run {short(record.key)} has no figures in '{record.source}': its run directory has")
    directory = RunDirectory(Path(record.source))
    missing = [name for name in drawings.PICTURES if not os.path.exists(directory.figures / name)]
    # Without a lock where nothing is missing: a copy may lie on a disk that cannot be written to.
    if pictures := drawings.numbers(directory.figures, record.history, missing):
        with directory.exclusive():
            _draw(directory.figures, pictures)
    paths = {name: str(path) for name, path in record.figures.items()}
    if not paths:
        raise UserError(f"run {short(record.key)} has no figures, and nothing to draw any of")
    if as_json:
        streams.print_json(paths)
    else:
        print(*map(printable, paths.values()), sep="\n")
    return 0


def _draw(folder: Path, pictures: Mapping[str, Any]) -> None:
    for name in pictures:
        try:
            drawings.draw(folder, {name: pictures[name]})
        except DAMAGED as error:  # numbers that matplotlib cannot show, too: files may be foreign
            reason = getattr(error, "strerror", None) or one_line(error)
            raise UserError(f"'{folder / name}' cannot be drawn: {reason}") from None
