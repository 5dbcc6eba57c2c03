"""What a program gives to train on, in the shapes that it has it in: made arrays; what was done is said."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiment.data import image_cache
from experiment.data.arrays import Arrays, Examples, StoredImages, check_arrays
from experiment.errors import UserError

NAME = "arrays"  # of a set that a program gives
PARTS = ("train", "test")
SHAPES = "dict(x_train=…, y_train=…, x_test=…, y_test=…), ((x, y), (x, y)), or two batched tf.data.Datasets"


def read_program_set(dataset: Any, class_names: Sequence[str] = (), memory: int | None = None) -> Arrays:
    """Return a program's set, checked.

    Images may be uint8, 0–255, or floats in 0–1, which become bytes; labels integers or one-hot rows, which
    become integers. What was made of what is among the set's notices.

    Args:
        dataset: arrays by name, as ``check_arrays`` takes them; ``(x, y), (x, y)`` of training and test, as
            Keras' loaders return them; or a pair of batched ``tf.data.Dataset`` of images and labels.
        class_names: a name for each label; by default the labels themselves.
        memory: bytes that the images of a ``tf.data.Dataset`` may take; more are kept on disk.

    Raises:
        UserError: it is something else, or not fit to train on.
    """
    names = _class_names(class_names)
    if isinstance(dataset, Arrays):
        return dataclasses.replace(dataset, class_names=names or dataset.class_names)
    notices: list[str] = []
    arrays = _by_name(dataset, memory)
    for key in list(arrays):
        convert = {"x": _bytes, "y": _integers}.get(str(key)[:1])
        if convert and str(key)[1:2] == "_":
            arrays[key] = convert(str(key), arrays[key], notices)
    checked = check_arrays(NAME, arrays, names)
    stored: dict[str, Any] = {part: _on_disk(getattr(checked, part)) for part in PARTS}
    return dataclasses.replace(checked, **stored, notices=(*notices, *checked.notices))


def _class_names(given: Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str) or not all(isinstance(name, str) and name for name in given):
        raise UserError(f"class_names = {given!r}: should be a list of texts, one a label")
    return tuple(given)


def _by_name(dataset: Any, memory: int | None) -> dict[Any, Any]:
    """Return what a program gave as arrays by their names; pairs are training and test."""
    if isinstance(dataset, Mapping):
        return dict(dataset)
    if isinstance(dataset, (tuple, list)) and len(dataset) == 2:
        if all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in dataset):
            (x, y), (x_test, y_test) = dataset
            return {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}
        if all(hasattr(each, "element_spec") for each in dataset):
            found: dict[Any, Any] = {}
            for part, each in zip(PARTS, dataset, strict=True):
                found[f"x_{part}"], found[f"y_{part}"] = _gather(f"tf.data.Dataset of {part}", each, memory)
            return found
    raise UserError(f"dataset is a {type(dataset).__name__}: should be {SHAPES}")


def _gather(what: str, dataset: Any, memory: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Read a dataset's batches once; images beyond a budget go to a file that ends with this process."""
    spec = dataset.element_spec
    if not (isinstance(spec, tuple) and len(spec) == 2 and len(spec[0].shape) in (3, 4)):
        raise UserError(f"{what}: should give batches of (images, labels), as .batch(256) makes them")
    images, labels = _Rows(memory), []
    for pixels, classes in dataset.as_numpy_iterator():
        images.add(_bytes(what, pixels, []))
        labels.append(np.asarray(classes))
    if not labels:
        raise UserError(f"{what}: it is empty")
    return images.array(), np.concatenate(labels)


class _Rows:
    """Images gathered batch by batch, in memory, or from a budget on in a file of the cache."""

    def __init__(self, memory: int | None) -> None:
        self._memory = memory
        self._batches: list[np.ndarray] = []
        self._bytes = 0
        self._file: Any = None
        self._shape: tuple[int, ...] = ()

    def add(self, batch: np.ndarray) -> None:
        self._bytes += batch.nbytes
        self._batches.append(batch)
        if self._memory is None or (self._bytes <= self._memory and not self._file):
            return
        try:
            if not self._file:
                folder = image_cache.cache_folder()
                folder.mkdir(parents=True, exist_ok=True)
                # Without a name: its space is free again when this process ends, however it does.
                self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
            self._shape = self._batches[0].shape[1:]
            for each in self._batches:
                self._file.write(np.ascontiguousarray(each).tobytes())
        except OSError as error:
            raise UserError(f"images beyond --memory-gb cannot be kept on disk: {error.strerror}") from None
        self._batches = []

    def array(self) -> np.ndarray:
        if not self._file:
            return np.concatenate(self._batches)
        count = self._bytes // int(np.prod(self._shape))
        with self._file:  # the map keeps it
            self._file.flush()
            return np.memmap(self._file, np.uint8, "r", shape=(count, *self._shape))


def _on_disk(examples: Examples | None) -> Examples | None:
    """Return examples whose images are mapped from a file as such: they are read batch by batch."""
    base = getattr(examples, "images", None)
    while base is not None and not isinstance(base, np.memmap) and getattr(base, "base", None) is not None:
        base = base.base
    if examples is None or not isinstance(base, np.memmap):
        return examples
    return Examples(StoredImages(examples.images, np.arange(len(examples))), examples.labels)


def _bytes(key: str, value: Any, notices: list[str]) -> Any:
    """Return floats in 0–1 as bytes; anything else as it is, for the checks to judge."""
    images = np.asarray(value) if not hasattr(value, "numpy") else value.numpy()
    if images.dtype.kind != "f" or not images.size:
        return images
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):  # NaN is neither
        return images
    notices.append(f"{key}: its floats in 0–1 were made bytes, 0–255")
    return np.round(images * 255).astype(np.uint8)


def _integers(key: str, value: Any, notices: list[str]) -> Any:
    """Return one-hot rows as integers; anything else as it is."""
    labels = np.asarray(value) if not hasattr(value, "numpy") else value.numpy()
    one_hot = labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "iufb"
    if not one_hot or not (np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all()):
        return labels
    notices.append(f"{key}: its one-hot rows were made integers")
    return labels.argmax(1)
