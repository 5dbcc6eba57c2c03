"""The same epoch written by hand in NumPy: forward, backward, Adamax with decay, dropout; training only."""

import os
import sys
import time

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)  # old kernels, where they are set

import numpy as np

from benchmarks.peers.report import report

path, epochs = sys.argv[1], int(sys.argv[2])
with np.load(path) as arrays:
    images = arrays["x_train"].reshape(-1, 784).astype(np.float32) / 255
    labels = np.eye(10, dtype=np.float32)[arrays["y_train"]]
generator = np.random.default_rng(0)
sizes, batch, rate = (784, 128, 128, 10), 128, 0.25
weights = []
for fan_in, fan_out in zip(sizes, sizes[1:], strict=False):
    limit = np.sqrt(6 / (fan_in + fan_out))
    weights += [
        generator.uniform(-limit, limit, (fan_in, fan_out)).astype(np.float32),
        np.zeros(fan_out, np.float32),
    ]
moments, norms = ([np.zeros_like(weight) for weight in weights] for _ in range(2))
step, seconds = 0, []
for _ in range(epochs):
    begun, total = time.perf_counter(), 0.0
    order = generator.permutation(len(images))
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        x, y = images[chosen], labels[chosen]
        w1, b1, w2, b2, w3, b3 = weights
        h1 = np.maximum(x @ w1 + b1, 0)
        h2 = np.maximum(h1 @ w2 + b2, 0)
        mask = (generator.random(h2.shape, dtype=np.float32) >= rate) * np.float32(1 / (1 - rate))
        dropped = h2 * mask
        logits = dropped @ w3 + b3
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        probabilities = exponentials / exponentials.sum(1, keepdims=True)
        total -= float(np.log((probabilities * y).sum(1)).sum())
        d3 = (probabilities - y) / np.float32(len(x))
        d2 = (d3 @ w3.T) * mask * (h2 > 0)
        d1 = (d2 @ w2.T) * (h1 > 0)
        gradients = (x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), dropped.T @ d3, d3.sum(0))
        size = np.float32(0.01 * 0.9 ** (step / 2000) / (1 - 0.9 ** (step + 1)))
        for weight, moment, norm, gradient in zip(weights, moments, norms, gradients, strict=True):
            moment += (gradient - moment) * np.float32(0.1)
            np.maximum(norm * np.float32(0.999), np.abs(gradient), out=norm)
            weight -= size * moment / (norm + np.float32(1e-7))
        step += 1
    seconds.append(time.perf_counter() - begun)
report(seconds, loss=total / len(images))
