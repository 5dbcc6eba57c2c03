"""How far probabilities are to be believed, and one number, the temperature, that mends them."""

from __future__ import annotations

import numpy as np

# As in Guo et al., "On Calibration of Modern Neural Networks", 2017; others are not comparable.
BINS = 15
# Bounds for sets that the network gets all right, of which the likeliest temperature is 0.
COOLEST, HOTTEST = 0.05, 20.0
HALVINGS = 24  # of the logarithm's range: to within 4e-7 of the temperature


def calibrated(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities float64 [N, classes]: the softmax of logits divided by a temperature > 0.

    The order of classes stays; above 1 a temperature makes them less sure of themselves, below 1 more.
    """
    return _softmax(np.asarray(logits, np.float64) / temperature)


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(-1, keepdims=True))
    shares: np.ndarray = powers / powers.sum(-1, keepdims=True)
    return shares


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature, 0.05 to 20, under which labels int32 [N] are likeliest; 1 where none is finite.

    Args:
        logits: [N, classes].
        labels: of the same examples; not those that the network was trained on.
    """
    values = np.asarray(logits, np.float64)
    if not np.isfinite(values).all():
        return 1.0
    own = values[np.arange(len(labels)), labels]

    def is_too_cool(inverse: float) -> bool:
        # The slope of the loss over the inverse of the temperature, in which the loss is convex: what logits
        # are on average where classes are as likely as the network says, less what they are.
        expected = (_softmax(values * inverse) * values).sum(-1)
        return float(np.mean(expected - own)) > 0

    # By its logarithm: half and double are as far from 1.
    low, high = np.log(1 / HOTTEST), np.log(1 / COOLEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_too_cool(np.exp(middle)) else (middle, high)
    return float(np.exp(-(low + high) / 2))


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
