"""Whether a pretrained backbone can be had and takes a set's images, told before anything is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from experiment.data import feature_cache
from experiment.data.weights import LEAST_SIDE, block_names, find_weights
from experiment.errors import UserError
from params.conditions import is_set_of_pictures


def check(values: Mapping[str, Any], image_shape: Sequence[int]) -> dict[str, Any]:
    """Return what a record says of the weights that parameters ask for, if a run can be made with them.

    Args:
        values: the parameters that apply.
        image_shape: height, width and channels of the set's images.

    Returns:
        A field of ``run.json``, with name, SHA-256, source and licence of the weights, not where they lay.

    Raises:
        UserError: images are too small, the weights cannot be had, or features cannot be kept.
    """
    backbone, (height, width, _) = values["backbone"], image_shape
    if (least := LEAST_SIDE[backbone]) > min(height, width):
        if is_set_of_pictures(values["dataset"]):
            raise UserError(f"image-size = {height}: backbone {backbone} takes {least} at least")
        raise UserError(
            f"dataset '{values['dataset']}' has images of {height} × {width} pixels, and backbone {backbone} "
            f"takes {least} × {least} at least: model = 'cnn' is made for small images"
        )
    block = values.get("fine-tune-from", block_names(backbone)[0])
    if block not in block_names(backbone):
        known = ", ".join(block_names(backbone))
        raise UserError(f"fine-tune-from = '{block}': backbone {backbone} has the blocks {known}")
    weights = find_weights(backbone, values["backbone-weights"])
    feature_cache.check_writable()
    told = {name: value for name, value in dataclasses.asdict(weights).items() if name != "path"}
    return {"backbone": told}
