"""The confusion matrix and the weights on disk, for those without Comet."""

import json

import numpy as np
import pytest
from PIL import Image

from experiment.run import matrices

NAMES = ("cat", "狗", "$5 {and} $6")


@pytest.mark.parametrize("classes", [2, 35, 70])
def test_the_counts_are_true_classes_down_and_predicted_ones_across(tmp_path, classes):
    labels = np.arange(200) % classes
    predicted = np.where(labels == 1, 0, labels)
    names = [
        NAMES[label] if label < len(NAMES) else f"class of a long name {label}" for label in range(classes)
    ]
    matrices.write_confusion_matrix(tmp_path, labels, np.eye(classes)[predicted], names)
    content = json.loads((tmp_path / "confusion-matrix.json").read_text())
    assert content["classes"] == names
    counts = np.array(content["counts"])
    assert counts.sum() == 200
    assert counts[1, 0] == (labels == 1).sum()
    assert counts[0, 1] == counts[1, 1] == 0
    with Image.open(tmp_path / "confusion-matrix.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20


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
    assert (tmp_path / "weights.png").is_file()


def test_weights_of_which_none_is_finite_are_not_drawn(tmp_path):
    matrices.write_weight_histograms(tmp_path, {"lost": np.full(4, np.nan)})
    assert [path.name for path in tmp_path.iterdir()] == ["weights.json"]


def test_of_many_arrays_the_largest_are_drawn_and_all_are_kept(tmp_path, monkeypatch):
    drawn: list[str] = []
    monkeypatch.setattr(matrices, "_draw_histograms", lambda _, described: drawn.extend(described))
    matrices.write_weight_histograms(tmp_path, {str(size): np.ones(size) for size in range(1, 61)})
    assert drawn == [str(size) for size in range(21, 61)]
    assert len(json.loads((tmp_path / "weights.json").read_text())) == 60
