"""A whole epoch as one compiled program, behind stock ``fit``.

The images stay in memory once, as uint8. ``fit`` is given the order of the examples instead of the examples:
one int32 vector a block, a block being an epoch or, where that takes long, about a second of it. The program
gathers, scales and trains on batch after batch inside a ``tf.while_loop``. It takes the place of Keras'
``train_function``: History, callbacks, metrics and optimizers stay stock; batch hooks fire once a block.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiment.data import Examples, StoredImages

XLA, GRAPH, OFF = "xla", "graph", "off"
# About a second's work; a dense step costs 6 operations a weight and example.
BLOCK_FLOP = 1e11
CONVOLUTION_BLOCK_STEPS = 16
EVALUATION_BATCH = 10_000
CONVOLUTION_EVALUATION_BATCH = 500

Block = tuple[np.ndarray, int, bool]


def choose(model: keras.Model) -> str:
    """Return how epochs of a model are compiled here.

    Everything in XLA on a GPU. On a CPU, XLA runs convolutions some 30 times slower than oneDNN, and
    TensorFlow's random numbers some 100 times slower than outside: such models run as a plain graph; Dropout
    alone is drawn another way (see ``_dropout_by_step``).
    """
    if tf.config.list_physical_devices("GPU"):
        return XLA
    return GRAPH if any(_is_slow_in_xla(layer) for layer in walk(model)) else XLA


def walk(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a model, those of nested models included."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from walk(layer)


def random_states(layer: keras.layers.Layer) -> list[Any]:
    """Return the states int64 [2] of the random number generators in a layer or model."""
    return [variable for variable in layer.variables if variable.path.endswith("seed_generator_state")]


def evaluation_batch(examples: Examples, most: int) -> int:
    """Return how many examples to evaluate at once: so many of 28 × 28 grey pixels, fewer of larger ones."""
    return max(1, min(most, most * 784 // math.prod(examples.images.shape[1:])))


def input_shape(model: keras.Model, examples: Examples) -> tuple[int, ...]:
    """Return the shape of a model's input, without the batch; the images' own where it was not declared."""
    declared = getattr(model, "input_shape", None) if model.built else None
    return tuple(declared[1:]) if declared else examples.images.shape[1:]


class Trainer:
    """Takes the place of a model's ``train_function``: trains on a block of an epoch at each call.

    Constructing it compiles the program, by running it on a block without a step.

    Args:
        model: built, compiled, its metrics and optimizer built.
        examples: the training set.
        classes: how many.
        orders: yields the order int32 [N] of each epoch in turn.
        batch_size: examples a step.
        seed: of the dropout; a mask is a function of (seed, layer, step) alone, so that a resumed run draws
            what the unbroken one draws.
        compiled: 'xla' or 'graph'.
        on_step_losses: called after each block with the number of its first step and the losses of its steps.
        class_weights: float [classes], what an example of each class weighs in the loss; None for 1.
    """

    def __init__(
        self,
        model: keras.Model,
        examples: Examples,
        classes: int,
        orders: Iterator[np.ndarray],
        batch_size: int,
        seed: int,
        compiled: str,
        on_step_losses: Callable[[int, np.ndarray], None] | None = None,
        class_weights: np.ndarray | None = None,
    ) -> None:
        self._model = model
        self._orders = orders
        self._blocks: Iterator[Block] = iter(())
        self._steps, self._rest = divmod(len(examples), batch_size)
        self._batch_size = batch_size
        self._on_step_losses = on_step_losses
        self.block_steps = min(self._steps, _block_steps(model, batch_size, compiled))
        self.blocks_per_epoch = max(1, math.ceil(self._steps / max(1, self.block_steps)))
        self.block_length = self.block_steps * batch_size + self._rest
        self._program = _program(model, examples, classes, batch_size, self._rest, compiled, class_weights)
        with _dropout_by_step(model, seed, compiled):
            self._run((np.zeros(self.block_length, np.int32), 0, False))

    def _cut(self, order: np.ndarray) -> Iterator[Block]:
        """Cut an epoch's order int32 [N] into blocks, all of one length."""
        size = self._batch_size
        for first in range(0, max(1, self._steps), max(1, self.block_steps)):
            steps = min(self.block_steps, self._steps - first)
            last = first + steps >= self._steps
            part = order[first * size : (first + steps) * size + (self._rest if last else 0)]
            yield np.pad(part, (0, self.block_length - len(part))), steps, last and self._rest > 0

    def __call__(self, iterator: Iterator[Any]) -> dict[str, Any]:
        """Train on the block that the iterator numbers; return the metrics of the epoch so far."""
        if int(next(iterator)) == 0:
            self._blocks = self._cut(next(self._orders))
        before = int(self._model.optimizer.iterations.numpy())
        order, steps, has_rest = next(self._blocks)
        losses = self._run((order, steps, has_rest))
        if self._on_step_losses:
            self._on_step_losses(before + 1, losses.numpy()[: steps + has_rest])
        return self._model.get_metrics_result()

    def _run(self, block: Block) -> tf.Tensor:
        return self._program(*(tf.convert_to_tensor(part) for part in block))


