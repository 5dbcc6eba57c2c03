"""The programs of compiled epochs: one that trains on a block of batches, one that evaluates a whole set."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from experiment.system.keras_settings import has_gpu
from experiment.training import dropout, programs
from experiment.training.batches import Source, prepare
from experiment.training.fused_normalization import fused
from experiment.training.mixing import COLUMNS, mix
from experiment.training.precision import FULL, computing_in

XLA, GRAPH, OFF = "xla", "graph", "off"


def training_program(
    model: keras.Model,
    source: Source,
    signature: list[Any],
    classes: int,
    batch_size: int,
    rest: int,
    compiled: str,
    precision: str = FULL,
    parts: int = 1,
) -> Callable[..., tf.Tensor]:
    """Build the program: (images, labels, class weights, values, a block) into losses float [steps + 1].

    Its signature lists them in full. Gradients of whole batches are computed in ``parts``.

    The last batch is smaller. Computed apart it needs no padding, which batch statistics would see. XLA would
    take as long to compile it as all others, so on a CPU this one step runs as a graph.
    """
    step = _step(model, source, classes, batch_size)
    on_whole = _traced(model, compiled, precision, _loop(step, batch_size, parts))
    on_rest = _traced(
        *(model, _beside(compiled), precision),
        lambda losses, steps, *inputs: step(losses, steps, rest, 1, *inputs),
    )

    @tf.function(autograph=False, input_signature=signature)
    def program(*given: tf.Tensor) -> tf.Tensor:
        *inputs, order, mixing, steps, has_rest = given
        most = order.shape[0] // batch_size
        losses = tf.zeros([most + 1], keras.config.floatx())
        if most:
            losses = on_whole(losses, steps, order, mixing, *inputs)
        if rest:
            losses = tf.cond(has_rest, lambda: on_rest(losses, steps, order, mixing, *inputs), lambda: losses)
        return losses

    return program


def _loop(step: Callable[..., tf.Tensor], size: int, parts: int) -> Callable[..., tf.Tensor]:
    """Return what takes so many steps of whole batches."""

    def train(losses: tf.Tensor, steps: tf.Tensor, *inputs: tf.Tensor) -> tf.Tensor:
        return tf.while_loop(
            lambda at, _: at < steps,
            lambda at, losses: (at + 1, step(losses, at, size, parts, *inputs)),
            (tf.constant(0), losses),
        )[1]

    return train


def _traced(
    model: keras.Model, way: str, precision: str, train: Callable[..., tf.Tensor]
) -> Callable[..., tf.Tensor]:
    """Return a part of a program, compiled in a way of its own."""

    @tf.function(jit_compile=way == XLA, autograph=False)
    def part(
        losses: tf.Tensor,
        steps: tf.Tensor,
        order: tf.Tensor,
        mixing: tf.Tensor,
        images: tf.Tensor,
        labels: tf.Tensor,
        class_weights: tf.Tensor,
        schedule: tf.Tensor,
        rates: tf.Tensor,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        algorithm = dropout.XLA_ALGORITHM if way == XLA else dropout.GRAPH_ALGORITHM
        given = programs.given(model, schedule, rates, seed, algorithm)
        with given, _fused(model, way), computing_in(model, precision):
            return train(losses, steps, images, labels, class_weights, order, mixing)

    return part


def _beside(compiled: str) -> str:
    """Return how what is computed once an epoch goes with compiled steps: as a graph, but for a GPU in XLA.

    XLA takes longer to compile it than it saves in a hundred epochs.
    """
    return compiled if has_gpu() else GRAPH


def _fused(model: keras.Model, compiled: str) -> contextlib.AbstractContextManager[None]:
    # XLA fuses by itself.
    return fused(programs.walk(model)) if compiled == GRAPH else contextlib.nullcontext()


def _step(model: keras.Model, source: Source, classes: int, batch_size: int) -> Callable[..., tf.Tensor]:
    """Return a function that takes one step of a block, and notes its loss at its place."""

    def step(
        losses: tf.Tensor,
        at: tf.Tensor,
        size: int,
        parts: int,
        images: tf.Tensor,
        labels: tf.Tensor,
        class_weights: tf.Tensor,
        order: tf.Tensor,
        mixing: tf.Tensor,
    ) -> tf.Tensor:
        batch = source.gather(images, labels, tf.slice(order, [at * batch_size], [size]))
        # No weights are a vector of length 0, as an input of a program must be a tensor.
        weights = tf.gather(class_weights, batch[1]) if class_weights.shape[0] else None
        pixels, targets = prepare(*batch, classes)
        if mixing.shape[0]:
            drawn = tf.slice(mixing, [at * batch_size, 0], [size, COLUMNS])
            pixels, targets, weights = mix(pixels, targets, weights, drawn, source.image_shape)
        loss = _train_on(model, pixels, targets, weights, parts)
        return tf.tensor_scatter_nd_update(losses, [[at]], [tf.cast(loss, losses.dtype)])

    return step


def _train_on(
    model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor | None, parts: int
) -> tf.Tensor:
    """Take one step, as Keras' own ``train_step`` does, its gradients in ``parts`` equal parts of the batch.

    Return its loss.
    """
    variables = model.trainable_variables
    found = []
    for number, (part, wanted, weighed) in enumerate(_cut(parts, pixels, targets, weights)):
        with tf.GradientTape() as tape, dropout.part_of_batch(number, parts):
            logits = model(part, training=True)
            loss = model.compute_loss(part, wanted, logits, weighed, training=True) / parts
            # An optimizer with a loss scale divides gradients by it again.
            scaled = model.optimizer.scale_loss(loss)
        found.append((loss, logits, *tape.gradient(scaled, variables)))
    losses, outputs, *gradients = zip(*found, strict=True)
    model.optimizer.apply([_sum(each) for each in gradients], variables)
    loss = tf.add_n(losses)
    # By its size, so that the smaller last batch of an epoch does not count as much as the others.
    _loss_tracker(model).update_state(loss, sample_weight=tf.shape(pixels)[0])
    model.compute_metrics(pixels, targets, tf.concat(outputs, 0))
    return loss


def _sum(gradients: Sequence[tf.Tensor | None]) -> tf.Tensor | None:
    """Return the sum, one alone as it is, sparse too; None for what the loss does not depend on."""
    return gradients[0] if len(gradients) == 1 or gradients[0] is None else tf.add_n(gradients)


def _cut(parts: int, *tensors: tf.Tensor | None) -> Iterator[tuple[tf.Tensor | None, ...]]:
    """Cut tensors into equal parts along their first axis."""
    cut = [[None] * parts if each is None else tf.split(each, parts) for each in tensors]
    return zip(*cut, strict=True)


def evaluation_program(
    model: keras.Model, source: Source, signature: list[Any], classes: int, batch_size: int, compiled: str
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """Build the program: (images, labels) into the model's metrics.

    It returns each example's predicted class and how many classes were held likelier than the true one,
    both int32 [N]; all of them where a logit is NaN.
    """
    way = _beside(compiled)
    examples = signature[1].shape[0]
    rest = examples % batch_size
    whole = examples - rest

    @tf.function(jit_compile=way == XLA, autograph=False, input_signature=signature)
    def program(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def step(start: tf.Tensor, said: tf.Tensor, size: int) -> tf.Tensor:
            batch = source.window(images, labels, start, size)
            pixels, targets = prepare(*batch, classes)
            with _fused(model, way):
                logits = model(pixels, training=False)
            loss = model.compute_loss(pixels, targets, logits, training=False)
            _loss_tracker(model).update_state(loss, sample_weight=size)
            model.compute_metrics(pixels, targets, logits)
            places = (start + tf.range(size))[:, None]
            return tf.tensor_scatter_nd_update(said, places, _said(logits, batch[1], classes))

        def body(start: tf.Tensor, said: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return start + batch_size, step(start, said, batch_size)

        said = tf.zeros([examples, 2], tf.int32)
        if whole:
            _, said = tf.while_loop(lambda start, _: start < whole, body, (tf.constant(0), said))
        if rest:
            said = step(tf.constant(whole), said, rest)
        return said[:, 0], said[:, 1]

    return program


def _said(logits: tf.Tensor, labels: tf.Tensor, classes: int) -> tf.Tensor:
    """Return predicted classes and ranks of the true ones, int32 [N, 2]."""
    own = tf.gather(logits, labels[:, None], batch_dims=1)
    ranks = tf.reduce_sum(tf.cast(logits > own, tf.int32), -1)
    ranks = tf.where(tf.math.is_nan(own[:, 0]), classes, ranks)
    return tf.stack([tf.argmax(logits, -1, tf.int32), ranks], -1)


def _loss_tracker(model: keras.Model) -> Any:
    return next(metric for metric in model.metrics if metric.name == "loss")
