"""A set split: what is trained on, what each epoch is validated on, what is tested on at the end."""

from __future__ import annotations

import dataclasses
import warnings
from fractions import Fraction

import numpy as np

from experiment.data.arrays import Arrays, Examples, sha256
from experiment.errors import UserError
from experiment.system.names import counted
from params.conditions import NAMED_SETS
from params.spec import GetParameter

TEST_FRACTION = 0.2  # of a set without a test part
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


def splits_by_chance(arrays: Arrays, validation: str | float) -> bool:
    """Tell whether a set is split by a seed, for a validation fraction or as it has no test part."""
    return arrays.test is None or validation not in ("test", "folder")


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
            arrays, train, TEST_FRACTION, "its test set", get_parameter("split-seed")
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
        split_fingerprint=sha256(train, validation, test_indices),
    )


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
    held = np.zeros(len(indices), bool)
    if share < 1:
        folds = StratifiedGroupKFold(share.denominator, shuffle=True, random_state=seed)
        with (
            warnings.catch_warnings()
        ):  # of a class with fewer examples than folds: what matters is checked here
            warnings.simplefilter("ignore", UserWarning)
            try:
                dealt = [part for _, part in folds.split(labels, labels, groups)]
            except ValueError as error:
                raise UserError(f"dataset '{arrays.name}' cannot be split for {why}: {error}") from None
        held[np.concatenate(dealt[: share.numerator])] = True
    if not held.any() or held.all():
        found = counted(len(np.unique(groups)), "group is", "groups are") + " too few"
        raise UserError(f"dataset '{arrays.name}' cannot be split for {why}: {found}")
    if missing := sorted(set(labels.tolist()) - set(labels[~held].tolist())):
        name = arrays.class_names[missing[0]]
        found = counted(len(np.unique(groups[labels == missing[0]])), "group")
        raise UserError(
            f"dataset '{arrays.name}' cannot be split for {why}: with this split-seed, all groups of "
            f"'{name}' are held out; it is in {found}"
        )
    return indices[~held], indices[held]
