"""A set split: what is trained on, what each epoch is validated on, what is tested on at the end."""

from __future__ import annotations

import dataclasses
import warnings
from fractions import Fraction

import numpy as np

from experiment.data.arrays import Arrays, Examples, sha256
from experiment.errors import UserError
from experiment.system.names import counted
from params.conditions import NAMED_SETS, is_set_of_pictures
from params.spec import GetParameter

FOLD = "fold"
TEST_FRACTION = 0.2  # of a set without a test part
PICTURES_VALIDATION = 0.15
LEAST_OF_A_CLASS = 3  # pictures: with one held out, two are left to train on
MOST_FOLDS = 20  # that groups are dealt into, to take a fraction of them


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


def check_repeats(arrays: Arrays, get_parameter: GetParameter) -> None:
    """Refuse a set that has the same image in two parts or classes, unless ``allow-duplicates`` lets it be.

    Raises:
        UserError: it has, with how many.
    """
    if arrays.name in NAMED_SETS:
        return  # the parameter does not apply
    if not get_parameter("allow-duplicates") and arrays.repeats:
        raise UserError(f"dataset '{arrays.name}': {'; '.join(arrays.repeats)} (allow-duplicates lets it be)")


def splits_by_chance(arrays: Arrays, validation: str | float, folds: int = 0) -> bool:
    """Tell whether a set is split by a seed: for a validation fraction, folds, or as it has no test part."""
    return arrays.test is None or folds > 0 or validation not in ("test", "folder")


def default_validation(arrays: Arrays) -> str | float:
    """Return what ``validation`` is where it was not given: a set's own part; a fraction of pictures.

    The tutorial validates on the test set, and so do arrays. Of pictures, a fraction of the training set is
    held out, unless some class has too few of them for that.
    """
    if arrays.validation is not None:
        return "folder"
    if not is_set_of_pictures(arrays.name):
        return "test"
    # What a split deals out is a group: duplicates of a picture, or a patient's pictures.
    groups = np.arange(len(arrays.train)) if arrays.groups is None else arrays.groups
    labels = arrays.train.labels[np.unique(groups, return_index=True)[1]]
    share = 1 - TEST_FRACTION if arrays.test is None else 1
    left = np.bincount(labels, minlength=len(arrays.class_names)) * share
    enough = left.min() >= LEAST_OF_A_CLASS and left.sum() * PICTURES_VALIDATION >= len(left)
    return PICTURES_VALIDATION if enough else "test"


def split_arrays(arrays: Arrays, get_parameter: GetParameter) -> Dataset:
    """Split a set as the parameters ``validation``, ``folds`` and ``split-seed`` say; stratified.

    With folds, one is held out of the training set: as the test set where there is no test part, or else, and
    where ``validation`` is 'fold', as what is validated on.

    Raises:
        UserError: a class has too few examples for such a split, or validation is asked for that the set
            does not have.
    """
    everyone = np.arange(len(arrays.train))
    train, test, test_indices = everyone, arrays.test, everyone[:0]
    validation, fraction = everyone[:0], get_parameter("validation")
    folds = folds_of(get_parameter)
    _check_parts(arrays, fraction, folds)
    if test is None and folds and fraction != FOLD:
        train, test_indices = _hold_out_fold(arrays, train, get_parameter)
    elif test is None:
        train, test_indices = _hold_out(
            arrays, train, TEST_FRACTION, "its test set", get_parameter("split-seed")
        )
    test = test or arrays.train.subset(test_indices)
    if fraction == FOLD:
        train, validation = _hold_out_fold(arrays, train, get_parameter)
    elif fraction not in ("test", "folder"):
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
        split_fingerprint=sha256(train, validation, test_indices),
    )


def folds_of(get_parameter: GetParameter) -> int:
    """Return the number of folds; 0 of a run's record that was made before there were any."""
    try:
        folds: int = get_parameter("folds")
    except KeyError:
        return 0
    return folds


def _check_parts(arrays: Arrays, validation: str | float, folds: int) -> None:
    """Refuse to validate on what there is not, or on something else than the fold that would be left over.

    Raises:
        UserError: one sentence with what to do.
    """
    if validation == "folder" and arrays.validation is None:
        raise UserError(
            f"validation = 'folder': dataset '{arrays.name}' has no folder validation/ and "
            "no arrays x_val and y_val"
        )
    if validation == FOLD and not folds:
        raise UserError("validation = 'fold': give --folds too, in how many parts the training set is dealt")
    if validation == FOLD and arrays.validation is not None:
        raise UserError(
            f"folds = {folds}: dataset '{arrays.name}' has a validation part, which no fold would use: "
            "move it into the training part"
        )
    if folds and arrays.test is not None and validation != FOLD:
        raise UserError(
            f"folds = {folds}: dataset '{arrays.name}' has a test part, so each fold is validated on: "
            f"give --validation fold instead of {validation}"
        )


