"""How far probabilities are to be believed, and one number, the temperature, that mends them."""

from __future__ import annotations

import numpy as np

# As in Guo et al., "On Calibration of Modern Neural Networks", 2017; others are not comparable.
BINS = 15
# Bounds for sets that the network gets all right, of which the likeliest temperature is 0.
COOLEST, HOTTEST = 0.05, 20.0


def calibrated(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities float64 [N, classes]: the softmax of logits divided by a temperature > 0.

    The order of classes stays; above 1 a temperature makes them less sure of themselves, below 1 more.
    """
    from scipy.special import softmax

    return softmax(np.asarray(logits, np.float64) / temperature, axis=-1)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature, 0.05 to 20, under which labels int32 [N] are likeliest; 1 where none is finite.

    Args:
        logits: [N, classes].
        labels: of the same examples; not those that the network was trained on.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    values = np.asarray(logits, np.float64)
    if not np.isfinite(values).all():
        return 1.0

    def loss(log_temperature: float) -> float:
        likelihoods = log_softmax(values / np.exp(log_temperature), axis=-1)
        return -float(np.mean(likelihoods[np.arange(len(labels)), labels]))

    # By its logarithm: half and double are as far from 1, and the loss has one minimum.
    found = minimize_scalar(loss, bounds=(np.log(COOLEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean gap between confidence and accuracy over BINS equal bins of confidence, 0 to 1.

    Args:
        probabilities: [N, classes].
        labels: int32 [N].
    """
    confidence, right = probabilities.max(-1), probabilities.argmax(-1) == labels
    if not np.isfinite(confidence).all():
        return float("nan")
    # A confidence of exactly 1 belongs to the last bin.
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=right.astype(float) - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))
