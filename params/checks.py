"""Checks that types and bounds cannot express; each error says what is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from experiment.errors import UserError

OWN_MODEL = re.compile(r"(?P<place>.+):(?P<function>[A-Za-z_]\w*)")


def named_or_own(*names: str) -> Callable[[object], object]:
    """Return a check that accepts these names, and a function of the user's: FILE.py:FUNCTION."""

    def check(value: object) -> object:
        if isinstance(value, str) and (value in names or OWN_MODEL.fullmatch(value)):
            return value
        known = ", ".join(map(repr, names))
        raise ValueError(f"should be {known}, or FILE.py:FUNCTION or package.module:FUNCTION of your own")

    return check


def check_folds(value: object) -> object:
    """Accept 0, or 2 to 100."""
    if isinstance(value, int) and not isinstance(value, bool) and (value == 0 or 2 <= value <= 100):
        return value
    raise ValueError("should be an integer from 2 to 100, or 0 for none")


def check_validation(value: object) -> object:
    """Accept 'test', 'folder', 'fold' or a fraction strictly between 0 and 1, as a number or as its text."""
    if value in ("test", "folder", "fold"):
        return value
    try:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool) and 0 < float(value) < 1:
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise ValueError(
        "should be 'test' or a fraction of the training set between 0 and 1, such as 0.1, "
        "or 'folder', or 'fold'"
    )


def check_channels(value: object) -> object:
    """Accept 1 or 3."""
    if value in (1, 3) and not isinstance(value, bool):
        return value
    raise ValueError("should be 1 or 3")


def check_model_file(value: object) -> object:
    """Accept a bare file name that ends in .h5 or .keras, short enough for one that is written beside it."""
    if (
        isinstance(value, str)
        and re.fullmatch(r"[^/\\\0]+\.(h5|keras)", value)
        and len(value.encode()) <= 200
    ):
        return value
    raise ValueError("should be a file name without a folder, of 200 bytes at most, ending in .h5 or .keras")


def warmup_steps(get_parameter: Callable[[str], Any], steps_per_epoch: int) -> int:
    """Return over how many steps the learning rate rises; 0 for none, as with schedule ``plateau``."""
    if get_parameter("schedule") == "plateau":
        return 0
    steps: int = get_parameter("warmup-steps")
    return steps or round(get_parameter("warmup-epochs") * steps_per_epoch)


def check_warmup(get_parameter: Callable[[str], Any], examples: int) -> None:
    """Check that the warm-up ends before training on so many examples does.

    Raises:
        UserError: it does not.
    """
    steps_per_epoch = math.ceil(examples / get_parameter("batch-size"))
    steps, warmup = get_parameter("epochs") * steps_per_epoch, warmup_steps(get_parameter, steps_per_epoch)
    if warmup and warmup >= steps:
        raise UserError(f"a warm-up of {warmup:,} steps does not end in a run of {steps:,} steps: shorten it")


def check_top_k(params: Any, classes: int) -> None:
    """Check that there are more classes than ``top-k``, where it was given or is monitored.

    Raises:
        UserError: there are not.
    """
    if classes > params.top_k:
        return
    if "top-k" in params.given():
        raise UserError(f"top-k = {params.top_k}: should be less than the number of classes, {classes}")
    if params.monitor == "val_top_k_accuracy":
        raise UserError(
            f"monitor = '{params.monitor}': needs a top-k of less than the number of classes, {classes}"
        )
