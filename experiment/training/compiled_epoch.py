"""A whole epoch as one compiled program, behind stock ``fit``.

The images stay in memory once, as uint8. ``fit`` is given the order of the examples instead of the examples:
one int32 vector a block, a block being an epoch or, where that takes long, about a second of it. The program
gathers, scales and trains on batch after batch inside a ``tf.while_loop``. It takes the place of Keras'
``train_function``: History, callbacks, metrics and optimizers stay stock; batch hooks fire once a block.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiment.data.arrays import Examples
from experiment.evaluation.measures import class_measures
from experiment.system.keras_settings import has_gpu
from experiment.training import dropout, programs
from experiment.training.batches import Source
from experiment.training.epoch_programs import GRAPH, XLA, evaluation_program, training_program
from experiment.training.halves import parts_of_a_step
from experiment.training.mixing import COLUMNS, NO_MIXING, Mixing
from experiment.training.precision import FULL, places

# About a second's work; a dense step costs 6 operations a weight and example.
# A program cannot be interrupted: signals, batch hooks and the check for NaN wait for its end.
BLOCK_FLOP = 1e11
# Of a convolution the number of weights does not tell the cost, which grows with the image.
CONVOLUTION_BLOCK_STEPS = 16
EVALUATION_BATCH = 2_500
CONVOLUTION_EVALUATION_BATCH = 500

Block = tuple[np.ndarray, np.ndarray, int, bool]


def choose(model: keras.Model) -> str:
    """Return how epochs of a model are compiled here.

    Everything in XLA on a GPU. On a CPU, XLA runs convolutions some 30 times slower than oneDNN, and
    TensorFlow's random numbers some 100 times slower than outside: such models run as a plain graph; Dropout
    alone is drawn another way (see ``experiment.training.dropout``).
    """
    if has_gpu():
        return XLA
    return GRAPH if any(_is_slow_in_xla(layer) for layer in programs.walk(model)) else XLA


def random_states(layer: keras.layers.Layer) -> list[Any]:
    """Return the states int64 [2] of the random number generators in a layer or model."""
    # Keras keeps a layer's generators private; the name of their state is all that tells them apart.
    return [variable for variable in layer.variables if variable.path.endswith("seed_generator_state")]


def evaluation_batch(examples: Examples, most: int) -> int:
    """Return how many examples to evaluate at once: so many of 28 × 28 grey pixels, fewer of larger ones."""
    return max(1, min(most, most * 784 // math.prod(examples.images.shape[1:])))


class Trainer:
    """Takes the place of a model's ``train_function``: trains on a block of an epoch at each call.

    Constructing it compiles the program, unless a model of the same architecture had it compiled before, by
    running it on a block without a step.

    Args:
        model: built, compiled, its metrics and optimizer built.
        examples: the training set.
        classes: how many.
        orders: yields of each epoch in turn the order int32 [N] and what ``mixing`` drew.
        batch_size: examples a step.
        seed: of the dropout; a mask is a function of (seed, layer, step) alone, so that a resumed run draws
            what the unbroken one draws.
        compiled: 'xla' or 'graph'.
        on_step_losses: called after each block with the number of its first step in the epoch, from 1, and
            the losses of its steps.
        class_weights: float [classes], what an example of each class weighs in the loss; None for 1.
        precision: what layers compute in.
        mixing: whether images are mixed.
    """

    def __init__(
        self,
        model: keras.Model,
        examples: Examples,
        classes: int,
        orders: Iterator[tuple[np.ndarray, np.ndarray]],
        batch_size: int,
        seed: int,
        compiled: str,
        on_step_losses: Callable[[int, np.ndarray], None] | None = None,
        class_weights: np.ndarray | None = None,
        precision: str = FULL,
        mixing: Mixing = NO_MIXING,
    ) -> None:
        self._model = model
        self._orders = orders
        self._blocks: Iterator[Block] = iter(())
        self._steps, self._rest = divmod(len(examples), batch_size)
        self._batch_size = batch_size
        self._on_step_losses = on_step_losses
        # 0 where the set is smaller than a batch: then an epoch is the rest alone.
        self.block_steps = min(self._steps, _block_steps(model, batch_size, compiled))
        self.blocks_per_epoch = max(1, math.ceil(self._steps / max(1, self.block_steps)))
        self.block_length = self.block_steps * batch_size + self._rest
        source = Source(model, examples)
        weights = tf.zeros([0], keras.config.floatx()) if class_weights is None else class_weights
        given = (tf.convert_to_tensor(weights), *programs.values(model, seed))
        self._inputs = (*source.inputs(examples), *given)
        signature = [*map(tf.TensorSpec.from_tensor, self._inputs), *_block_specs(self.block_length, mixing)]
        setting = ["train", list(map(str, signature)), classes, batch_size, self._rest, compiled]
        parts = parts_of_a_step(model, batch_size) if compiled == XLA else 1
        setting += [precision, places(model, precision), source.image_shape if mixing else None, parts]
        self._program = programs.shared_program(
            model,
            setting if source.shareable else None,
            lambda: training_program(
                model, source, signature, classes, batch_size, self._rest, compiled, precision, parts
            ),
        )
        # A block of no steps: it compiles here, where a model that cannot be compiled is still caught, and
        # not within the first epoch's seconds.
        nothing = np.zeros((mixing.rows(self.block_length), COLUMNS), keras.config.floatx())
        self._run((np.zeros(self.block_length, np.int32), nothing, 0, False))

    def _cut(self, order: np.ndarray, drawn: np.ndarray) -> Iterator[Block]:
        """Cut an epoch's order int32 [N], and what was drawn for it, into blocks, all of one length."""
        size = self._batch_size
        for first in range(0, max(1, self._steps), max(1, self.block_steps)):
            steps = min(self.block_steps, self._steps - first)
            last = first + steps >= self._steps
            part = slice(first * size, (first + steps) * size + (self._rest if last else 0))
            # Padded to one length, since each other shape would be compiled anew; the padding is never read.
            missing = self.block_length - len(order[part])
            rows = np.pad(drawn[part], ((0, missing), (0, 0))) if len(drawn) else drawn
            yield np.pad(order[part], (0, missing)), rows, steps, last and self._rest > 0

    def __call__(self, iterator: Iterator[Any]) -> dict[str, Any]:
        """Train on the block that the iterator numbers; return the metrics of the epoch so far."""
        number = int(next(iterator))
        if number == 0:
            self._blocks = self._cut(*next(self._orders))
        block = next(self._blocks)
        _, _, steps, has_rest = block
        losses = self._run(block)
        if self._on_step_losses:
            self._on_step_losses(number * self.block_steps + 1, losses.numpy()[: steps + has_rest])
        return self._model.get_metrics_result()

    def _run(self, block: Block) -> tf.Tensor:
        return self._program(self._model, *self._inputs, *(tf.convert_to_tensor(part) for part in block))


