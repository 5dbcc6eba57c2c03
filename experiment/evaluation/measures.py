"""What predicted classes are worth, beside accuracy: by class, among the first few, and by order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# What the best epoch may be chosen by, and whether less of it is better.
MONITORS = {
    "val_loss": True,
    "val_accuracy": False,
    "val_balanced_accuracy": False,
    "val_macro_f1": False,
    "val_top_k_accuracy": False,
}


def best_epoch(values: Sequence[float], monitor: str) -> int:
    """Return the index of the best of a monitor's values [epochs]; the last, where none is finite."""
    series = np.asarray(values, np.float64) * (1 if MONITORS[monitor] else -1)
    return int(np.nanargmin(series)) if np.isfinite(series).any() else len(series) - 1


def class_measures(
    labels: np.ndarray, predicted: np.ndarray, ranks: np.ndarray, classes: int, top_k: int
) -> dict[str, float]:
    """Return balanced accuracy, macro-F1 and, where there are more classes than ``top_k``, top-k accuracy.

    As scikit-learn defines them: balanced accuracy is the mean recall of the classes that have examples;
    macro-F1 the mean F1 of the classes that have examples or were predicted.

    Args:
        labels: int32 [N].
        predicted: int32 [N].
        ranks: int32 [N], how many classes were held likelier than the true one.
        classes: how many.
        top_k: what rank counts as found.
    """
    right, having, given = _counts(labels, predicted, classes)
    found = {
        "balanced_accuracy": float(np.mean(right[having > 0] / having[having > 0])),
        "macro_f1": float(np.mean(_f1(right, having, given)[having + given > 0])),
    }
    if classes > top_k:
        found["top_k_accuracy"] = float(np.mean(ranks < top_k))
    return found


def ranks_of(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how many classes have a higher logit than the true one, int [N]; all of them where it is NaN.

    Args:
        logits: [N, classes].
        labels: int32 [N].
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    higher: np.ndarray = (logits > own).sum(-1)
    return np.where(np.isnan(own[:, 0]), logits.shape[1], higher)


def class_scores(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return precision, recall, F1 and number of examples of each class, float64 [classes, 4]; 0 for 0 / 0.

    Args:
        labels: int32 [N].
        predicted: int [N].
        classes: how many.
    """
    right, having, given = _counts(labels, predicted, classes)
    # Where a divisor is 0, so is what it divides.
    shares = [right / np.maximum(given, 1), right / np.maximum(having, 1)]
    return np.stack([*shares, _f1(right, having, given), having], axis=1)


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return counts int64 [classes, classes], true classes down and predicted ones across; both int [N]."""
    counts = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


def _counts(
    labels: np.ndarray, predicted: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each class int64 [classes] how many were predicted rightly, belong to it, were predicted."""
    counts = confusion(labels, predicted, classes)
    return counts.diagonal(), counts.sum(1), counts.sum(0)


def _f1(right: np.ndarray, having: np.ndarray, given: np.ndarray) -> np.ndarray:
    # Where the divisor is 0, so is what it divides.
    scores: np.ndarray = 2 * right / np.maximum(having + given, 1)
    return scores


def area_under_curve(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Return the area under the ROC curve, 0 to 1: of two classes, else the mean of each against the rest.

    Args:
        labels: int32 [N].
        probabilities: [N, classes].

    Returns:
        None where a class has no example, or a probability is NaN.
    """
    classes = probabilities.shape[1]
    if len(np.unique(labels)) < classes or not np.isfinite(probabilities).all():
        return None
    if classes == 2:
        return _area_of_one(labels == 1, probabilities[:, 1])
    areas = [_area_of_one(labels == label, probabilities[:, label]) for label in range(classes)]
    return float(np.mean(areas))


def _area_of_one(belongs: np.ndarray, scores: np.ndarray) -> float:
    """Return the area under the ROC curve by the Mann-Whitney statistic (Hanley and McNeil, 1982).

    That is the share of pairs, one example that belongs to the class and one that does not, in which the
    first has the higher score; a pair of equal scores counts half. scikit-learn takes a second to import.
    """
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # Equal scores share the mean of their ranks, which count from 1.
    ranks = np.cumsum(counts) - (counts - 1) / 2
    inside = int(belongs.sum())
    above = ranks[places[belongs]].sum() - inside * (inside + 1) / 2
    return float(above / (inside * (len(belongs) - inside)))
