"""Sets of pictures by what a dataset's path says: a folder of classes, or a table of labels."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiment.data.arrays import Arrays
from experiment.data.image_folder import inspect_folder, is_image_folder
from experiment.data.image_set import Inspection, load_images, target
from experiment.data.labels import COLUMNS, inspect_labels, is_labels
from experiment.data.named_sets import load_arrays
from experiment.data.parallel import ProgressCallback


def is_pictures(dataset: str) -> bool:
    """Tell whether a dataset is a path of a folder of pictures, or of a table of labels."""
    return is_labels(dataset) or is_image_folder(dataset)


def inspect(
    dataset: str, get_parameter: Callable[[str], Any], progress: ProgressCallback = lambda *_: None
) -> Inspection:
    """Look at every picture of a set; say what is wrong instead of raising.

    Args:
        dataset: the path of a folder, or of a table.
        get_parameter: reads ``image-size``, ``channels``, ``resize`` and, of a table, the names of its
            columns.
        progress: told of what is done, how many are done, and of how many.

    Raises:
        UserError: folder or table cannot be read, or decoded images cannot be cached.
    """
    wanted = target(get_parameter)
    if not is_labels(dataset):
        return inspect_folder(Path(dataset), wanted, progress)
    columns = {name: column for name in COLUMNS if (column := _column(name, get_parameter))}
    return inspect_labels(Path(dataset), columns, wanted, progress)


def load_set(source: str, get_parameter: Callable[[str], Any]) -> Arrays:
    """Load the set of a finished run into memory, whatever kind it is, from where ``run.json`` says it lay.

    Raises:
        UserError: it is not there any more, or is no longer fit.
    """
    if not is_pictures(source):
        return load_arrays(source)
    return load_images(inspect(source, get_parameter), get_parameter, memory=sys.maxsize)


def _column(name: str, get_parameter: Callable[[str], Any]) -> str | None:
    try:
        column: str = get_parameter(name)
    except KeyError:  # a run's record lacks the columns that its table had not
        return None
    return column
