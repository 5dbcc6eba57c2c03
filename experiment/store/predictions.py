"""What a run said of its test set: ``predictions.npz``, wherever it is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from experiment.store.files import DAMAGED, DamagedFile, one_line

if TYPE_CHECKING:
    import numpy as np  # a tenth of a second that listing runs does not need


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a run said of its test set: labels int [N] and probabilities float [N, classes]."""

    labels: np.ndarray
    probabilities: np.ndarray


def stored_predictions(path: Path) -> Predictions | None:
    """Read the predictions in a file, None where there is no such file.

    Raises:
        DamagedFile: it is something else, or damaged.
    """
    try:
        with path.open("rb") as file:
            return read_predictions(file, f"'{path}'")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedFile(f"'{path}' cannot be read: {error.strerror}") from None


def read_predictions(file: BinaryIO, where: str = "the predictions") -> Predictions:
    """Read a file that ``predictions.npz`` is or was; ``where`` is its name in error messages.

    Raises:
        DamagedFile: it is something else, or damaged.
    """
    import numpy as np

    try:
        # An archive may come from anyone, and unpickling runs code.
        with np.load(file, allow_pickle=False) as arrays:
            found = Predictions(arrays["labels"], arrays["probabilities"])
    except DAMAGED as error:
        raise DamagedFile(f"{where} cannot be read: {one_line(error)}") from None
    labels, probabilities = found.labels, found.probabilities
    if labels.dtype.kind not in "iu" or probabilities.dtype.kind != "f":
        raise DamagedFile(f"{where} cannot be read: labels are no integers, or probabilities no numbers")
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not probabilities.size:
        raise DamagedFile(f"{where} cannot be read: labels and probabilities do not match")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise DamagedFile(f"{where} cannot be read: labels and probabilities do not match")
    return found
