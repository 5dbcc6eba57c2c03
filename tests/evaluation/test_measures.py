"""Measures of classes are scikit-learn's; what can't be told is not said."""

import numpy as np
import pytest
from sklearn import metrics

from experiment.evaluation.measures import (
    area_under_curve,
    best_epoch,
    class_measures,
    class_scores,
    ranks_of,
)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_they_are_scikit_learns_on_unbalanced_labels(classes):
    random = np.random.default_rng(classes)
    logits = random.normal(size=(200, classes))
    labels = np.minimum(random.geometric(0.5, 200) - 1, classes - 1).astype(np.int32)
    predicted, ranks = logits.argmax(-1), ranks_of(logits, labels)
    found = class_measures(labels, predicted, ranks, classes, 2)
    expected = {
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro"),
    }
    if classes > 2:
        names = np.arange(classes)
        expected["top_k_accuracy"] = metrics.top_k_accuracy_score(labels, logits, k=2, labels=names)
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_class_without_examples_does_not_count_unless_it_was_predicted():
    labels, predicted = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 3])
    found = class_measures(labels, predicted, np.zeros(4), 5, 2)
    assert found["balanced_accuracy"] == pytest.approx(0.75)
    assert found["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_nothing_is_found_among_the_first_of_nan():
    assert ranks_of(np.full((2, 3), np.nan), np.array([0, 1])).tolist() == [3, 3]


def test_area_under_the_curve_is_of_all_classes_or_not_said():
    labels = np.array([0, 0, 1, 2])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]], np.float32)
    assert area_under_curve(labels, probabilities) == pytest.approx(1)
    assert area_under_curve(labels[:3], probabilities[:3]) is None
    assert area_under_curve(labels, probabilities * np.nan) is None
    two = np.array([[0.9, 0.1], [0.4, 0.6]])
    assert area_under_curve(np.array([1, 0]), two) == 0


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_scores_and_areas_are_scikit_learns_with_ties_and_classes_that_are_never_predicted(classes):
    random = np.random.default_rng(classes)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, 200)]).astype(np.int32)
    # Rounded, so that scores are equal; as far as the last class, which is never the likeliest.
    scores = np.round(random.random((len(labels), classes)), 1) + 0.05
    scores[:, -1] = 0.01
    exact = scores / scores.sum(-1, keepdims=True)
    predicted = exact.argmax(-1)
    names = np.arange(classes)
    expected = metrics.precision_recall_fscore_support(labels, predicted, labels=names, zero_division=0)
    np.testing.assert_allclose(class_scores(labels, predicted, classes), np.stack(expected, 1), rtol=1e-12)
    area = metrics.roc_auc_score(labels, exact[:, 1] if classes == 2 else exact, multi_class="ovr")
    assert area_under_curve(labels, exact) == pytest.approx(area, rel=1e-12)


def test_the_best_epoch_is_the_lowest_loss_and_the_highest_of_all_else():
    assert best_epoch([3.0, 1.0, 2.0], "val_loss") == 1
    assert best_epoch([0.3, 0.1, float("nan"), 0.5], "val_macro_f1") == 3
    assert best_epoch([float("nan")] * 2, "val_accuracy") == 1
