"""A set as it was read: images and labels, checked, with a fingerprint of their content."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiment.data import array_checks
from experiment.errors import UserError
from experiment.system.names import counted

# As people name it: there is no custom of Keras' own.
VALIDATION = ("val", "validation", "valid")


class StoredImages:
    """Images uint8 [N, H, W, C] that stay on disk: rows of a memory-mapped array, read when indexed."""

    def __init__(self, pixels: np.ndarray, rows: np.ndarray) -> None:
        self._pixels = pixels
        self._rows = rows
        self.shape = (len(rows), *pixels.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: Any) -> np.ndarray:
        return np.asarray(self._pixels[self._rows[indices]])

    def subset(self, indices: np.ndarray) -> StoredImages:
        """Return the images at integer indices [M], still on disk."""
        return StoredImages(self._pixels, self._rows[indices])


@dataclasses.dataclass(frozen=True)
class Examples:
    """Images uint8 [N, H, W, C], 0–255, their labels int32 [N], 0 to classes − 1, and perhaps their files.

    What a frozen backbone makes of images may stand in their place, float32 [N, …].
    ``files`` holds text [N], the pictures' paths as the set has them; None for arrays.
    """

    images: Any  # an array, or StoredImages
    labels: np.ndarray
    files: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray | slice) -> Examples:
        """Return the examples at integer indices [M], in that order, or those of a slice."""
        return Examples(self.images[indices], self.labels[indices], self._files(indices))

    def subset(self, indices: np.ndarray) -> Examples:
        """Return the examples at integer indices [M]; images on disk stay there."""
        if isinstance(self.images, StoredImages):
            return Examples(self.images.subset(indices), self.labels[indices], self._files(indices))
        return self.take(indices)

    def _files(self, indices: np.ndarray | slice) -> np.ndarray | None:
        return None if self.files is None else self.files[indices]


@dataclasses.dataclass(frozen=True)
class Arrays:
    """A whole set as it was read, checked, before it is split; ``test`` is None where it has none.

    ``groups`` int64 [N] numbers training examples; equal ones are never divided by a split. They are
    ``grouped`` where that is more than equal images: of several classes, perhaps, and sizes. ``repeats`` says
    which images are in two parts or classes, ``notices`` what else is odd, a sentence each.
    """

    name: str
    train: Examples
    test: Examples | None
    class_names: tuple[str, ...]
    fingerprint: str
    validation: Examples | None = None
    groups: np.ndarray | None = None
    grouped: bool = False
    repeats: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def check_arrays(
    name: str,
    arrays: Mapping[str, Any],
    class_names: tuple[str, ...] = (),
    *,
    parts: tuple[str, ...] = ("train", "test"),
) -> Arrays:
    """Check arrays in Keras' layout, look for repeated images, and give them a fingerprint.

    Args:
        name: what the set is called in logs and errors.
        arrays: x_train and x_test uint8 [N, H, W] or [N, H, W, C], C 1 or 3, y_train and y_test integers [N]
            or [N, 1]; perhaps x_val and y_val, the validation part. Others are named in a notice.
        class_names: a name for each label; by default the labels themselves.
        parts: which parts there must be; a set without a test part is split.

    Raises:
        UserError: one sentence that names the set, the array, what is wrong with it and what to do.
    """
    keys = _find_keys(name, arrays, parts)
    examples = {part: _examples(name, part, arrays, *pair) for part, pair in keys.items()}
    classes = array_checks.check_classes(name, examples["train"].labels)
    notices = _check_together(name, keys, examples, classes)
    if class_names and len(class_names) != classes:
        raise UserError(
            f"dataset '{name}' has {counted(classes, 'class')} and {counted(len(class_names), 'class name')}"
        )
    if unused := sorted(map(str, set(arrays) - {key for pair in keys.values() for key in pair})):
        notices.append(f"{name}: not used, as only x_ and y_ of train, val and test are: {', '.join(unused)}")
    repeats, groups = array_checks.find_repeats(
        {part: (each.images, each.labels) for part, each in examples.items()}
    )
    return Arrays(
        name,
        examples["train"],
        examples.get("test"),
        class_names or tuple(map(str, range(classes))),
        sha256(*(array for part in examples.values() for array in (part.images, part.labels))),
        validation=examples.get("validation"),
        groups=groups,
        repeats=tuple(repeats),
        notices=tuple(notices),
    )


def _examples(name: str, part: str, arrays: Mapping[str, Any], x: str, y: str) -> Examples:
    """Return a part's images and labels, each checked by itself, and that there are as many of both."""
    images = array_checks.check_images(name, x, arrays[x])
    labels = array_checks.check_labels(name, y, arrays[y])
    if len(images) != len(labels):
        raise UserError(
            f"dataset '{name}': {counted(len(images), 'image')} but "
            f"{counted(len(labels), 'label')} in its {part} set"
        )
    return Examples(images, labels)


def _check_together(
    name: str, keys: Mapping[str, tuple[str, str]], examples: Mapping[str, Examples], classes: int
) -> list[str]:
    """Refuse a part whose classes or shape the training set has not; return what is odd about images."""
    notices = []
    expected = examples["train"].images.shape[1:]
    for part, (x, y) in keys.items():
        if (most := examples[part].labels.max()) >= classes:
            raise UserError(f"dataset '{name}': {y} has label {most}, which y_train has not")
        if (shape := examples[part].images.shape[1:]) != expected:
            shapes = f"{list(expected)} and {list(shape)}"
            raise UserError(f"dataset '{name}': x_train and {x} differ in shape, {shapes}")
        notices += array_checks.check_content(name, x, examples[part].images)
    return notices


def _find_keys(name: str, arrays: Any, parts: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Return the names of a set's arrays by part: those that must be there, and validation where it is."""
    if not isinstance(arrays, Mapping):
        raise UserError(
            f"dataset '{name}' must be arrays by name, dict(x_train=…, y_train=…, x_test=…, y_test=…), "
            f"not a {type(arrays).__name__}"
        )
    keys = {part: (f"x_{part}", f"y_{part}") for part in parts}
    given = [each for each in VALIDATION if {f"x_{each}", f"y_{each}"} & set(arrays)]
    if len(given) > 1:
        raise UserError(f"dataset '{name}' has both '{given[0]}' and '{given[1]}': keep one")
    if given:
        keys["validation"] = f"x_{given[0]}", f"y_{given[0]}"
    for key in (key for pair in keys.values() for key in pair):
        if key not in arrays:
            held = ", ".join(sorted(map(str, arrays))) or "nothing"
            raise UserError(f"dataset '{name}' has no array '{key}': it holds {held}")
    return keys


def sha256(*arrays: np.ndarray) -> str:
    """Return the SHA-256 of arrays' types, shapes and bytes, in hexadecimal."""
    digest = hashlib.sha256()
    for array in arrays:
        # With shape and type: the same bytes as [2, 3] and as [3, 2] are different data.
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
