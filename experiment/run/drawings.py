"""What can be drawn of a run at any time, from numbers that it keeps: curves, confusion matrix, weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiment.evaluation.measures import best_epoch
from experiment.run import lettering, matrices
from experiment.store.files import atomic_path
from experiment.system.names import as_utf8

# What is imported for it.
MODULES = ("matplotlib.figure", "matplotlib.backends.backend_agg")
PICTURES = CURVES, CONFUSION, WEIGHTS = "curves.png", "confusion-matrix.png", "weights.png"
MOST_NUMBERED, MOST_NAMED = 30, 60  # classes whose counts, whose names can be read
MOST_DRAWN = 40  # weight arrays
_CELL, _LEAST, _MOST = 0.42, 2.5, 16.0  # inches: of a cell, of the matrix
_TITLES, _REST = 0.6, 0.4  # inches beside and below names of classes, and on the other sides of the matrix


def numbers(
    folder: Path, history: Mapping[str, Sequence[float]], names: Collection[str] = PICTURES
) -> dict[str, Any]:
    """Return of those pictures that can be drawn what each shows, by their names.

    Args:
        folder: the run's of figures, where the numbers of matrix and weights lie.
        history: the values of each metric, one an epoch.
        names: of the pictures that are asked for.

    Raises:
        DamagedFile: numbers are not what they should be.
    """
    find: dict[str, Callable[[], Any]] = {
        CURVES: lambda: history,
        CONFUSION: lambda: matrices.read_confusion_matrix(folder),
        WEIGHTS: lambda: _largest(matrices.read_weight_histograms(folder)),
    }
    found = {name: find[name]() for name in names}
    return {name: shown for name, shown in found.items() if shown}


def draw(folder: Path, pictures: Mapping[str, Any]) -> None:
    """Draw pictures, of what ``numbers`` returns, into a folder.

    Raises:
        OSError: one cannot be written.
    """
    folder.mkdir(exist_ok=True)
    for name, shown in pictures.items():
        figure = _DRAW[name](shown)
        # Not of a user's doing: matplotlib computes with whatever a diverged run has.
        with atomic_path(folder / name) as beside, np.errstate(all="ignore"):
            figure.savefig(beside)


def remove(folder: Path) -> None:
    """Remove pictures of what a run was before, and what is left of one that a kill cut short."""
    for path in (*(folder / name for name in PICTURES), *folder.glob(".tmp-*")):
        path.unlink(missing_ok=True)


def _draw_curves(history: Mapping[str, Sequence[float]]) -> Any:
    """Draw loss and accuracy over epochs, of training and validation; a ring at the best epoch."""
    from matplotlib.ticker import MaxNLocator

    figure = _new_figure(9, 3.6)
    # Laying them out by their texts, as matplotlib can, would take as long as drawing them.
    figure.subplots_adjust(left=0.085, right=0.985, bottom=0.15, top=0.94, wspace=0.22)
    losses = history.get("val_loss", ())
    best = best_epoch(losses, "val_loss") + 1 if np.isfinite(losses).any() else None
    for place, metric in enumerate(("loss", "accuracy"), 1):
        axes = figure.add_subplot(1, 2, place)
        for name, label in ((metric, "training"), (f"val_{metric}", "validation")):
            values = history.get(name, ())
            axes.plot(range(1, len(values) + 1), values, label=label, marker="." if len(values) < 20 else "")
            if best and name.startswith("val_") and len(values) >= best:
                ring = {
                    "marker": "o",
                    "markersize": 9,
                    "fillstyle": "none",
                    "linestyle": "",
                    "color": "black",
                }
                axes.plot([best], [values[best - 1]], label=f"best epoch, {best}", **ring)
        axes.set(xlabel="epoch", ylabel=metric)
        # There is no epoch 1.5; with one epoch alone, matplotlib would show 0.96 to 1.04.
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


def _draw_counts(kept: Mapping[str, Any]) -> Any:
    """Draw counts [classes, classes], coloured by their share of the true class."""
    counts, class_names = np.asarray(kept["counts"]), kept["classes"]
    classes = len(class_names)
    side = float(np.clip(_CELL * classes, _LEAST, _MOST))
    named = range(classes) if classes <= MOST_NAMED else ()
    names = lettering.drawable(class_names) if named else []
    families = lettering.families("".join(names))
    beside = _TITLES + max((lettering.text_width(name, families) for name in names), default=0) / 72
    size = beside + side + _REST
    figure = _new_figure(size, size)
    axes = figure.add_axes((beside / size, beside / size, side / size, side / size))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_title("Confusion matrix, test set", fontsize=11)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    style = {"fontsize": lettering.FONT_SIZE, "fontfamily": families, "parse_math": False}
    axes.set_xticks(named, names, rotation=90, **style)
    axes.set_yticks(named, names, **style)
    for row, column in np.argwhere(counts) if classes <= MOST_NUMBERED else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        place = {"ha": "center", "va": "center", "fontsize": lettering.FONT_SIZE}
        axes.text(column, row, str(counts[row, column]), color=colour, **place)
    return figure


def _largest(described: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the histograms of the largest arrays, in order, without those that hold no finite value."""
    by_size = sorted(described, key=lambda name: -math.prod(described[name]["shape"]))[:MOST_DRAWN]
    return {name: found for name, found in described.items() if name in by_size and found["counts"]}


def _draw_histograms(described: Mapping[str, Mapping[str, Any]]) -> Any:
    """Draw a row for each array, in its own range, on one pair of axes: many take seconds to lay out."""
    rows = len(described)
    width, height = 7.0, 0.7 + 0.4 * rows
    figure = _new_figure(width, height)
    axes = figure.add_axes((0.36, 0.1 / height, 0.44, 1 - 0.6 / height))
    places = np.linspace(0, 1, matrices.BINS + 1)
    for row, found in enumerate(list(described.values())[::-1]):
        tops = np.asarray(found["counts"]) / max(found["counts"]) * 0.9
        axes.stairs(row + tops, places, baseline=row, fill=True, color="tab:blue")
        edges = found["edges"]
        axes.text(1.02, row + 0.2, f"{edges[0]:.3g} … {edges[-1]:.3g}", fontsize=lettering.FONT_SIZE)
    axes.set(xlim=(0, 1), ylim=(0, rows))
    axes.set_xticks([])
    names = [as_utf8(name) for name in described][::-1]
    style = {"fontsize": lettering.FONT_SIZE, "fontfamily": lettering.families("".join(names))}
    axes.set_yticks(np.arange(rows) + 0.3, names, parse_math=False, **style)
    axes.set_title("Weights, each in its own range", fontsize=11)
    return figure


def _new_figure(width: float, height: float) -> Any:
    """Make a figure of so many inches without pyplot, which keeps every figure it ever made."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=lettering.DOTS_PER_INCH)


_DRAW: dict[str, Callable[[Any], Any]] = {
    CURVES: _draw_curves,
    CONFUSION: _draw_counts,
    WEIGHTS: _draw_histograms,
}
