"""Suspected label errors: pictures whose label runs contradict that were not trained on them."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiment.data import pictures
from experiment.data.image_set import Inspection
from experiment.errors import UserError
from experiment.store.files import atomic_path
from experiment.store.held_out import HeldOut, read_held_out
from experiment.store.others import PREDICTIONS
from experiment.store.record import RunRecord
from experiment.system.names import short

COLUMNS = ("suggested", "quality", "suspect")


@dataclasses.dataclass(frozen=True)
class Suspect:
    """A picture and its label, the class that is likelier, and the label's quality.

    ``quality`` is 0 to 1: how probable the label is beside the likeliest other class, 0.5 if equally.
    ``flagged`` says that confident learning takes the label for an error.
    """

    file: str
    part: str
    label: str
    suggested: str
    quality: float
    flagged: bool


@dataclasses.dataclass(frozen=True)
class Suspects:
    """All pictures that were judged, the most suspicious first; by how many runs, out of how many."""

    judged: Sequence[Suspect]
    runs: int
    pictures: int

    @property
    def flagged(self) -> list[Suspect]:
        """Those whose label is taken for an error."""
        return [each for each in self.judged if each.flagged]


def check_installed() -> None:
    """Refuse to search where cleanlab is missing.

    Raises:
        UserError: it is, with how to install it.
    """
    if importlib.util.find_spec("cleanlab") is None:
        raise UserError("suspected label errors need cleanlab: pip install -c constraints.txt -e '.[labels]'")


def find_suspects(records: Sequence[RunRecord]) -> Suspects:
    """Rank pictures by how little their labels agree with runs that were not trained on them.

    Each picture is judged by the mean probabilities of the runs that held it out. The ranking is cleanlab's
    normalized margin, the flags its confident learning (Northcutt, Jiang, Chuang 2021, JAIR 70).

    Args:
        records: runs on the same set of pictures; one is enough, and judges what it held out.

    Raises:
        UserError: cleanlab is missing, a run keeps no such predictions, or the sets differ.
    """
    check_installed()
    described = [record.run.get("dataset", {}) for record in records]
    for record, each in zip(records, described, strict=True):
        if each.get("fingerprint") != described[0].get("fingerprint"):
            raise UserError(f"run {short(record.key)} saw other data than {short(records[0].key)}")
    merged = _merge([_held_out(record) for record in records])
    classes = described[0].get("classes") or []
    if len(classes) != merged.probabilities.shape[1]:
        raise UserError(f"run {short(records[0].key)} does not tell the names of its classes")
    quality, flagged = _judge(merged)
    guesses = _likeliest_other(merged)
    order = np.lexsort((quality, ~flagged))
    total = sum(described[0].get(part, 0) for part in ("train", "validation", "test"))
    if records[0].params.get("validation") == "test":
        total -= described[0].get("validation", 0)  # the test set itself
    found = [
        Suspect(
            *(merged.files[place], merged.parts[place], classes[merged.labels[place]]),
            *(classes[guesses[place]], float(quality[place]), bool(flagged[place])),
        )
        for place in order.tolist()
    ]
    return Suspects(found, len(records), total)


def _held_out(record: RunRecord) -> HeldOut:
    content = record.file(PREDICTIONS)
    found = None if content is None else read_held_out(content, f"{PREDICTIONS} of run {short(record.key)}")
    if found is None:
        raise UserError(
            f"run {short(record.key)} keeps no predictions by file: only finished runs on pictures do, "
            "made since there are tables of labels"
        )
    return found


def _merge(all_held_out: Sequence[HeldOut]) -> HeldOut:
    """Return each picture once, with the mean of its probabilities over the runs that held it out."""
    places: dict[str, int] = {}
    parts: list[str] = []
    labels: list[int] = []
    rows: list[int] = []
    for held_out in all_held_out:
        for place, file in enumerate(held_out.files):
            if places.setdefault(file, len(places)) == len(parts):
                parts.append(held_out.parts[place])
                labels.append(held_out.labels[place])
            rows.append(places[file])
    probabilities = np.concatenate([each.probabilities for each in all_held_out]).astype(np.float64)
    sums = np.zeros((len(places), probabilities.shape[1]))
    np.add.at(sums, rows, probabilities)
    return HeldOut(list(places), parts, np.array(labels), sums / sums.sum(-1, keepdims=True))


def _judge(merged: HeldOut) -> tuple[np.ndarray, np.ndarray]:
    """Return of each picture the quality of its label, float [N], and whether it is taken for an error."""
    with warnings.catch_warnings():  # pandas and others, when they are imported
        warnings.simplefilter("ignore")
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores

        labels, present = np.unique(merged.labels, return_inverse=True)
        probabilities = merged.probabilities[:, labels]
        probabilities = probabilities / probabilities.sum(-1, keepdims=True)
        quality = get_label_quality_scores(present, probabilities, method="normalized_margin")
        flagged = (
            find_label_issues(present, probabilities, n_jobs=1)
            if len(labels) > 1
            else np.zeros(len(present), bool)
        )
    return quality, flagged


def _likeliest_other(merged: HeldOut) -> np.ndarray:
    """Return of each picture the likeliest class that is not its label, int [N]."""
    others = merged.probabilities.copy()
    others[np.arange(len(others)), merged.labels] = -1
    return others.argmax(-1)


def write_table(suspects: Suspects, record: RunRecord, path: Path) -> None:
    """Write the whole set as a table of labels, suspects first: correct its labels, and train on it.

    Paths are relative to the table. Its parts are the set's own, where that has any.

    Raises:
        UserError: the pictures are not here any more, or the table cannot be written.
    """
    inspection = _inspect(record)
    judged = {each.file: (place, each) for place, each in enumerate(suspects.judged)}
    files = sorted(inspection.files, key=lambda file: judged.get(file.path, (len(judged), None))[0])
    named = [name for name, given in _given(inspection).items() if given]
    try:
        with atomic_path(path) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["file", "label", *named, *COLUMNS])
            for file in files:
                _, found = judged.get(file.path, (None, None))
                cells = {"split": file.part, "group": file.group}
                where = os.path.relpath(inspection.place(file), path.absolute().parent)
                told = (
                    [found.suggested, f"{found.quality:.4f}", "yes" if found.flagged else ""] if found else []
                )
                writer.writerow([where, file.class_name, *(cells[name] for name in named), *told])
    except OSError as error:
        raise UserError(f"--csv '{path}' cannot be written: {error.strerror}") from None


def _given(inspection: Inspection) -> dict[str, bool]:
    return {"split": inspection.parts != ("train",), "group": inspection.grouped}


def _inspect(record: RunRecord) -> Inspection:
    """Look at the pictures of a run again.

    Raises:
        UserError: they are gone.
    """
    source: Any = record.run.get("dataset", {}).get("source")
    if not source or not pictures.is_pictures(source):
        raise UserError(f"the pictures of run {short(record.key)} are not in '{source}' any more")
    return pictures.inspect(source, record.params.__getitem__)
