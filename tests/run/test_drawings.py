"""What can be drawn of a run from numbers that it keeps, at its end or at any time later."""

import json

import numpy as np
import pytest
from PIL import Image

from experiment.run import drawings, lettering, matrices
from experiment.store.files import DamagedFile

NAMES = ("cat", "狗", "$5 {and} $6", "caf\udce9")


def draw(folder, history=None) -> set[str]:
    """Draw what there are numbers for, and return the names of the pictures."""
    drawings.draw(folder, drawings.numbers(folder, history or {}))
    pictures = {path.name for path in folder.glob("*.png")}
    for name in pictures:
        with Image.open(folder / name) as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20  # something is on it
    return pictures


@pytest.mark.parametrize("classes", [2, 35, 70])
def test_the_counts_are_true_classes_down_and_predicted_ones_across(tmp_path, classes):
    labels = np.arange(200) % classes
    predicted = np.where(labels == 1, 0, labels)
    names = [
        NAMES[label] if label < len(NAMES) else f"class of a long name {label}" for label in range(classes)
    ]
    matrices.write_confusion_matrix(tmp_path, labels, np.eye(classes)[predicted], names)
    content = json.loads((tmp_path / "confusion-matrix.json").read_text())
    assert content["classes"] == [name.replace("\udce9", r"\xe9") for name in names]
    counts = np.array(content["counts"])
    assert counts.sum() == 200
    assert counts[1, 0] == (labels == 1).sum()
    assert counts[0, 1] == counts[1, 1] == 0
    assert draw(tmp_path) == {"confusion-matrix.png"}


@pytest.mark.parametrize("names", [["0", "1"], ["cat", "a rather long name of a class", "狗"]])
def test_the_names_of_classes_have_the_room_that_they_take(names):
    counts = np.eye(len(names), dtype=int).tolist()
    figure = drawings._draw_counts({"classes": names, "counts": counts})
    figure.draw_without_rendering()
    (axes,) = figure.axes
    for axis in (axes.xaxis, axes.yaxis):
        assert [text.get_text() for text in axis.get_ticklabels()] == lettering.drawable(names)
        title = axis.label.get_window_extent()
        assert min(title.x0, title.y0) > 0  # inside the picture
        assert all(not title.overlaps(text.get_window_extent()) for text in axis.get_ticklabels())
    widest = max(lettering.text_width(name, lettering.families(name)) for name in lettering.drawable(names))
    room = axes.get_window_extent().x0 / lettering.PIXELS_A_POINT
    assert room < widest + 60  # points: no more than that


def test_weights_have_counts_and_edges_and_what_is_not_finite_is_counted(tmp_path):
    weights = {
        "dense/kernel": np.linspace(-1, 1, 600).reshape(20, 30),
        "dense/$bias$": np.array([0.5, np.nan, np.inf]),
        "lost": np.full(4, np.nan),
    }
    matrices.write_weight_histograms(tmp_path, weights)
    content = json.loads((tmp_path / "weights.json").read_text())
    kernel, bias, lost = (content[name] for name in weights)
    assert kernel["shape"] == [20, 30]
    assert sum(kernel["counts"]) == 600
    assert (kernel["edges"][0], kernel["edges"][-1]) == (-1, 1)
    assert (bias["not_finite"], bias["mean"], sum(bias["counts"])) == (2, 0.5, 1)
    assert (lost["not_finite"], lost["mean"], lost["counts"]) == (4, None, [])
    assert draw(tmp_path) == {"weights.png"}


def test_weights_of_which_none_is_finite_are_not_drawn(tmp_path):
    matrices.write_weight_histograms(tmp_path, {"lost": np.full(4, np.nan)})
    assert draw(tmp_path) == set()


def test_of_many_arrays_the_largest_are_drawn_and_all_are_kept(tmp_path):
    matrices.write_weight_histograms(tmp_path, {str(size): np.ones(size) for size in range(1, 61)})
    drawn = drawings.numbers(tmp_path, {})["weights.png"]
    assert list(drawn) == [str(size) for size in range(21, 61)]
    assert len(json.loads((tmp_path / "weights.json").read_text())) == 60


@pytest.mark.parametrize("epochs", [1, 3])
def test_curves_tick_whole_epochs_and_ring_the_best(epochs):
    losses, accuracies = [0.5, 0.2, 0.3][:epochs], [0.8, 0.9, 0.7][:epochs]
    history = {"loss": losses, "val_loss": losses, "accuracy": accuracies, "val_accuracy": accuracies}
    figure = drawings._draw_curves(history)
    figure.draw_without_rendering()
    best = min(2, epochs)
    for axes, values in zip(figure.axes, (losses, accuracies), strict=True):
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks == [float(epoch) for epoch in range(1, epochs + 1)]
        ring = next(line for line in axes.lines if line.get_label() == f"best epoch, {best}")
        assert ring.get_xydata().tolist() == [[best, values[best - 1]]]


@pytest.mark.parametrize("losses", [[float("nan")], [1e300, 0.1, float("inf")]])
def test_curves_of_a_run_that_diverged_are_drawn(tmp_path, losses):
    history = {"loss": losses, "val_loss": losses, "accuracy": [0.1] * len(losses)}
    assert draw(tmp_path, history) == {"curves.png"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("confusion-matrix.json", {"classes": ["a", "b"], "counts": [[1, 2]]}, "a row and a column for each"),
        ("confusion-matrix.json", {"classes": ["a"], "counts": [[-1]]}, "greater than or equal to 0"),
        ("weights.json", {"w": {"shape": [2], "edges": [0.0], "counts": [1]}}, "between as many edges"),
        ("weights.json", {"w": {"shape": [2], "edges": [0.0] * 31, "counts": [0] * 30}}, "not all of them 0"),
    ],
)
def test_numbers_that_somebody_damaged_are_refused_by_name(tmp_path, name, content, reason):
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(DamagedFile) as caught:
        drawings.numbers(tmp_path, {})
    assert name in str(caught.value)
    assert reason in str(caught.value)
