"""What a run said of its test set: ``predictions.npz``, wherever it is kept."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import numpy as np  # a tenth of a second that listing runs does not need


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a run said of its test set: labels int [N] and probabilities float [N, classes]."""

    labels: np.ndarray
    probabilities: np.ndarray


def stored_predictions(path: Path) -> Predictions | None:
    """Read the predictions in a file, None where there is no such file."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        return read_predictions(file)


def read_predictions(file: BinaryIO) -> Predictions:
    """Read a file that ``predictions.npz`` is or was.

    Raises:
        ValueError: it is something else, or damaged.
    """
    import numpy as np

    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = Predictions(arrays["labels"], arrays["probabilities"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"the predictions cannot be read: {error}") from None
    if found.probabilities.ndim != 2 or found.labels.shape != found.probabilities.shape[:1]:
        raise ValueError("the predictions cannot be read: labels and probabilities do not match")
    return found
