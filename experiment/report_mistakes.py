"""The test sets of a report: true labels, class names and, where they can be had, pictures of mistakes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiment import data
from experiment.predictions import Predictions
from experiment.rundir import RunRecord

IMAGE_BYTES = 1_500_000
SIDE = 64  # larger pictures are shown by every k-th pixel


def tests(
    records: Sequence[RunRecord], predictions: Sequence[Predictions | None]
) -> dict[str, dict[str, Any]]:
    """Return what is known of each test set, by its fingerprint.

    Pictures are read from the data that a run was trained on, if that lies here and still has the test set's
    fingerprint: of the examples that some run got wrong, as many as fit, first those that divide the runs.
    """
    found: dict[str, dict[str, Any]] = {}
    for record, each in zip(records, predictions, strict=True):
        fingerprint = record.run.get("dataset", {}).get("test_fingerprint")
        if each is None or not fingerprint or fingerprint in found:
            continue
        same = [
            (other, known)
            for other, known in zip(records, predictions, strict=True)
            if known is not None and other.run.get("dataset", {}).get("test_fingerprint") == fingerprint
        ]
        count = max(known.probabilities.shape[1] for _, known in same)
        names = [other.run["dataset"].get("classes") for other, _ in same]
        wide = np.uint8 if count <= 256 else np.dtype("<u2")
        found[fingerprint] = {
            "classes": next((each for each in names if each), [str(label) for label in range(count)]),
            "wide": count > 256,
            "labels": base64.b64encode(each.labels.astype(wide).tobytes()).decode("ascii"),
            "images": _pictures([other for other, _ in same], [known for _, known in same]),
        }
    return found


def _pictures(records: Sequence[RunRecord], predictions: Sequence[Predictions]) -> dict[str, Any] | None:
    labels = predictions[0].labels
    wrong = sum(
        (each.probabilities.argmax(-1) != labels).astype(np.int64)
        for each in predictions
        if each.labels.shape == labels.shape
    )
    sources = {record.run["dataset"].get("source"): record for record in reversed(records)}
    images = next((found for record in sources.values() if (found := _test_images(record)) is not None), None)
    if images is None or len(images) != len(labels) or not np.any(wrong):
        return None
    stride = -(-max(images.shape[1:3]) // SIDE)
    images = images[:, ::stride, ::stride]
    dividing = np.abs(np.asarray(wrong) - len(predictions) / 2)
    order = np.lexsort((np.arange(len(labels)), dividing))
    order = order[np.asarray(wrong)[order] > 0][: IMAGE_BYTES // int(np.prod(images.shape[1:]))]
    return {
        "indices": order.tolist(),
        "shape": list(images.shape[1:]),
        "pixels": base64.b64encode(np.ascontiguousarray(images[order]).tobytes()).decode("ascii"),
    }


def _test_images(record: RunRecord) -> np.ndarray | None:
    """Return a run's test images uint8 [N, H, W, C], None where they are not here or no longer the same."""
    described = record.run.get("dataset", {})
    source = described.get("source")
    if not source or not data.is_local(source):
        return None
    try:
        test = data.split_arrays(data.load_arrays(source), record.params.__getitem__).test
    except (ValueError, KeyError, OSError):
        return None
    content = hashlib.sha256(test.images.tobytes() + test.labels.tobytes())
    return test.images if content.hexdigest() == described.get("test_fingerprint") else None
