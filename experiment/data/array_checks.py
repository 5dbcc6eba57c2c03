"""What arrays must be to serve as images and labels; each refusal names what makes them so."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiment.errors import UserError
from experiment.system.names import counted

CHANNELS = (1, 3)  # what figures, bundles, predict and exports handle
SMALLEST_SIDE = 4  # pixels, as of pictures
NEARLY_BLACK = 64  # a largest value below it leaves three quarters of the range unused


def check_images(name: str, key: str, value: Any) -> np.ndarray:
    """Return images as uint8 [N, H, W, C], 0–255.

    Args:
        name: what the set is called in errors.
        key: what the array is called.
        value: uint8 [N, H, W] or [N, H, W, C], C 1 or 3, H and W 4 or more.

    Raises:
        UserError: one sentence that says what is wrong with it and what to do.
    """
    images, where = _as_array(name, key, value), f"dataset '{name}': {key} must be"
    if images.size and images.dtype != np.uint8:
        raise UserError(f"{where} uint8, 0–255, not {images.dtype}{_to_bytes(key, images)}")
    if images.ndim not in (3, 4) or not images.size:
        raise UserError(
            f"{where} [N, H, W] or [N, H, W, C], not {list(images.shape)}{_to_sides(key, images)}"
        )
    if images.ndim == 4 and images.shape[3] not in CHANNELS:
        raise UserError(f"{where} [N, H, W, C] of 1 or 3 channels, not {_to_channels(key, images.shape)}")
    if min(images.shape[1:3]) < SMALLEST_SIDE:
        raise UserError(
            f"{where} [N, H, W] or [N, H, W, C] with H and W of {SMALLEST_SIDE} pixels at least, "
            f"not {list(images.shape)}{_to_sides(key, images)}"
        )
    return np.ascontiguousarray(images if images.ndim == 4 else images[..., np.newaxis])


def check_labels(name: str, key: str, value: Any) -> np.ndarray:
    """Return labels as int32 [N].

    Args:
        name: what the set is called in errors.
        key: what the array is called.
        value: integers [N] or [N, 1], 0 to 65535.

    Raises:
        UserError: one sentence that says what is wrong with it and what to do.
    """
    labels = _as_array(name, key, value)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or not labels.size:
        raise UserError(
            f"dataset '{name}': {key} must be integers [N], not {labels.dtype} {list(labels.shape)}"
            f"{_to_integers(key, labels)}"
        )
    if labels.min() < 0 or labels.max() > 65535:
        raise UserError(
            f"dataset '{name}': {key} holds label {labels.min() if labels.min() < 0 else labels.max()}, "
            f"outside 0 to 65535: {_numbered(key)} numbers the classes from 0"
        )
    return labels.astype(np.int32)


def check_classes(name: str, labels: np.ndarray) -> int:
    """Return how many classes the labels of a training set, int32 [N], are of.

    Raises:
        UserError: they are fewer than two, or not 0, 1, 2, … without a gap.
    """
    classes = np.unique(labels)
    if len(classes) >= 2 and classes[-1] == len(classes) - 1:
        return len(classes)
    shown = f"{classes[0]} to {classes[-1]}, {len(classes)} distinct"
    if len(classes) < 2:
        advice = "there must be two classes at least"
    elif classes[0] == 1 and classes[-1] == len(classes):
        advice = "count from 0, in every part: y_train - 1"
    else:
        advice = f"number the classes anew, in every part: {_numbered('y_train')}"
    raise UserError(
        f"dataset '{name}': y_train's labels must be 0, 1, 2, … without a gap, not {shown}: {advice}"
    )


def check_content(name: str, key: str, images: np.ndarray) -> list[str]:
    """Return what is odd about the values of images uint8 [N, H, W, C].

    Raises:
        UserError: every image is blank, or nearly black as values are 0 and 1.
    """
    flat = images.reshape(len(images), -1)
    largest, smallest = flat.max(1), flat.min(1)
    blank, top = int(np.sum(largest == smallest)), int(largest.max())
    if blank == len(images):
        raise UserError(
            f"dataset '{name}': every image of {key} is blank, all its pixels alike "
            f"({smallest.min()} to {top}): look at how it was made"
        )
    if top <= 1:
        raise UserError(
            f"dataset '{name}': {key} holds 0 and 1 alone, nearly black in a range of 0–255: "
            f'{key} = ({key} * 255).astype("uint8"), or, if floats in 0–1 were made integers, scale those'
        )
    found = []
    if blank:
        found.append(
            f"{name}: {_some_of(blank, len(images), f'images of {key}')} blank, all their pixels alike"
        )
    if top < NEARLY_BLACK:
        found.append(
            f"{name}: the largest value of {key} is {top} of 255, so its images are nearly black; "
            f'({key} * (255 / {top})).astype("uint8"), in every part, would use the whole range'
        )
    return found


def find_repeats(parts: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> tuple[list[str], np.ndarray | None]:
    """Find equal images in two parts, or in two classes of the training set; blank ones do not count.

    Args:
        parts: images uint8 [N, H, W, C] and labels int32 [N] of train and perhaps validation and test.

    Returns:
        A sentence for each kind that was found, and numbers int64 [N] of the training set's images, equal for
        equal ones; None where all differ.
    """
    # Python's hash of bytes has 64 bits: two of a million images collide with a probability of 3e-8.
    hashes = {
        part: np.fromiter((hash(image.tobytes()) for image in images), np.int64, len(images))
        for part, (images, _) in parts.items()
    }
    found = []
    pairs = [("test", "train"), ("validation", "train"), ("test", "validation")]
    for part, other in (pair for pair in pairs if set(pair) <= set(parts)):
        shared = _not_blank(parts[part][0], np.flatnonzero(np.isin(hashes[part], hashes[other])))
        if len(shared):
            first = np.flatnonzero(hashes[other] == hashes[part][shared[0]])[0]
            are = _some_of(len(shared), len(hashes[part]), f"{part} images")
            found.append(f"{are} {other} images as well, such as number {shared[0]} and number {first}")
    images, labels = parts["train"]
    _, firsts, inverse = np.unique(hashes["train"], return_index=True, return_inverse=True)
    if len(firsts) == len(labels):
        return found, None
    groups = firsts[inverse]  # numbered by their first image: hashes differ from process to process
    if len(others := _not_blank(images, np.flatnonzero(labels != labels[groups]))):
        repeat = counted(len(others), "train image repeats", "train images repeat")
        found.append(
            f"{repeat} one of another class, such as number {others[0]}, of class {labels[others[0]]}, "
            f"that of number {groups[others[0]]}, of class {labels[groups[others[0]]]}"
        )
    return found, groups


def _some_of(number: int, all_of_them: int, what: str) -> str:
    return counted(number, f"of {all_of_them} {what} is", f"of {all_of_them} {what} are")


def _not_blank(images: np.ndarray, indices: np.ndarray) -> np.ndarray:
    return np.array([index for index in indices if images[index].min() != images[index].max()], np.int64)


def _as_array(name: str, key: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except Exception as error:  # ragged lists, and whatever tensors of other libraries raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"dataset '{name}': {key} cannot be made an array: {reason}") from None


def _to_bytes(key: str, images: np.ndarray) -> str:
    """Return how images of another type become uint8."""
    kind = images.dtype.kind
    if kind == "b":
        return f': {key} = {key}.astype("uint8") * 255'
    if kind not in "iuf":
        return ""
    low, high = float(images.min()), float(images.max())
    if not math.isfinite(low) or not math.isfinite(high):
        return ", and some values are not finite: look at how it was made"
    if low >= 0 and high <= 1:
        return f': {key} = ({key} * 255).astype("uint8")'
    if low >= -1 and high <= 1:
        return f': {key} = (({key} + 1) * 127.5).round().astype("uint8")'
    if low >= 0 and high <= 255:
        return f': {key} = {key}{".round()" if kind == "f" else ""}.astype("uint8")'
    scaled = f'(({key} - {low:.6g}) / {high - low:.6g} * 255).astype("uint8")'
    return f", {low:.6g} to {high:.6g}: scale every part alike, such as {key} = {scaled}"


def _to_sides(key: str, images: np.ndarray) -> str:
    """Return how images of another shape become [N, H, W] or [N, H, W, C]."""
    shape = [side for side in images.shape[1:] if side != 1]
    if images.ndim == 0 or not images.size:
        return ""
    if images.ndim == 5 and images.shape[4] == 1:
        return f": {key} = {key}[..., 0]"
    if len(shape) != 1:
        return ""
    grey, colour = math.isqrt(shape[0]), math.isqrt(shape[0] // 3)
    if grey >= SMALLEST_SIDE and grey**2 == shape[0]:
        return f": {key} = {key}.reshape(-1, {grey}, {grey})"
    if colour >= SMALLEST_SIDE and 3 * colour**2 == shape[0]:
        first = f"{key}.reshape(-1, 3, {colour}, {colour}).transpose(0, 2, 3, 1)"
        return (
            f": {key} = {key}.reshape(-1, {colour}, {colour}, 3), or, where each image's red comes first, as "
            f"in CIFAR's own files, {first}"
        )
    return f": {key} = {key}.reshape(-1, HEIGHT, WIDTH), if rows are images; tables of other data are none"


def _to_channels(key: str, shape: tuple[int, ...]) -> str:
    """Return which channels there are instead, and how they become 1 or 3."""
    if shape[1] in CHANNELS:
        return f"{list(shape)}, where they come first: {key} = {key}.transpose(0, 2, 3, 1)"
    if shape[3] == 4:
        return f"4 {list(shape)}: {key} = {key}[..., :3] leaves out what is transparent"
    if shape[3] == 2:
        return f"2 {list(shape)}: {key} = {key}[..., 0] keeps grey alone"
    return f"{shape[3]} {list(shape)}: choose 1 or 3 of them, such as {key} = {key}[..., :3]"


def _to_integers(key: str, labels: np.ndarray) -> str:
    """Return how labels of another kind become integers [N]."""
    kind = labels.dtype.kind
    if labels.ndim == 2 and kind in "biuf" and labels.size:
        if np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all():
            return f", one-hot: {key} = {key}.argmax(axis=1)"
        return f": an image has one class; if these are scores, {key} = {key}.argmax(axis=1)"
    if labels.ndim != 1 or not labels.size:
        return ""
    if kind == "b":
        return f': {key} = {key}.astype("int64")'
    if kind == "f":
        whole = bool(np.isfinite(labels).all() and (labels == np.round(labels)).all())
        return f': {key} = {key}.astype("int64")' if whole else ": a value to be estimated is no class"
    return f": {key} = {_numbered(key)} numbers the classes from 0"


def _numbered(key: str) -> str:
    return f"np.searchsorted(np.unique(y_train), {key})"