class Evaluator:
    """Takes the place of a model's ``test_function``: evaluates all examples once, whatever it is given."""

    def __init__(self, model: keras.Model, examples: Examples, classes: int, compiled: str) -> None:
        self._model = model
        convolutions = compiled == GRAPH
        most = CONVOLUTION_EVALUATION_BATCH if convolutions else EVALUATION_BATCH
        batch_size = evaluation_batch(examples, most)
        window = _window(examples, model)
        rest = len(examples) % batch_size

        def step(start: tf.Tensor, size: int) -> None:
            pixels, targets = _prepare(*window(start, size), classes)
            logits = model(pixels, training=False)
            loss = model.compute_loss(pixels, targets, logits, training=False)
            _loss_tracker(model).update_state(loss, sample_weight=size)
            model.compute_metrics(pixels, targets, logits)

        @tf.function(jit_compile=compiled == XLA, autograph=False)
        def program() -> None:
            def body(start: tf.Tensor) -> tuple[tf.Tensor]:
                step(start, batch_size)
                return (start + batch_size,)

            whole = len(examples) - rest
            if whole:
                tf.while_loop(lambda start: start < whole, body, (tf.constant(0),))
            if rest:
                step(tf.constant(whole), rest)

        self._program = program

    def __call__(self, iterator: Iterator[Any]) -> dict[str, Any]:
        """Evaluate; return the metrics."""
        next(iterator)
        self._program()
        return self._model.get_metrics_result()


