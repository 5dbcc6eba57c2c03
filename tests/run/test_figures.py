"""Figures: names in any script, with whatever fonts there are, and never a warning."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiment.run import figures, lettering

DOTS_A_POINT = 120 / 72
NAMES = ("猫", "狗", "cat")


class Recorder:
    """Takes the place of an experiment: keeps the names of images."""

    def __init__(self):
        self.images, self.matrices = [], []

    def log_confusion_matrix(self, **given):
        self.matrices.append(given)

    def log_image(self, path, name):
        assert Path(path).is_file()
        self.images.append(name)


@pytest.fixture
def written(monkeypatch):
    """Lines of a grid as they are written: the middle (x, y) and the text, the title first."""
    lines = []
    real = lettering.write

    def write(pen, middle, text, size):
        lines.append((middle, text))
        real(pen, middle, text, size)

    monkeypatch.setattr(lettering, "write", write)
    return lines


def first_row(written):
    """Return the middle and the text of the first line of each caption in the first row."""
    return [(x, text) for (x, y), text in written[1:] if y == written[1][0][1]]


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


def test_mistakes_of_before_are_gone_where_there_are_none_now(tmp_path):
    experiment, path = Recorder(), tmp_path / "mistakes.png"
    path.touch()
    images, labels = np.zeros((6, 8, 8, 1), np.uint8), np.arange(6) % 3
    figures.log_mistakes(experiment, path, images, labels, np.eye(3)[labels], NAMES)
    assert not path.exists()
    assert experiment.images == []


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
def test_captions_of_neighbouring_images_do_not_overlap(tmp_path, written, names):
    images, labels = np.zeros((20, 28, 28, 1), np.uint8), np.arange(20) % 3
    probabilities = np.eye(3)[(labels + 1) % 3]
    figures.log_samples(Recorder(), tmp_path / "samples.png", images, labels, names)
    samples = first_row(written)
    written.clear()
    figures.log_mistakes(Recorder(), tmp_path / "mistakes.png", images, labels, probabilities, names)
    for row, count in ((samples, 7), (first_row(written), 10)):
        assert len(row) == count
        for (left, text), (right, _) in itertools.pairwise(row):
            assert right - left > lettering.text_width(text, lettering.families(text)) * DOTS_A_POINT
            with Image.open(tmp_path / "samples.png") as picture:
                assert right < picture.width


@pytest.mark.parametrize("shape", [(1, 400, 3), (400, 1, 1), (300, 500, 3)])
def test_a_grid_of_images_of_any_shape_has_a_bounded_size(tmp_path, shape):
    images, labels = np.full((12, *shape), 9, np.uint8), np.arange(12) % 2
    figures.log_samples(Recorder(), tmp_path / "samples.png", images, labels, ("cat", "dog"))
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.width == 1200
        assert picture.height < 600
        assert picture.mode == ("L" if shape[2] == 1 else "RGB")
        # The title, the captions and the images are there.
        assert {9, 0} <= set(np.unique(np.asarray(picture.convert("L"))))


def test_each_class_of_the_samples_has_a_row_of_its_own(tmp_path, written):
    labels = np.array([0] * 12 + [1] * 2 + [2] * 12)
    images = np.zeros((len(labels), 8, 8, 1), np.uint8)
    figures.log_samples(Recorder(), tmp_path / "samples.png", images, labels, ("cat", "dog", "owl"))
    rows: dict[float, list[str]] = {}
    for (_, y), text in written[1:]:
        rows.setdefault(y, []).append(text)
    assert list(rows.values()) == [["cat"] * 10, ["dog"] * 2, ["owl"] * 10]


@pytest.mark.parametrize(("classes", "most"), [(2, 5), (10, 5), (30, 1)])
def test_a_confusion_matrix_shows_few_images_a_cell_where_many_cells_have_some(classes, most):
    recorder = Recorder()
    # Every class is taken for each of up to nine others.
    labels = np.repeat(np.arange(classes), min(classes, 9))
    predicted = (labels + np.tile(np.arange(min(classes, 9)), classes)) % classes
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    names = [str(number) for number in range(classes)]
    figures.log_confusion_matrix(recorder, labels, np.eye(classes)[predicted], names, images)
    (given,) = recorder.matrices
    cells = len({*zip(labels.tolist(), predicted.tolist(), strict=True)})
    assert 1 <= given["max_examples_per_cell"] <= most
    assert given["max_examples_per_cell"] * cells <= max(cells, figures.EXAMPLES)
