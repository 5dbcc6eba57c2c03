"""What a program gives to train on: in every usual shape the same set, and what was converted is said."""

import numpy as np
import pytest

from experiment.data.arrays import StoredImages
from experiment.data.program_sets import read_program_set
from experiment.errors import UserError


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pairs(digits):
    return (digits["x_train"], digits["y_train"]), (digits["x_test"], digits["y_test"])


def test_pairs_as_keras_loaders_return_them_are_the_arrays_by_name(digits):
    by_name, paired = read_program_set(digits), read_program_set(pairs(digits))
    assert paired.fingerprint == by_name.fingerprint
    assert paired.notices == by_name.notices == ()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_in_0_to_1_and_one_hot_labels_are_converted_and_that_is_said(digits, dtype):
    given = dict(digits)
    for part in ("train", "test"):
        given[f"x_{part}"] = digits[f"x_{part}"].astype(dtype) / 255
        given[f"y_{part}"] = np.eye(10, dtype=dtype)[digits[f"y_{part}"]]
    arrays = read_program_set(given)
    assert arrays.fingerprint == read_program_set(digits).fingerprint
    assert list(arrays.notices) == [
        "x_train: its floats in 0–1 were made bytes, 0–255",
        "y_train: its one-hot rows were made integers",
        "x_test: its floats in 0–1 were made bytes, 0–255",
        "y_test: its one-hot rows were made integers",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.full((400, 28, 28), 128.0)}, "x_train must be uint8, 0–255, not float64"),
        ({"x_train": np.full((400, 28, 28), np.nan)}, "x_train must be uint8, 0–255, not float64"),
        ({"y_train": np.ones((400, 10))}, "y_train must be integers"),
        ({"y_train": np.full((400, 10), 0.1)}, "y_train must be integers"),
    ],
)
def test_other_floats_and_rows_are_refused_as_before(digits, change, message):
    with pytest.raises(UserError, match=message):
        read_program_set(digits | change)


@pytest.mark.parametrize("given", [None, "mnist", [1, 2], ([1], [2]), (1, 2, 3)])
def test_what_is_no_set_is_one_sentence(given):
    with pytest.raises(UserError, match=r"should be dict\(x_train=…"):
        read_program_set(given)


def test_class_names_are_those_that_are_given(digits):
    names = [f"digit {label}" for label in range(10)]
    assert read_program_set(digits, names).class_names == tuple(names)
    with pytest.raises(UserError, match="has 10 classes and 2 class names"):
        read_program_set(digits, ["a", "b"])
    with pytest.raises(UserError, match="class_names = 'abc': should be a list of texts"):
        read_program_set(digits, "abc")


@pytest.mark.slow
def test_batched_datasets_of_tensorflow_are_read_once_and_beyond_the_budget_kept_on_disk(digits):
    import tensorflow as tf

    def datasets(scale):
        return [
            tf.data.Dataset.from_tensor_slices(
                ((images[..., None] / 255).astype("float32") if scale else images[..., None], labels)
            ).batch(64)
            for images, labels in pairs(digits)
        ]

    whole = read_program_set(digits)
    for scale in (False, True):
        kept = read_program_set(datasets(scale), memory=10**9)
        assert kept.fingerprint == whole.fingerprint
        assert isinstance(kept.train.images, np.ndarray)
        stored = read_program_set(datasets(scale), memory=100_000)
        assert stored.fingerprint == whole.fingerprint
        assert isinstance(stored.train.images, StoredImages)
        np.testing.assert_array_equal(stored.train.images[5:9], whole.train.images[5:9])
    unbatched = tf.data.Dataset.from_tensor_slices(digits["x_train"])
    with pytest.raises(
        UserError, match=r"tf.data.Dataset of train: should give batches of \(images, labels\)"
    ):
        read_program_set((unbatched, unbatched))
