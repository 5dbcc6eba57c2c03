"""The test sets of a report: true labels, class names and, where they can be had, pictures of mistakes."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiment.data import downloads, pictures
from experiment.data.named_sets import DATASETS
from experiment.data.splits import split_arrays
from experiment.errors import UserError
from experiment.store.record import RunRecord

IMAGE_BYTES = 1_500_000
PREDICTION_BYTES = 6_000_000
SIDE = 64  # larger pictures are shown by every k-th pixel


@dataclasses.dataclass(frozen=True)
class PredictedClasses:
    """Of each test example [N] its label and the predicted class; how sure that was, in 255ths, uint8."""

    labels: np.ndarray
    predicted: np.ndarray
    sure: np.ndarray
    classes: int

    def encoded(self) -> dict[str, str]:
        """Return what the page decodes; a class is one byte, or two where there are more than 256."""
        return {"predicted": _base64(self.predicted.astype(_wide(self.classes))), "sure": _base64(self.sure)}


def read_predicted(records: Sequence[RunRecord]) -> list[PredictedClasses | None]:
    """Read what each run said of its test set; None where that is not kept, or no longer fits the page."""
    all_answers: list[PredictedClasses | None] = []
    room = PREDICTION_BYTES
    for record in records:
        found = _read(record) if room > 0 else None
        room -= 2 * len(found.labels) if found else 0
        all_answers.append(found)
    return all_answers


def tests(
    records: Sequence[RunRecord], all_answers: Sequence[PredictedClasses | None]
) -> dict[str, dict[str, Any]]:
    """Return what is known of each test set, by its fingerprint.

    Pictures are read from the data that a run was trained on, if that lies here and still has the test set's
    fingerprint: of the examples that some run got wrong, as many as fit, first those that divide the runs.
    """
    by_set: dict[str, list[tuple[RunRecord, PredictedClasses]]] = {}
    for record, answers in zip(records, all_answers, strict=True):
        fingerprint = record.run.get("dataset", {}).get("test_fingerprint")
        if answers is not None and fingerprint:
            by_set.setdefault(fingerprint, []).append((record, answers))
    found = {}
    for fingerprint, members in by_set.items():
        first, count = members[0][1], max(answers.classes for _, answers in members)
        names = (record.run["dataset"].get("classes") for record, _ in members)
        found[fingerprint] = {
            "classes": next((each for each in names if each), [str(label) for label in range(count)]),
            "wide": count > 256,
            "labels": _base64(first.labels.astype(_wide(count))),
            "images": _pictures([record for record, _ in members], [answers for _, answers in members]),
        }
    return found


def _read(record: RunRecord) -> PredictedClasses | None:
    try:
        found = record.predictions()
    except (OSError, UserError):
        return None  # the verdicts say so
    if found is None:
        return None
    sure = np.round(found.probabilities.max(-1) * 255).clip(0, 255).astype(np.uint8)
    return PredictedClasses(found.labels, found.probabilities.argmax(-1), sure, found.probabilities.shape[1])


def _pictures(records: Sequence[RunRecord], all_answers: Sequence[PredictedClasses]) -> dict[str, Any] | None:
    labels = all_answers[0].labels
    alike = [answers for answers in all_answers if answers.labels.shape == labels.shape]
    wrong = np.sum([answers.predicted != labels for answers in alike], axis=0)
    sources = {record.run["dataset"].get("source"): record for record in reversed(records)}
    images = next((found for record in sources.values() if (found := _test_images(record)) is not None), None)
    if images is None or len(images) != len(labels) or not np.any(wrong):
        return None
    stride = -(-max(images.shape[1:3]) // SIDE)
    images = images[:, ::stride, ::stride]
    order = np.lexsort((np.arange(len(labels)), np.abs(wrong - len(alike) / 2)))
    order = order[wrong[order] > 0][: IMAGE_BYTES // int(np.prod(images.shape[1:]))]
    return {
        "indices": order.tolist(),
        "shape": list(images.shape[1:]),
        "pixels": _base64(np.ascontiguousarray(images[order])),
    }


def _test_images(record: RunRecord) -> np.ndarray | None:
    """Return a run's test images uint8 [N, H, W, C], None where they are not here or no longer the same."""
    described = record.run.get("dataset", {})
    source = described.get("source")
    if not source or not _is_here(source):
        return None
    try:
        get_parameter = record.params.__getitem__
        test = split_arrays(pictures.load_set(source, get_parameter), get_parameter).test
    except (UserError, KeyError, OSError):
        return None
    content = hashlib.sha256(test.images.tobytes() + test.labels.tobytes())
    return test.images if content.hexdigest() == described.get("test_fingerprint") else None


def _is_here(source: str) -> bool:
    """Tell whether a set can be read without downloading it; Keras keeps what was downloaded once."""
    if source in DATASETS and source != "mnist-5k":
        return any(downloads.cache("datasets").glob(f"{source}*"))
    return source == "mnist-5k" or os.path.exists(source)


def _wide(classes: int) -> np.dtype[Any]:
    return np.dtype("u1" if classes <= 256 else "<u2")


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