def _program(
    model: keras.Model,
    examples: Examples,
    classes: int,
    batch_size: int,
    rest: int,
    compiled: str,
    class_weights: np.ndarray | None,
) -> Callable[..., tf.Tensor]:
    """Build the program: (order, full steps, has rest) to losses float [steps + 1]."""
    read = _reader(examples, model)
    variables = model.trainable_variables

    def step(indices: tf.Tensor) -> tf.Tensor:
        images, labels = read(indices)
        pixels, targets = _prepare(images, labels, classes)
        weights = None if class_weights is None else tf.gather(tf.constant(class_weights), labels)
        with tf.GradientTape() as tape:
            logits = model(pixels, training=True)
            loss = model.compute_loss(pixels, targets, logits, weights, training=True)
            scaled = model.optimizer.scale_loss(loss)
        model.optimizer.apply(tape.gradient(scaled, variables), variables)
        _loss_tracker(model).update_state(loss, sample_weight=tf.shape(indices)[0])
        model.compute_metrics(pixels, targets, logits)
        return loss

    def record(losses: tf.Tensor, at: tf.Tensor, loss: tf.Tensor) -> tf.Tensor:
        return tf.tensor_scatter_nd_update(losses, [[at]], [tf.cast(loss, losses.dtype)])

    @tf.function(jit_compile=compiled == XLA, autograph=False)
    def program(order: tf.Tensor, steps: tf.Tensor, has_rest: tf.Tensor) -> tf.Tensor:
        def body(at: tf.Tensor, losses: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return at + 1, record(losses, at, step(tf.slice(order, [at * batch_size], [batch_size])))

        most = order.shape[0] // batch_size
        at, losses = tf.constant(0), tf.zeros([most + 1], keras.config.floatx())
        if most:
            at, losses = tf.while_loop(lambda at, _: at < steps, body, (at, losses))
        if rest:
            # The last batch is smaller. Compiled apart it needs no padding, which batch statistics would see.
            losses = tf.cond(
                has_rest,
                lambda: record(losses, at, step(tf.slice(order, [at * batch_size], [rest]))),
                lambda: losses,
            )
        return losses

    return program


def _window(
    examples: Examples, model: keras.Model
) -> Callable[[tf.Tensor, int], tuple[tf.Tensor, tf.Tensor]]:
    """Return a function from a start and a size to so many images and labels from there on."""
    if isinstance(examples.images, StoredImages):
        read = _reader(examples, model)
        return lambda start, size: read(start + tf.range(size))
    images, labels = _resident(examples, model)
    rest = [0] * (len(images.shape) - 1)
    return lambda start, size: (
        tf.slice(images, [start, *rest], [size, *images.shape[1:]]),
        tf.slice(labels, [start], [size]),
    )


def _reader(examples: Examples, model: keras.Model) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return a function from indices int32 [M] to images uint8, shaped as the model's input, and labels.

    Images that stay on disk are read by a callback out of the program, which XLA has not.
    """
    shape, stored = input_shape(model, examples), examples.images
    if isinstance(stored, StoredImages):
        labels = tf.convert_to_tensor(examples.labels)

        def read(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            images = tf.numpy_function(stored.__getitem__, [indices], tf.uint8)
            return tf.reshape(images, [indices.shape[0], *shape]), tf.gather(labels, indices)

        return read
    resident, resident_labels = _resident(examples, model)
    return lambda indices: (tf.gather(resident, indices), tf.gather(resident_labels, indices))


def _resident(examples: Examples, model: keras.Model) -> tuple[tf.Tensor, tf.Tensor]:
    """Return images uint8, shaped as the model's input, and labels int32, as tensors."""
    images = examples.images.reshape(len(examples), *input_shape(model, examples))
    return tf.convert_to_tensor(images), tf.convert_to_tensor(examples.labels)


def _prepare(images: tf.Tensor, labels: tf.Tensor, classes: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return pixels in 0–1 and one-hot targets, both floats."""
    kind = keras.config.floatx()
    return tf.cast(images, kind) / 255, tf.one_hot(labels, classes, dtype=kind)


def _loss_tracker(model: keras.Model) -> Any:
    return next(metric for metric in model.metrics if metric.name == "loss")


def _block_steps(model: keras.Model, batch_size: int, compiled: str) -> int:
    if compiled == GRAPH:
        return CONVOLUTION_BLOCK_STEPS
    return math.ceil(BLOCK_FLOP / (6 * model.count_params() * batch_size))


def _is_slow_in_xla(layer: keras.layers.Layer) -> bool:
    if "Conv" in type(layer).__name__ or isinstance(layer, keras.layers.RNN):
        return True
    return bool(random_states(layer)) and not hasattr(layer, "layers") and not _is_dropout(layer)


def _is_dropout(layer: keras.layers.Layer) -> bool:
    return type(layer) is keras.layers.Dropout  # not its subclasses, which draw in ways of their own


@contextlib.contextmanager
def _dropout_by_step(model: keras.Model, seed: int, compiled: str) -> Iterator[None]:
    """While tracing, let Dropout layers draw masks from (seed, layer, step) instead of a state of their own.

    XLA on a CPU takes 1.3 s an epoch for TensorFlow's default generator and 9 ms for threefry.
    """
    layers = [layer for layer in walk(model) if _is_dropout(layer)]
    for number, layer in enumerate(layers):
        layer.call = _dropout(layer, seed, number, model.optimizer.iterations, compiled)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def _dropout(layer: Any, seed: int, number: int, iterations: Any, compiled: str) -> Callable[..., tf.Tensor]:
    algorithm = "threefry" if compiled == XLA else "philox"

    def call(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training or layer.rate == 0:
            return inputs
        shape = tf.shape(inputs) if layer.noise_shape is None else _noise_shape(inputs, layer.noise_shape)
        step = tf.cast(iterations.value, tf.int32)
        key = tf.stack([tf.constant(seed ^ (number * 0x9E3779B1 & 0x7FFFFFFF), tf.int32), step])
        keep = _keep_mask(shape, key, layer.rate, algorithm)
        return tf.where(keep, inputs / (1 - layer.rate), tf.zeros_like(inputs))

    return call


def _keep_mask(shape: tf.Tensor, key: tf.Tensor, rate: float, algorithm: str) -> tf.Tensor:
    """Return a mask bool of a shape, true with probability 1 − rate.

    Eight random bits a unit suffice where the rate is a multiple of 1/256; otherwise 32 are drawn.
    """
    eighth = rate * 256
    if eighth == int(eighth):
        count = tf.reduce_prod(shape)
        words = tf.random.stateless_uniform(
            [(count + 3) // 4], key, minval=None, maxval=None, dtype=tf.int32, alg=algorithm
        )
        bytes_ = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:count]
        return tf.reshape(bytes_ >= tf.cast(int(eighth), tf.uint8), shape)
    words = tf.random.stateless_uniform(shape, key, minval=None, maxval=None, dtype=tf.int32, alg=algorithm)
    return words >= tf.constant(int(round(rate * 2**32)) - 2**31, tf.int32)


def _noise_shape(inputs: tf.Tensor, noise_shape: tuple[int | None, ...]) -> tf.Tensor:
    actual = tf.shape(inputs)
    return tf.stack([actual[axis] if size is None else size for axis, size in enumerate(noise_shape)])
