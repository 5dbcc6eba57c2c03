"""The temperature that generated labels is found, and the calibration error is what its definition says."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn import metrics

from experiment.evaluation import calibration


def overconfident(temperature: float, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are so many times too large for labels drawn from them."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (count, 5))
    labels = (calibration.calibrated(logits, 1).cumsum(-1) < generator.random((count, 1))).sum(-1)
    return logits * temperature, labels.clip(0, 4).astype(np.int32)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    logits, labels = overconfident(temperature)
    assert calibration.fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_makes_the_labels_likelier():
    logits, labels = overconfident(3.0, 500)

    def loss(temperature):
        return metrics.log_loss(labels, calibration.calibrated(logits, temperature))

    best = minimize_scalar(loss, bounds=(1, 9), method="bounded", options={"xatol": 1e-6})
    assert calibration.fit_temperature(logits, labels) == pytest.approx(best.x, rel=1e-5)


def test_labels_that_are_all_right_or_all_wrong_have_a_temperature_at_its_bounds():
    logits = np.array([[4.0, 0.0], [3.0, 0.0]])
    right, wrong = np.zeros(2, int), np.ones(2, int)
    assert calibration.fit_temperature(logits, right) == pytest.approx(calibration.COOLEST, rel=1e-5)
    assert calibration.fit_temperature(logits, wrong) == pytest.approx(calibration.HOTTEST, rel=1e-5)


def test_the_right_temperature_takes_the_calibration_error_away():
    logits, labels = overconfident(3.0)
    before = calibration.expected_calibration_error(calibration.calibrated(logits, 1), labels)
    temperature = calibration.fit_temperature(logits, labels)
    after = calibration.expected_calibration_error(calibration.calibrated(logits, temperature), labels)
    assert before > 0.15
    assert after < 0.015


def test_the_order_of_classes_stays():
    logits, _ = overconfident(1.0, 100)
    np.testing.assert_array_equal(calibration.calibrated(logits, 7).argmax(-1), logits.argmax(-1))


@pytest.mark.parametrize(
    ("confidence", "right", "expected"),
    [(1.0, [1, 1, 1, 1], 0.0), (1.0, [0, 0, 0, 0], 1.0), (0.75, [1, 1, 1, 0], 0)],
)
def test_the_error_is_the_gap_between_confidence_and_accuracy(confidence, right, expected):
    probabilities = np.tile([confidence, 1 - confidence], (4, 1))
    labels = 1 - np.array(right)
    assert calibration.expected_calibration_error(probabilities, labels) == pytest.approx(expected)


def test_gaps_of_different_bins_do_not_cancel():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4]])
    labels = np.array([1, 0])
    assert calibration.expected_calibration_error(probabilities, labels) == pytest.approx((0.9 + 0.4) / 2)


def test_a_network_that_diverged_has_no_temperature_and_no_error():
    logits = np.full((3, 2), np.nan)
    assert calibration.fit_temperature(logits, np.zeros(3, int)) == 1.0
    assert np.isnan(calibration.expected_calibration_error(logits, np.zeros(3, int)))
