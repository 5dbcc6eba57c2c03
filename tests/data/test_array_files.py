"""Files that are no .npz are told by their kind; MNIST's files are found as they are published and shared."""

import gzip
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiment.__main__ import main
from experiment.data import image_folder
from experiment.data.array_files import IDX_FILES, read_npz
from experiment.data.arrays import check_arrays
from experiment.data.named_sets import load_arrays


def write_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cats/1.png", "")


def write_tar(path):
    Path("row.csv").write_text("1,2\n")
    with tarfile.open(path, "w") as archive:
        archive.add("row.csv")


def write_mat(path):
    from scipy import io

    io.savemat(path, {"x_train": np.zeros(3)})


KINDS = {
    "a.csv": (lambda path: path.write_text("label,pixel0\n5,0\n"), r"a table as text \(CSV\)"),
    "a.txt": (lambda path: path.write_text("hello"), "it is text"),
    "a.pkl": (lambda path: path.write_bytes(pickle.dumps([1])), "a pickle, which may run code"),
    "a.zip": (write_zip, "a zip archive of cats/1.png: unpack it"),
    "a.tar": (write_tar, "a tar archive: unpack it"),
    "a.csv.gz": (lambda path: path.write_bytes(gzip.compress(b"1,2")), "compressed by gzip: unpack it"),
    "a.mat": (write_mat, "a MATLAB file: read it by scipy.io.loadmat"),
    "a.npy": (lambda path: np.save(path, np.zeros(3)), r"a single array \(.npy\)"),
    "a.h5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "an HDF5 file"),
    "train-images-idx3-ubyte": (lambda path: path.write_bytes(b"\0\0\x08\x03"), "give the folder that holds"),
    "empty.npz": (lambda path: path.write_bytes(b""), "it is empty"),
    "page.npz": (lambda path: path.write_text("<!DOCTYPE html>"), "a web page"),
    "objects.npz": (lambda path: np.savez(path, x_train=np.array([{}], object)), "may run code"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_no_npz_is_told_by_its_kind_without_advice_to_load_it_unsafely(name, tmp_path):
    write, message = KINDS[name]
    write(tmp_path / name)
    with pytest.raises(ValueError, match=f"'{name}' is not a readable .npz file: .*{message}") as caught:
        load_arrays(name)
    assert "allow_pickle" not in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_npz_is_one_sentence_or_read(tmp_path, data):
    np.savez(tmp_path / "whole.npz", x_train=np.arange(4), y_train=np.arange(4))
    content = bytearray((tmp_path / "whole.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "bad.npz").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    start, refusal = f"dataset '{tmp_path / 'bad.npz'}' is not a readable .npz file: ", ""
    try:
        read_npz(tmp_path / "bad.npz")
    except ValueError as error:
        refusal = str(error)
    assert refusal.startswith(start) or not refusal
    assert "\n" not in refusal


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("place", ["{dotted}", "{file}/{file}", "{dotted}/{dotted}", "{file}/{dotted}.gz"])
def test_mnist_is_read_as_kaggle_has_it(place, digits, tmp_path):
    for key, file in IDX_FILES.items():
        path = tmp_path / "kaggle" / place.format(file=file, dotted=file.replace("-idx", ".idx"))
        write_idx(path, digits[key])
    assert not image_folder.is_image_folder("kaggle")
    assert load_arrays("kaggle").fingerprint == check_arrays("digits", digits).fingerprint


def test_a_folder_of_ones_own_is_never_called_like_a_named_set(digits, tmp_path):
    for key, file in IDX_FILES.items():
        write_idx(tmp_path / "mnist" / file, digits[key])
    assert load_arrays("./mnist").name == f"{tmp_path.name}/mnist"


def test_inspect_says_what_an_npz_holds(digits, tmp_path, capsys):
    np.savez(tmp_path / "d.npz", **digits, x_val=digits["x_test"] ^ 1, y_val=digits["y_test"], other=1)
    assert main(["inspect", "d.npz"]) == 0
    said = capsys.readouterr().out
    assert "d.npz 600 images, 10 classes" in said
    assert "  validation    100  0 10, 1 10" in said
    assert "  images     28 × 28, grey, 0 to 255" in said
    assert "notice     d.npz: not used" in said
    assert "fit to train on" in said


def test_inspect_says_what_a_folder_of_idx_files_holds(digits, tmp_path, capsys):
    for key, file in IDX_FILES.items():
        write_idx(tmp_path / "idx" / file, digits[key])
    assert main(["inspect", "idx", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["parts"]["test"]["9"], report["image_shape"], report["problems"]) == (10, [28, 28, 1], [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_test": "x_train"}, "test images are train images as well"),
        ({"y_train": "x_train"}, "y_train must be integers"),
    ],
)
def test_inspect_says_what_is_wrong_with_arrays(change, message, digits, tmp_path, capsys):
    np.savez(tmp_path / "d.npz", **digits | {key: digits[other][:100] for key, other in change.items()})
    assert main(["inspect", "d.npz"]) == 1
    said = capsys.readouterr().out
    assert "1 thing wrong:" in said
    assert message in said
