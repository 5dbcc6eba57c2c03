"""Backbones: right weights at the right scale, as plain Keras has them; wrong files are refused."""

import hashlib
import importlib.util
import shutil
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from experiment.data import image as images
from experiment.data.efficientnet_lite0 import read_weights
from experiment.data.image_fit import Target
from experiment.data.weights import LITE0, NAMES, PUBLISHED, Weights, block_names, find_weights
from experiment.errors import UserError
from experiment.training.backbones import build_backbone, first_of_block

pytestmark = pytest.mark.slow

KERAS = {
    "mobilenet-v2": (keras.applications.MobileNetV2, keras.applications.mobilenet_v2),
    "mobilenet-v3-small": (keras.applications.MobileNetV3Small, keras.applications.mobilenet_v3),
    "efficientnet-b0": (keras.applications.EfficientNetB0, keras.applications.efficientnet),
    "resnet50": (keras.applications.ResNet50, keras.applications.resnet),
}
SHAPE = (64, 64, 3)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Two pictures float32 [2, 64, 64, 3], 0–1."""
    return np.random.default_rng(0).random((2, *SHAPE)).astype(np.float32)


def write_published(folder: Path, backbone: str) -> Path:
    """Write random weights as Keras publishes its own: in the older format, under that name."""
    keras.utils.set_random_seed(0)
    network = KERAS[backbone][0](include_top=False, weights=None, input_shape=SHAPE)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization):
            # ImageNet's, as EfficientNetB0's file holds them.
            numbers = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
            layer.set_weights([*(np.array(each, np.float32) for each in numbers), np.array(0, np.int32)])
    network.save(folder / "whole.h5")
    path = folder / PUBLISHED[backbone].file
    with h5py.File(folder / "whole.h5") as whole, h5py.File(path, "w") as file:
        for name in whole["model_weights"]:
            whole.copy(f"model_weights/{name}", file)
        for name, value in whole["model_weights"].attrs.items():
            file.attrs[name] = value
    (folder / "whole.h5").unlink()
    return path


@pytest.fixture(scope="module", params=NAMES[1:])
def published(request, tmp_path_factory) -> Path:
    return write_published(tmp_path_factory.mktemp("models"), request.param)


@pytest.fixture(scope="module")
def backbone(published) -> tuple[str, keras.Model]:
    """A network's name and our backbone from its published file."""
    name = next(name for name in NAMES if PUBLISHED[name].file == published.name)
    return name, build_backbone(name, as_found(name, published), SHAPE)


def as_found(name: str, path: Path) -> Weights:
    """Return what finding a file gives; its hash cannot be the published one, as its numbers are random."""
    return Weights(name, path, hashlib.sha256(path.read_bytes()).hexdigest(), "a test", "not known")


