"""Files of weights as Keras writes them, looked at without Keras: a wrong one is refused at once."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from experiment.errors import UserError

SUFFIXES = (".h5", ".hdf5", ".keras")  # Keras tells the format by them


def check(path: Path, backbone: str, values: int) -> None:
    """Refuse a file that does not hold so many finite floating-point numbers, as the backbone has them.

    Whether each layer's shapes fit is seen where Keras loads them.

    Raises:
        UserError: it is of another format, cut short, or of another network, width, or with its top.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"'{path}': weights of {backbone} are files of Keras: {', '.join(SUFFIXES)}")
    try:
        found = _count(path)
    except Exception as error:  # HDF5 and zip raise nearly anything on damaged files
        raise UserError(f"'{path}' is damaged, cut short, or no file of weights of Keras: {error}") from None
    if found != values:
        raise UserError(
            f"'{path}' holds weights of another network than {backbone} without its top: {found:,} numbers, "
            f"where {values:,} should be"
        )


def _count(path: Path) -> int:
    """Count the numbers of a model's layers; those of an optimizer, counters and seeds are none of them."""
    import h5py

    if path.suffix == ".keras":
        with (
            zipfile.ZipFile(path) as archive,
            archive.open("model.weights.h5") as member,
            h5py.File(member, "r") as file,
        ):
            return _count_group(file)
    with h5py.File(path, "r") as file:
        return _count_group(file.get("model_weights", file))


def _count_group(group: Any) -> int:
    import h5py

    found = []

    def visit(name: str, item: Any) -> None:
        is_array = isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and item.shape
        if is_array and not name.startswith("optimizer"):
            found.append(item)

    group.visititems(visit)
    total = sum(item.size for item in found)
    for item in found if total < 10**9 else ():
        if not np.isfinite(item[()]).all():
            raise ValueError(f"'{item.name}' holds values that are no finite numbers")
    return total
