"""Figures: names in any script, with whatever fonts there are, and never a warning."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from experiment.run import figures, lettering

NAMES = ("猫", "狗", "cat")


class Recorder:
    """Takes the place of an experiment: keeps the names of images."""

    def __init__(self):
        self.images = []

    def log_image(self, path, name):
        assert Path(path).is_file()
        self.images.append(name)


@pytest.mark.parametrize("channels", [1, 3])
def test_names_that_no_font_has_become_numbers_without_a_warning(tmp_path, monkeypatch, channels):
    monkeypatch.setattr(lettering, "families", lambda _: ["DejaVu Sans"])
    assert lettering.drawable(NAMES) == ["class 0", "class 1", "cat"]
    images, labels = np.zeros((6, 8, 8, channels), np.uint8), np.arange(6) % 3
    experiment = Recorder()
    figures.log_samples(experiment, tmp_path / "samples.png", images, labels, NAMES)
    probabilities = np.eye(3)[(labels + 1) % 3]
    figures.log_mistakes(experiment, tmp_path / "mistakes.png", images, labels, probabilities, NAMES)
    assert experiment.images == ["samples.png", "mistakes.png"]


def test_names_that_a_font_has_are_drawn_as_they_are():
    assert lettering.drawable(("café", "Ankle boot", "T-shirt/top", "Привет")) == [
        *("café", "Ankle boot", "T-shirt/top", "Привет")
    ]


def test_another_installed_font_is_taken_for_what_the_usual_one_lacks(monkeypatch):
    monkeypatch.setattr(lettering, "has_glyphs", lambda families, _: "Noto Sans CJK" in families)
    monkeypatch.setattr(lettering, "_WIDE_FONTS", lettering.re.compile("DejaVu Sans Mono|Noto Sans CJK"))
    from matplotlib import font_manager

    entry = font_manager.FontEntry(name="Noto Sans CJK")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist, entry])
    assert lettering.families("猫") == ["DejaVu Sans", "Noto Sans CJK"]


@pytest.mark.parametrize(
    "names",
    [("animals", "household", "$5 {and} $6"), ("a class of a very long name", "MMMMMMMMMMMMMMMM", "狗" * 20)],
)
def test_captions_of_neighbouring_images_do_not_overlap(tmp_path, monkeypatch, names):
    drawn = []
    monkeypatch.setattr(figures, "_log_figure", lambda *arguments: drawn.append(arguments[-1]))
    images, labels = np.zeros((20, 28, 28, 1), np.uint8), np.arange(20) % 3
    probabilities = np.eye(3)[(labels + 1) % 3]
    figures.log_samples(Recorder(), tmp_path / "samples.png", images, labels, names)
    figures.log_mistakes(Recorder(), tmp_path / "mistakes.png", images, labels, probabilities, names)
    for figure in drawn:
        figure.savefig(tmp_path / "drawn.png")
        texts = figure.axes[0].texts
        first_row = [text for text in texts if text.get_position()[1] == texts[0].get_position()[1]]
        boxes = [text.get_window_extent() for text in first_row]
        assert len(boxes) == (7 if figure is drawn[0] else 10)
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


@pytest.mark.parametrize("epochs", [1, 3])
def test_curves_tick_whole_epochs_and_ring_the_best(tmp_path, monkeypatch, epochs):
    drawn = []
    monkeypatch.setattr(figures, "_log_figure", lambda *arguments: drawn.append(arguments[-1]))
    losses, accuracies = [0.5, 0.2, 0.3][:epochs], [0.8, 0.9, 0.7][:epochs]
    history = {"loss": losses, "val_loss": losses, "accuracy": accuracies, "val_accuracy": accuracies}
    figures.log_curves(Recorder(), tmp_path / "curves.png", history)
    drawn[0].savefig(tmp_path / "curves.png")
    best = min(2, epochs)
    for axes, values in zip(drawn[0].axes, (losses, accuracies), strict=True):
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks == [float(epoch) for epoch in range(1, epochs + 1)]
        ring = next(line for line in axes.lines if line.get_label() == f"best epoch, {best}")
        assert ring.get_xydata().tolist() == [[best, values[best - 1]]]


def test_each_class_of_the_samples_has_a_row_of_its_own(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "_log_figure", lambda *arguments: drawn.append(arguments[-1]))
    labels = np.array([0] * 12 + [1] * 2 + [2] * 12)
    images = np.zeros((len(labels), 8, 8, 1), np.uint8)
    figures.log_samples(Recorder(), tmp_path / "samples.png", images, labels, ("cat", "dog", "owl"))
    rows: dict[float, list[str]] = {}
    for text in drawn[0].axes[0].texts:
        rows.setdefault(text.get_position()[1], []).append(text.get_text())
    assert list(rows.values()) == [["cat"] * 10, ["dog"] * 2, ["owl"] * 10]