@pytest.mark.filterwarnings("ignore:.*input_shape.* is undefined or non-square")
def test_features_are_those_of_keras_own_network_and_scaling(published, backbone, pictures, monkeypatch):
    name, ours = backbone
    asked: dict[str, str] = {}

    def get_file(file: str, origin: str, file_hash: str = "", **_options: object) -> str:
        asked.update(file=file, origin=origin, hash=file_hash)
        return str(published)

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    build, module = KERAS[name]
    theirs = build(include_top=False, weights="imagenet", input_shape=SHAPE, pooling="avg")
    expected = theirs(module.preprocess_input(pictures * 255)).numpy()
    np.testing.assert_allclose(ours(pictures), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    known = PUBLISHED[name]
    assert asked == {"file": known.file, "origin": known.url + known.file, "hash": known.hash}


def test_a_frozen_backbone_gives_the_same_in_training(backbone, pictures):
    _, model = backbone
    assert model.trainable_weights == []
    np.testing.assert_array_equal(model(pictures, training=True), model(pictures))


def test_a_backbone_saved_as_h5_is_the_same_in_plain_keras(backbone, pictures, tmp_path):
    _, model = backbone
    model.save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5", compile=False)
    np.testing.assert_array_equal(loaded(pictures), model(pictures))


@pytest.fixture(scope="module")
def lite0() -> keras.Model:
    """EfficientNet-Lite0 for grey pictures of 64 × 64."""
    return build_backbone(LITE0, find_weights(LITE0, "imagenet"), (64, 64, 1))


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_grey_pictures_are_repeated_inside_the_saved_model(lite0, pictures, tmp_path, suffix):
    grey = pictures[..., :1]
    lite0.save(tmp_path / f"model.{suffix}")
    loaded = keras.models.load_model(tmp_path / f"model.{suffix}", compile=False)
    np.testing.assert_array_equal(loaded(grey), lite0(grey))
    colour = build_backbone(LITE0, find_weights(LITE0, "imagenet"), SHAPE)
    np.testing.assert_array_equal(colour(np.repeat(grey, 3, axis=-1)), lite0(grey))
    assert {layer.__module__.split(".")[0] for layer in loaded.layers} == {"keras"}


def check_cuts(name: str, model: keras.Model) -> None:
    """Check of each block that it and what follows get one tensor and no other from before."""
    starts = [first_of_block(model, block) for block in block_names(name)]
    assert starts == sorted(set(starts))
    assert all(not layer.weights for layer in model.layers[: starts[0]] if layer.name[:5] != "norma")
    for start in starts:
        above = set(map(id, model.layers[start:]))
        from_before = {
            id(tensor)
            for layer in model.layers[start:]
            for tensor in (layer.input if isinstance(layer.input, list) else [layer.input])
            if id(tensor._keras_history.operation) not in above
        }
        assert from_before == {id(model.layers[start].input)}


def test_a_backbone_can_be_cut_before_each_block(backbone):
    check_cuts(*backbone)


def test_features_from_a_cut_are_those_of_the_whole(lite0, pictures):
    check_cuts(LITE0, lite0)
    cut = lite0.layers[first_of_block(lite0, "block6")].input
    below, above = keras.Model(lite0.input, cut), keras.Model(cut, lite0.output)
    grey = pictures[..., :1]
    np.testing.assert_allclose(above(below(grey)), lite0(grey), atol=1e-6)


@pytest.mark.parametrize(
    ("package", "picture", "label"),
    [
        ("skimage", "data/chelsea.png", 285),  # an Egyptian cat
        ("sklearn", "datasets/images/flower.jpg", 985),  # a daisy
    ],
)
def test_pictures_are_what_imagenet_calls_them(package, picture, label):
    weights = find_weights(LITE0, "imagenet")
    model = build_backbone(LITE0, weights, (224, 224, 3))
    spec = importlib.util.find_spec(package)
    assert spec
    assert spec.origin
    path = Path(spec.origin).parent / picture
    pixels = images.read_image(path.read_bytes(), Target(224, 224, 3)).pixels.astype(np.float32) / 255
    kernel, bias = read_weights(weights.path)["predictions"]
    logits = model(pixels[None]).numpy() @ kernel + bias
    assert logits.argmax() == label


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[keras.Model, Path]:
    """The smallest of Keras' networks with random weights, and a folder."""
    keras.utils.set_random_seed(0)
    return KERAS["mobilenet-v3-small"][0](
        include_top=False, weights=None, input_shape=SHAPE
    ), tmp_path_factory.mktemp("small")


@pytest.mark.parametrize("name", ["own.keras", "own.weights.h5", "own.h5"])
def test_a_given_file_may_be_of_any_of_keras_formats(small, name):
    network, folder = small
    save = network.save_weights if name == "own.weights.h5" else network.save
    save(folder / name)
    found = find_weights("mobilenet-v3-small", str(folder / name))
    model = build_backbone("mobilenet-v3-small", found, SHAPE)
    for ours, theirs in zip(model.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["own.keras", "own.weights.h5", "own.h5"])
def test_a_file_of_another_network_is_one_sentence_without_warnings(small, name):
    network, folder = small
    other = keras.Sequential([keras.Input(SHAPE), keras.layers.Conv2D(4, 3), keras.layers.Dense(2)])
    (other.save_weights if name == "own.weights.h5" else other.save)(folder / f"other-{name}")
    found = as_found("mobilenet-v3-small", folder / f"other-{name}")
    with pytest.raises(UserError, match="holds weights of another network than mobilenet-v3-small") as caught:
        build_backbone("mobilenet-v3-small", found, SHAPE)
    assert "\n" not in str(caught.value)


def test_as_many_numbers_in_other_shapes_are_refused(small):
    network, folder = small
    path = folder / "turned.weights.h5"
    network.save_weights(path)
    with h5py.File(path, "a") as file:
        kernel = file["layers/conv2d/vars/0"][()]
        del file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars/0"] = kernel.transpose(0, 1, 3, 2)
    found = find_weights("mobilenet-v3-small", str(path))
    with pytest.raises(UserError, match="holds weights of another network than mobilenet-v3-small"):
        build_backbone("mobilenet-v3-small", found, SHAPE)


def test_a_file_that_changed_since_it_was_found_is_refused(tmp_path):
    path = shutil.copy(find_weights(LITE0, "imagenet").path, tmp_path / "own.pth")
    found = find_weights(LITE0, str(path))
    Path(path).write_bytes(b"something else")
    with pytest.raises(UserError, match=r"own.pth' has changed since the run began"):
        build_backbone(LITE0, found, SHAPE)


@pytest.mark.parametrize("shape", [(31, 64, 3), (64, 31, 3), (64, 64, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_pictures_that_do_not_fit_are_refused(name, shape):
    with pytest.raises(
        UserError, match=f"do not fit the backbone {name}: 32 × 32 or more, and 1 or 3 channels"
    ):
        build_backbone(name, as_found(name, Path(__file__)), shape)