class Evaluator:
    """Takes the place of a model's ``test_function``: evaluates all examples once, whatever it is given."""

    def __init__(
        self, model: keras.Model, examples: Examples, classes: int, top_k: int, compiled: str
    ) -> None:
        self._model = model
        self._of_classes = functools.partial(class_measures, examples.labels, classes=classes, top_k=top_k)
        batch_size = evaluation_batch(
            examples, CONVOLUTION_EVALUATION_BATCH if compiled == GRAPH else EVALUATION_BATCH
        )
        source = Source(model, examples)
        self._inputs = source.inputs(examples)
        signature = list(map(tf.TensorSpec.from_tensor, self._inputs))
        setting = ["evaluate", list(map(str, signature)), classes, batch_size, compiled]
        self._program = programs.shared_program(
            model,
            setting if source.shareable else None,
            lambda: evaluation_program(model, source, signature, classes, batch_size, compiled),
        )

    def __call__(self, iterator: Iterator[Any]) -> dict[str, Any]:
        """Evaluate; return the metrics, with those of ``class_measures``."""
        next(iterator)
        predicted, ranks = self._program(self._model, *self._inputs)
        return self._model.get_metrics_result() | self._of_classes(predicted.numpy(), ranks.numpy())


def _block_specs(length: int, mixing: Mixing) -> list[tf.TensorSpec]:
    drawn = tf.TensorSpec([mixing.rows(length), COLUMNS], keras.config.floatx())
    return [tf.TensorSpec([length], tf.int32), drawn, tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.bool)]


def _block_steps(model: keras.Model, batch_size: int, compiled: str) -> int:
    if compiled == GRAPH:
        return CONVOLUTION_BLOCK_STEPS
    # 2 operations a weight forward, 4 backward.
    return math.ceil(BLOCK_FLOP / (6 * model.count_params() * batch_size))


def _is_slow_in_xla(layer: keras.layers.Layer) -> bool:
    # By name: Keras has a dozen convolutions without a common public class.
    if "Conv" in type(layer).__name__ or isinstance(layer, keras.layers.RNN):
        return True
    return bool(random_states(layer)) and not hasattr(layer, "layers") and not dropout.is_dropout(layer)
