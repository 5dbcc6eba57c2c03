"""Is less of a metric better, or more? The one table that verdicts, tables, rankings and pages go by."""

from __future__ import annotations

import re
from typing import Literal

Direction = Literal["lower", "higher"]

_TIMES = frozenset(("s", "ms", "second", "seconds", "minutes", "hours", "duration", "latency"))
# Of the words in a metric's name the first row with a hit decides: `accuracy_loss` is a loss.
_WORDS: tuple[tuple[Direction | None, frozenset[str]], ...] = (
    (None, frozenset(("scale", "weight"))),
    ("lower", _TIMES),
    ("lower", frozenset(("loss", "error", "errors", "mistakes", "ece", "mce", "brier", "nll", "perplexity"))),
    (
        "lower",
        frozenset(("mae", "mse", "rmse", "mape", "msle", "crossentropy", "hinge", "divergence", "kld")),
    ),
    ("lower", frozenset(("memory", "ram", "bytes", "kb", "mb", "gb", "mib", "gib"))),
    ("higher", frozenset(("accuracy", "acc", "auc", "precision", "recall", "sensitivity", "specificity"))),
    ("higher", frozenset(("f1", "fbeta", "r2", "kappa", "mcc", "iou", "dice", "score", "similarity"))),
)


def direction_of(metric: str) -> Direction | None:
    """Return which of a metric's values are better, by the words in its name; None where they do not tell.

    ``test_ece_calibrated`` and ``epoch_s`` are better lower, ``val_accuracy`` and ``images_per_s`` higher.
    Nobody can tell of ``learning_rate``, or of a name without any word of the table.
    """
    words = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", metric).lower())
    if "per" in words:
        place = words.index("per")
        words, unit = words[:place], words[place + 1 :]
        if _TIMES.intersection(unit) and not _TIMES.intersection(words):
            return "higher"
    return next((direction for direction, known in _WORDS if known.intersection(words)), None)


def lower_is_better(metric: str) -> bool:
    """Tell whether less of a metric is better; where its name does not tell, more is taken to be."""
    return direction_of(metric) == "lower"
