"""The same epoch in JAX, as one compiled ``lax.scan``, Adamax by hand; training only.

The last, smaller batch of an epoch is left out, as a scan needs batches of one size.
"""

import functools
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.report import report

path, epochs = sys.argv[1], int(sys.argv[2])
with np.load(path) as arrays:
    images = jnp.asarray(arrays["x_train"].reshape(-1, 784))
    labels = jnp.asarray(arrays["y_train"].astype(np.int32))
key = jax.random.key(0)
sizes = (784, 128, 128, 10)
weights = []
for fan_in, fan_out in zip(sizes, sizes[1:], strict=False):
    key, part = jax.random.split(key)
    weights += [jax.nn.initializers.glorot_uniform()(part, (fan_in, fan_out)), jnp.zeros(fan_out)]


def compute_loss(weights, pixels, targets, key):
    """Return the mean cross-entropy of a batch."""
    w1, b1, w2, b2, w3, b3 = weights
    hidden = jax.nn.relu(jax.nn.relu(pixels @ w1 + b1) @ w2 + b2)
    hidden = jnp.where(jax.random.bernoulli(key, 0.75, hidden.shape), hidden / 0.75, 0)
    return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(hidden @ w3 + b3), -1))


@functools.partial(jax.jit, donate_argnums=(0,))
def train_epoch(state, orders):
    """Train on batches of indices int32 [steps, 128]."""

    def step(state, chosen):
        weights, moments, norms, at, key = state
        key, part = jax.random.split(key)
        pixels = images[chosen].astype(jnp.float32) / 255
        loss, gradients = jax.value_and_grad(compute_loss)(
            weights, pixels, jax.nn.one_hot(labels[chosen], 10), part
        )
        moments = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments, gradients)
        norms = jax.tree.map(lambda n, g: jnp.maximum(0.999 * n, jnp.abs(g)), norms, gradients)
        size = 0.01 * 0.9 ** (at / 2000) / (1 - 0.9 ** (at + 1))
        weights = jax.tree.map(lambda w, m, n: w - size * m / (n + 1e-7), weights, moments, norms)
        return (weights, moments, norms, at + 1, key), loss

    return jax.lax.scan(step, state, orders)


zeros = [jnp.zeros_like(weight) for weight in weights]
state = (weights, zeros, [jnp.zeros_like(weight) for weight in weights], jnp.zeros(()), key)
generator = np.random.default_rng(0)
seconds = []
for _ in range(epochs):
    begun = time.perf_counter()
    steps = len(images) // 128
    order = generator.permutation(len(images))[: steps * 128].reshape(steps, 128)
    state, losses = train_epoch(state, jnp.asarray(order))
    value = float(losses.mean())
    seconds.append(time.perf_counter() - begun)
report(seconds, loss=value)
