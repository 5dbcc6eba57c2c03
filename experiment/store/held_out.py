"""What a run said of each picture that it was not trained on: ``predictions.csv``, and more in ``.npz``."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiment.store.files import DAMAGED, DamagedFile, one_line

if TYPE_CHECKING:
    import numpy as np  # a tenth of a second that listing runs does not need

FILE = "predictions.csv"
_ARRAYS = ("files", "parts", "labels", "probabilities")
HEADER = ("file", "label", "predicted", "probability", "part")


@dataclasses.dataclass(frozen=True)
class Predicted:
    """A picture's file as its set has it, its class, the one predicted, how sure (calibrated), its part."""

    file: str
    label: str
    predicted: str
    probability: float
    part: str


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Pictures that a run was not trained on.

    ``files`` and ``parts`` are texts [N], ``labels`` int [N], ``probabilities`` [N, classes], calibrated.
    """

    files: Sequence[str]
    parts: Sequence[str]
    labels: np.ndarray
    probabilities: np.ndarray

    def rows(self, class_names: Sequence[str]) -> list[Predicted]:
        """Return what the table holds of them."""
        predicted = self.probabilities.argmax(-1)
        return [
            Predicted(file, class_names[label], class_names[guess], float(row.max()), part)
            for file, part, label, guess, row in zip(
                self.files, self.parts, self.labels, predicted, self.probabilities, strict=True
            )
        ]


def table_text(rows: Sequence[Predicted]) -> str:
    """Return ``predictions.csv``: a row for each picture."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for row in rows:
        writer.writerow((row.file, row.label, row.predicted, f"{row.probability:.6f}", row.part))
    return text.getvalue()


def read_table(content: bytes, where: str) -> list[Predicted]:
    """Read what ``table_text`` wrote; ``where`` is the file's name in error messages.

    Raises:
        DamagedFile: it is something else.
    """
    try:
        header, *rows = csv.reader(io.StringIO(content.decode("utf-8"), ""), strict=True)
        if tuple(header) != HEADER:
            raise ValueError(f"its columns are {', '.join(header)[:80]}, not {', '.join(HEADER)}")
        return [
            Predicted(file, label, predicted, float(probability), part)
            for file, label, predicted, probability, part in rows
        ]
    except (ValueError, csv.Error) as error:
        raise DamagedFile(f"{where} cannot be read: {one_line(error)}") from None


def to_arrays(held_out: HeldOut) -> dict[str, np.ndarray]:
    """Return what ``predictions.npz`` holds of them, beside what it holds of every run."""
    import numpy as np

    return {
        "held_out_files": np.array([file.encode() for file in held_out.files]),
        "held_out_parts": np.array([part.encode() for part in held_out.parts]),
        "held_out_labels": held_out.labels,
        "held_out_probabilities": held_out.probabilities.astype(np.float32),
    }


def _texts(array: np.ndarray) -> list[str]:
    return [each.decode() for each in array.tolist()]


def read_held_out(content: bytes, where: str) -> HeldOut | None:
    """Read what ``to_arrays`` made; None where a file has none of it, as of arrays and of older versions.

    Raises:
        DamagedFile: it is something else, or damaged.
    """
    import numpy as np

    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            if "held_out_files" not in arrays.files:
                return None
            files, parts, labels, probabilities = (arrays[f"held_out_{name}"] for name in _ARRAYS)
            found = HeldOut(_texts(files), _texts(parts), labels, probabilities)
    except DAMAGED as error:
        raise DamagedFile(f"{where} cannot be read: {one_line(error)}") from None
    fits = labels.dtype.kind in "iu" and probabilities.dtype.kind == "f" and probabilities.ndim == 2
    sizes = {len(found.files), len(found.parts), *labels.shape, *probabilities.shape[:1]}
    if not fits or len(sizes) > 1 or not probabilities.size:
        raise DamagedFile(f"{where} cannot be read: files, labels and probabilities do not match")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise DamagedFile(f"{where} cannot be read: files, labels and probabilities do not match")
    return found
