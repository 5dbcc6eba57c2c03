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
    confusion = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes**2)
    confusion = confusion.reshape(classes, classes)
    right, having, given = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    found = {
        "balanced_accuracy": float(np.mean(right[having > 0] / having[having > 0])),
        "macro_f1": float(np.mean((2 * right / np.maximum(having + given, 1))[having + given > 0])),
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


def area_under_curve(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Return the area under the ROC curve, 0 to 1: of two classes, else the mean of each against the rest.

    Args:
        labels: int32 [N].
        probabilities: [N, classes].

    Returns:
        None where a class has no example, or a probability is NaN.
    """
    from sklearn.metrics import roc_auc_score

    if len(np.unique(labels)) < probabilities.shape[1] or not np.isfinite(probabilities).all():
        return None
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    # In float64, as scikit-learn refuses rows that do not sum to 1.
    exact = probabilities.astype(np.float64)
    return float(roc_auc_score(labels, exact / exact.sum(-1, keepdims=True), multi_class="ovr"))