def _hold_out_fold(
    arrays: Arrays, indices: np.ndarray, get_parameter: GetParameter
) -> tuple[np.ndarray, np.ndarray]:
    """Deal indices into folds; return all but ``fold``, and that, in ascending order.

    Raises:
        UserError: there is no such fold, or too few examples for so many.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    folds, fold, seed = get_parameter("folds"), get_parameter("fold"), get_parameter("split-seed")
    if fold > folds:
        raise UserError(f"fold = {fold}: should be from 1 to {folds}, as folds = {folds}")
    groups = (np.arange(len(arrays.train)) if arrays.groups is None else arrays.groups)[indices]
    distinct, firsts = np.unique(groups, return_index=True)
    labels = arrays.train.labels[indices]
    try:
        with warnings.catch_warnings():  # of a class with fewer examples than folds, which is checked below
            warnings.simplefilter("ignore", UserWarning)
            if arrays.grouped:
                splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
                held = list(splitter.split(labels, labels, groups))[fold - 1][1]
            else:
                dealt = StratifiedKFold(folds, shuffle=True, random_state=seed).split(firsts, labels[firsts])
                held = np.flatnonzero(np.isin(groups, distinct[list(dealt)[fold - 1][1]]))
    except ValueError as error:
        raise UserError(f"dataset '{arrays.name}' cannot be dealt into folds = {folds}: {error}") from None
    return _parted(arrays, indices, held, f"fold {fold} of {folds}")


def _parted(arrays: Arrays, indices: np.ndarray, held: np.ndarray, why: str) -> tuple[np.ndarray, np.ndarray]:
    """Return indices that are kept and those at places that are held out; none and no class may be missing.

    Raises:
        UserError: one is.
    """
    kept, labels = np.ones(len(indices), bool), arrays.train.labels[indices]
    kept[held] = False
    if kept.all() or not kept.any():
        groups = counted(len(np.unique(np.asarray(arrays.groups)[indices])), "group is", "groups are")
        raise UserError(f"dataset '{arrays.name}' cannot be split for {why}: {groups} too few")
    if missing := sorted(set(labels.tolist()) - set(labels[kept].tolist())):
        name, groups = arrays.class_names[missing[0]], "examples"
        if arrays.groups is not None:
            found = np.asarray(arrays.groups)[indices][labels == missing[0]]
            groups = counted(len(np.unique(found)), "group" if arrays.grouped else "picture")
        raise UserError(
            f"dataset '{arrays.name}' cannot be split for {why}: with this split-seed, all of '{name}' would "
            f"be held out; it has {groups}"
        )
    return indices[kept], indices[~kept]


def _hold_out(
    arrays: Arrays, indices: np.ndarray, fraction: float, why: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split indices in two, class by class, and return both parts in ascending order."""
    if arrays.grouped:
        return _hold_out_groups(arrays, indices, fraction, why, seed)
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


def _hold_out_groups(
    arrays: Arrays, indices: np.ndarray, fraction: float, why: str, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split indices without dividing a group: those are dealt into folds, of which some are held out."""
    from sklearn.model_selection import StratifiedGroupKFold

    labels, groups = arrays.train.labels[indices], np.asarray(arrays.groups)[indices]
    most = min(MOST_FOLDS, len(np.unique(groups)))
    share = max(Fraction(fraction).limit_denominator(most), Fraction(1, most))
    held = indices[:0]
    if share < 1:
        folds = StratifiedGroupKFold(share.denominator, shuffle=True, random_state=seed)
        with warnings.catch_warnings():  # of a class with fewer examples than folds; what matters is checked
            warnings.simplefilter("ignore", UserWarning)
            try:
                dealt = [part for _, part in folds.split(labels, labels, groups)]
            except ValueError as error:
                raise UserError(f"dataset '{arrays.name}' cannot be split for {why}: {error}") from None
        held = np.concatenate(dealt[: share.numerator])
    return _parted(arrays, indices, held, why)
