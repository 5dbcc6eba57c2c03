"""What Comet draws by itself, for those without it: the confusion matrix and the weights, as PNG and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiment.evaluation.measures import confusion
from experiment.run import lettering
from experiment.run.figures import new_figure
from experiment.store.files import encode_json, write_atomically

BINS = 30
MOST_NUMBERED, MOST_NAMED = 30, 60  # classes whose counts, whose names can be read
MOST_DRAWN = 40  # weight arrays
_CELL, _LEAST, _MOST = 0.42, 2.5, 16.0  # inches: of a cell, of the matrix
_NAMES, _REST = 1.5, 0.4  # inches beside and below the matrix, and on its other sides


def write_confusion_matrix(
    folder: Path, labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> None:
    """Write ``confusion-matrix.json``, true classes down and predicted ones across, and a ``.png`` of it.

    Args:
        folder: where to.
        labels: int [N].
        probabilities: float [N, classes].
        class_names: of the classes, in order.
    """
    counts = confusion(labels, probabilities.argmax(-1), len(class_names))
    content = {"classes": list(class_names), "counts": counts.tolist()}
    write_atomically(folder / "confusion-matrix.json", encode_json(content) + b"\n")
    _draw_counts(folder / "confusion-matrix.png", counts, class_names)


def _draw_counts(path: Path, counts: np.ndarray, class_names: Sequence[str]) -> None:
    """Draw counts int [classes, classes], coloured by their share of the true class."""
    classes = len(class_names)
    side = float(np.clip(_CELL * classes, _LEAST, _MOST))
    size = side + _NAMES + _REST
    figure = new_figure(size, size)
    axes = figure.add_axes((_NAMES / size, _NAMES / size, side / size, side / size))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_title("Confusion matrix, test set", fontsize=11)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    named = range(classes) if classes <= MOST_NAMED else ()
    names = lettering.drawable(class_names) if named else []
    style = {
        "fontsize": lettering.FONT_SIZE,
        "fontfamily": lettering.families("".join(names)),
        "parse_math": False,
    }
    axes.set_xticks(named, names, rotation=90, **style)
    axes.set_yticks(named, names, **style)
    for row, column in np.argwhere(counts) if classes <= MOST_NUMBERED else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        place = {"ha": "center", "va": "center", "fontsize": lettering.FONT_SIZE}
        axes.text(column, row, str(counts[row, column]), color=colour, **place)
    figure.savefig(path)


def write_weight_histograms(folder: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write ``weights.json``, histograms of arrays' finite values, and ``weights.png`` of the largest."""
    described = {name: _describe(np.asarray(values)) for name, values in weights.items()}
    write_atomically(folder / "weights.json", encode_json(described) + b"\n")
    largest = sorted(described, key=lambda name: -int(np.prod(described[name]["shape"])))[:MOST_DRAWN]
    drawn = {name: found for name, found in described.items() if name in largest and found["counts"]}
    if drawn:
        _draw_histograms(folder / "weights.png", drawn)


def _describe(values: np.ndarray) -> dict[str, Any]:
    """Return shape, mean, standard deviation, edges [BINS + 1] and counts [BINS] of an array."""
    finite = values[np.isfinite(values)].astype(np.float64)
    found: dict[str, Any] = {"shape": list(values.shape), "not_finite": values.size - finite.size}
    if not finite.size:
        return found | {"mean": None, "std": None, "edges": [], "counts": []}
    counts, edges = np.histogram(finite, BINS)
    return found | {
        **{"mean": float(finite.mean()), "std": float(finite.std())},
        **{"edges": edges.tolist(), "counts": counts.tolist()},
    }


def _draw_histograms(path: Path, described: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw a row for each array, in its own range, on one pair of axes: many take seconds to lay out."""
    rows = len(described)
    width, height = 7.0, 0.7 + 0.4 * rows
    figure = new_figure(width, height)
    axes = figure.add_axes((0.36, 0.1 / height, 0.44, 1 - 0.6 / height))
    for row, found in enumerate(list(described.values())[::-1]):
        tops = np.asarray(found["counts"]) / max(found["counts"]) * 0.9
        axes.stairs(row + tops, np.linspace(0, 1, BINS + 1), baseline=row, fill=True, color="tab:blue")
        edges = found["edges"]
        axes.text(1.02, row + 0.2, f"{edges[0]:.3g} … {edges[-1]:.3g}", fontsize=lettering.FONT_SIZE)
    axes.set(xlim=(0, 1), ylim=(0, rows))
    axes.set_xticks([])
    names = list(described)[::-1]
    axes.set_yticks(np.arange(rows) + 0.3, names, fontsize=lettering.FONT_SIZE, parse_math=False)
    axes.set_title("Weights, each in its own range", fontsize=11)
    figure.savefig(path)
