"""MixUp and CutMix: images of a batch and their labels, mixed in pairs, by the formulas of Keras' layers.

Keras' own layers draw as they mix, CutMix from another distribution than the paper's. So an epoch's numbers
are drawn here, from (seed, epoch), beside its order; the programs, and batches of stock ``fit``, only mix. A
resumed run draws what the unbroken one draws.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from params.spec import GetParameter

# Of each example: its partner's place in the batch; top, bottom, left and right of a box; and what part of
# the image itself is left inside it. MixUp's box is the whole image; inside CutMix's, nothing is left.
COLUMNS = 6
_STREAM = 0x6D69  # apart from the numbers of an epoch's order and of random layers


@dataclasses.dataclass(frozen=True)
class Mixing:
    """How strongly images are mixed: alpha of a Beta distribution for each way, 0 for never.

    With both, either is taken for an example with equal chance.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.mixup or self.cutmix)

    def rows(self, length: int) -> int:
        """Return how many rows of ``draw`` go with so many examples: none where nothing is mixed."""
        return length if self else 0

    def draw(
        self, seed: int, epoch: int, examples: int, batch_size: int, image_shape: tuple[int, ...]
    ) -> np.ndarray:
        """Return an epoch's numbers, float [examples, COLUMNS], in the order of its batches; [0, …] for none.

        Of CutMix, the share of an image that is cut out is 1 − Beta(alpha, alpha), in whole pixels, and the
        box lies anywhere within the image (Yun et al., "CutMix", 2019; Zhang et al., "mixup", 2017).
        """
        drawn = np.zeros((self.rows(examples), COLUMNS), keras.config.floatx())
        if not self:
            return drawn
        random = np.random.default_rng((seed, epoch, _STREAM))
        drawn[:, 0] = _partners(random, examples, batch_size)
        cuts = random.random(examples) < (0.5 if self.mixup and self.cutmix else bool(self.cutmix))
        whole = random.beta(self.mixup or 1, self.mixup or 1, examples)
        left = random.beta(self.cutmix or 1, self.cutmix or 1, examples)
        for first, length in ((1, image_shape[0]), (3, image_shape[1])):
            side = np.where(cuts, np.rint(length * np.sqrt(1 - left)), length)
            drawn[:, first] = np.floor(random.random(examples) * (length - side + 1))
            drawn[:, first + 1] = drawn[:, first] + side
        drawn[:, 5] = np.where(cuts, 0, whole)
        return drawn


NO_MIXING = Mixing()


def read_mixing(get_parameter: GetParameter) -> Mixing:
    """Return what the parameters ask for."""
    return Mixing(get_parameter("augment-mixup"), get_parameter("augment-cutmix"))


def mix(
    pixels: Any, targets: Any, weights: Any | None, drawn: Any, image_shape: tuple[int, ...]
) -> tuple[Any, Any, Any | None]:
    """Mix a batch: pixels float [N, …], one-hot targets [N, classes], and weights [N] or None.

    ``drawn`` are the batch's rows of ``Mixing.draw``, ``image_shape`` is [H, W, C] of pixels in any shape.
    """
    height, width = image_shape[:2]
    partners = ops.cast(drawn[:, 0], "int32")
    top, bottom, left, right, kept = (drawn[:, column] for column in range(1, COLUMNS))
    rows, columns = (ops.arange(length, dtype=drawn.dtype)[None] for length in (height, width))
    down = (rows >= top[:, None]) & (rows < bottom[:, None])
    across = (columns >= left[:, None]) & (columns < right[:, None])
    inside = down[:, :, None, None] & across[:, None, :, None]
    own = ops.where(inside, kept[:, None, None, None], ops.ones_like(kept[:, None, None, None]))
    images = ops.reshape(pixels, (-1, *image_shape))
    mixed = own * images + (1 - own) * ops.take(images, partners, axis=0)
    share = 1 - (1 - kept) * (bottom - top) * (right - left) / (height * width)

    def blend(values: Any, part: Any) -> Any:
        return part * values + (1 - part) * ops.take(values, partners, axis=0)

    of_both = None if weights is None else blend(weights, share)
    return ops.reshape(mixed, ops.shape(pixels)), blend(targets, share[:, None]), of_both


def _partners(random: np.random.Generator, examples: int, batch_size: int) -> np.ndarray:
    """Return for each example the place of another in its batch, or its own: a permutation of each batch."""
    steps, rest = divmod(examples, batch_size)
    batches = random.permuted(np.tile(np.arange(batch_size), (steps, 1)), axis=1)
    return np.concatenate([batches.ravel(), random.permutation(rest)])
