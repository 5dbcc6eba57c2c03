"""How a picture of any size becomes one of the size asked for: what of it is kept, and where that lies."""

from __future__ import annotations

import dataclasses

from params.groups.data import Resize

FULL_DEPTH = 16  # bits of a deep pixel, as formats mean them


@dataclasses.dataclass(frozen=True)
class Target:
    """What pictures are decoded to.

    ``height`` and ``width`` are in pixels; ``channels`` is 1 for grey, 3 for colour; ``resize`` is as in
    ``fit``. Of 16 bits of grey a pixel ``depth`` are in use, 8 to 16: the upper 8 of those count.
    """

    height: int
    width: int
    channels: int
    resize: Resize = "squash"
    depth: int = FULL_DEPTH


@dataclasses.dataclass(frozen=True)
class Fit:
    """A rectangle of a picture, and where in the target it is resized to; in pixels, all sides 1 at least.

    ``box`` is left, top, right, bottom of the picture; ``size`` width and height; ``at`` left and top in the
    target, where what the rectangle leaves free is filled.
    """

    box: tuple[int, int, int, int]
    size: tuple[int, int]
    at: tuple[int, int] = (0, 0)


def fit(width: int, height: int, target: Target) -> Fit:
    """Place a picture of a width and height, in pixels, in the target.

    ``squash`` fills it with the whole picture, whatever the ratio of its sides. ``crop`` fills it with the
    largest centred rectangle of the target's ratio, ``pad`` puts the whole picture in its middle; both keep
    the ratio of the sides as closely as whole pixels do.
    """
    whole, wanted = (0, 0, width, height), (target.width, target.height)
    if target.resize == "squash":
        return Fit(whole, wanted)
    if target.resize == "crop":
        kept_width = min(width, _scaled(height, target.width, target.height))
        kept_height = min(height, _scaled(width, target.height, target.width))
        left, top = (width - kept_width) // 2, (height - kept_height) // 2
        return Fit((left, top, left + kept_width, top + kept_height), wanted)
    size = (
        min(target.width, _scaled(target.height, width, height)),
        min(target.height, _scaled(target.width, height, width)),
    )
    return Fit(whole, size, ((target.width - size[0]) // 2, (target.height - size[1]) // 2))


def _scaled(side: int, numerator: int, denominator: int) -> int:
    """Return a side times a ratio, rounded half up: in integers, as ratios may be extreme."""
    return max(1, (2 * side * numerator + denominator) // (2 * denominator))
