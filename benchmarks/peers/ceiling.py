"""The arithmetic limit: an epoch's floating-point operations at the rate of a large matrix product."""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf

from benchmarks.peers.report import report

EXAMPLES, WEIGHTS, FIRST = 60_000, 784 * 128 + 128 * 128 + 128 * 10, 784 * 128
# Forward, and backward for weights and inputs, but for the inputs of the first layer: 2 operations each.
OPERATIONS = 2 * EXAMPLES * (3 * WEIGHTS - FIRST)
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
