"""The arithmetic limit: an epoch's floating-point operations at the rate of a large matrix product.

Of the tutorial's network on 60,000 images; with ``cnn``, of that network's convolutions on 10,000.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

from benchmarks.peers.report import EXAMPLES, report

# Multiplications of an image forward, and those of the first layer.
if "cnn" in sys.argv:
    images, FIRST = EXAMPLES, 28 * 28 * 9 * 16
    PRODUCTS = FIRST + 14 * 14 * 9 * (16 * 32 + 32 * 32) + 7 * 7 * 9 * (32 * 64 + 64 * 64)
else:
    images, PRODUCTS, FIRST = 60_000, 784 * 128 + 128 * 128 + 128 * 10, 784 * 128
# Forward, and backward for weights and inputs, but for the inputs of the first layer: 2 operations each.
OPERATIONS = 2 * images * (3 * PRODUCTS - FIRST)
SIDE = 2048

matrix = tf.random.uniform((SIDE, SIDE))
multiply = tf.function(lambda: tf.matmul(matrix, matrix))
multiply()
rates = []
for _ in range(int(sys.argv[2]) + 5):
    begun = time.perf_counter()
    multiply()
    rates.append(2 * SIDE**3 / (time.perf_counter() - begun))
report([OPERATIONS / max(rates)], gflop_s=max(rates) / 1e9)
