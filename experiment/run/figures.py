"""Arrays to pictures and tables on an experiment; every picture is a PNG in the run directory as well."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiment.evaluation import measures
from experiment.run import grids, lettering

SAMPLES, MISTAKES = 60, 40
GRID_ROWS, LEAST_OF_A_CLASS = 20, 5
# Behind the cells of Comet's confusion matrix; each is a file that takes the SDK 1.5 ms, then an upload.
EXAMPLES, EXAMPLES_OF_A_CELL = 100, 5


def confident_mistakes(labels: np.ndarray, probabilities: np.ndarray, count: int = MISTAKES) -> np.ndarray:
    """Return the indices int64 [≤ count] of wrong predictions, the most confident first.

    Args:
        labels: int32 [N].
        probabilities: float32 [N, classes].
        count: how many at most.
    """
    wrong = np.flatnonzero(probabilities.argmax(-1) != labels)
    # Stable, so that equal confidences are in the same order in each rerun.
    return wrong[np.argsort(-probabilities[wrong].max(-1), kind="stable")][:count]


def log_confusion_matrix(
    experiment: Any,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    images: np.ndarray,
) -> None:
    """Log the confusion matrix with sample images uint8 [N, H, W, C] behind its cells."""
    predicted = probabilities.argmax(-1)
    cells = np.count_nonzero(measures.confusion(labels, predicted, len(class_names)))
    experiment.log_confusion_matrix(
        y_true=labels.tolist(),
        y_predicted=predicted.tolist(),
        labels=list(class_names),
        images=_Pictures(images),
        # The SDK would leave out the rest of more than 25 classes.
        max_categories=max(25, len(class_names)),
        max_examples_per_cell=max(1, min(EXAMPLES_OF_A_CELL, EXAMPLES // cells)),
        title="Confusion matrix, test set",
    )


class _Pictures:
    """Images [N, H, W, C] one by one, grey ones without their channel; the SDK asks for those it shows."""

    def __init__(self, images: Any) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> np.ndarray:
        return _drawn(self._images[index])


def _drawn(image: np.ndarray) -> np.ndarray:
    """Return an image [H, W, C] as drawing wants it: a grey one without its channel."""
    return image[..., 0] if image.shape[-1] == 1 else image


def class_scores(
    labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> list[list[Any]]:
    """Return rows of class, precision, recall, F1 and number of examples, over labels int32 [N]."""
    scores = measures.class_scores(labels, probabilities.argmax(-1), len(class_names)).tolist()
    return [
        [name, *(round(value, 6) for value in row[:3]), int(row[3])]
        for name, row in zip(class_names, scores, strict=True)
    ]


def log_class_scores(experiment: Any, rows: Sequence[Sequence[Any]]) -> None:
    """Log rows of ``class_scores`` as a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([["class", "precision", "recall", "f1", "examples"], *rows])
    # log_table would import pandas, half a second, to make the same CSV asset.
    experiment.log_asset_data(text.getvalue(), name="class-scores.csv")


def log_samples(
    experiment: Any, path: Path, images: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> None:
    """Log a grid of images uint8 [N, H, W, C] under their labels int32 [N], a row a class."""
    columns = max(LEAST_OF_A_CLASS, min(grids.COLUMNS, SAMPLES // max(1, len(class_names))))
    members = [np.flatnonzero(labels == label)[:columns] for label in range(min(len(class_names), GRID_ROWS))]
    # A row that has fewer than others leaves its rest empty, so that the next class begins below it.
    places = [row * columns + column for row, found in enumerate(members) for column in range(len(found))]
    shown = np.concatenate(members)
    names = lettering.drawable(class_names)
    captions = [names[label] for label in labels[shown]]
    title = "Samples of the training set"
    if len(class_names) > GRID_ROWS:
        title += f": the first {GRID_ROWS} of {len(class_names)} classes"
    grids.draw_grid(path, title, images[shown], captions, columns, places)
    experiment.log_image(str(path), name=path.name)


def log_mistakes(
    experiment: Any,
    path: Path,
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> None:
    """Log a grid of the most confident mistakes; nothing where every prediction is right."""
    worst = confident_mistakes(labels, probabilities)
    predicted = probabilities.argmax(-1)
    names = lettering.drawable(class_names)
    pairs = [(names[labels[index]], names[predicted[index]]) for index in worst]
    families = lettering.families("".join(names))
    fit = all(
        lettering.text_width(" → ".join(pair), families) <= lettering.CAPTION_WIDTH for pair in set(pairs)
    )
    arrow = " → " if fit else "\n→ "
    captions = [
        f"{arrow.join(pair)}\n{probabilities[index].max():.0%}"
        for pair, index in zip(pairs, worst, strict=True)
    ]
    # Of what a run that goes on was before, there may be one.
    path.unlink(missing_ok=True)
    if captions:
        title = "Most confident mistakes on the test set: true → predicted, how sure before calibration"
        grids.draw_grid(path, title, images[worst], captions)
        experiment.log_image(str(path), name=path.name)


def log_weight_histograms(experiment: Any, weights: Mapping[str, np.ndarray], step: int) -> None:
    """Log a histogram of each named weight array at a step."""
    for name, values in weights.items():
        experiment.log_histogram_3d(np.asarray(values).ravel(), name=f"weights/{name}", step=step)
