"""What is exported computes what Keras computes, or is not exported."""

import dataclasses
import importlib.util
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiment.__main__ import main
from experiment.data.arrays import Examples
from experiment.data.splits import Dataset
from experiment.deploy import export
from experiment.run.story import Options, train_and_evaluate
from experiment.store.directory import RunDirectory
from experiment.store.directory_reader import read_record
from experiment.store.files import read_json
from params.spec import Params

pytestmark = pytest.mark.slow

FORMATS = ("savedmodel", "onnx", "tflite")


def finished_run(folder, params, build_model=None) -> RunDirectory:
    options = Options(mode="disabled", quiet=True, runs=folder)
    return RunDirectory(Path(train_and_evaluate(params, build_model=build_model, options=options).source))


@pytest.fixture(scope="module")
def runs(digits_file, tmp_path_factory) -> dict[str, RunDirectory]:
    """A run of each model."""
    folder = tmp_path_factory.mktemp("runs")
    small: dict[str, Any] = {"filters": 4, "epochs": 1, "layer_1_size": 16}
    return {
        model: finished_run(folder, Params(dataset=str(digits_file), model=model, **small))
        for model in ("mlp", "cnn")
    }


@pytest.fixture(scope="module")
def run(runs) -> RunDirectory:
    return runs["mlp"]


@pytest.fixture(scope="module", params=[(model, to) for model in ("mlp", "cnn") for to in FORMATS])
def exported(request, runs, tmp_path_factory):
    """An export of each format of a run of each model."""
    model, to = request.param
    return runs[model], export.export(runs[model], to, tmp_path_factory.mktemp("out"))


def logits(figures, images) -> np.ndarray:
    """Run an export by its runtime alone, one image a call."""
    path = figures["path"]
    if figures["format"] == "savedmodel":
        import tensorflow as tf

        loaded = tf.saved_model.load(path)
        serve = loaded.signatures["serving_default"]
        return np.concatenate([serve(images=tf.constant(image[None]))["logits"] for image in images])
    if figures["format"] == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return np.concatenate([session.run(["logits"], {"images": image[None]})[0] for image in images])
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path)
    serve = interpreter.get_signature_runner("serving_default")
    return np.concatenate([serve(images=image[None])["logits"] for image in images])


def texts(figures) -> dict[str, str]:
    """Return the texts that an export carries, as another program would find them."""
    path = Path(figures["path"])
    if figures["format"] == "savedmodel":
        return {each.name: each.read_text() for each in (path / "assets.extra").iterdir()}
    if figures["format"] == "onnx":
        import onnx

        return {each.key: each.value for each in onnx.load(path).metadata_props}
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_raw_images_give_the_predictions_that_the_run_stored(exported, digits):
    run, figures = exported
    with np.load(run.predictions_file) as stored:
        expected = stored["probabilities"]
    values = logits(figures, digits["x_test"][..., np.newaxis]).astype(np.float64)
    weights = np.exp(values - values.max(-1, keepdims=True))
    np.testing.assert_allclose(weights / weights.sum(-1, keepdims=True), expected, atol=1e-5)


def test_the_figures_are_those_of_the_check(exported):
    run, figures = exported
    assert figures["images"] == 100
    assert figures["max_logit_difference"] <= figures["tolerance"]
    assert figures["classes_agree"] == 1
    assert figures["test_accuracy"] == pytest.approx(read_json(run.results_file)["test_accuracy"])
    assert all(figures[f"{who}_ms_by_{size}"] > 0 for who in ("keras", "export") for size in (1, 256))
    assert figures["bytes"] > 1000


def test_class_names_and_preprocessing_travel_with_an_export(exported):
    run, figures = exported
    carried = texts(figures)
    assert carried["labels.txt"].split() == list("0123456789")
    card = json.loads(carried["model.json"])
    assert card["run"] == run.key
    assert card["images"] == "uint8 [N, 28, 28, 1], 0-255; scaled to 0-1 inside"


def test_the_card_says_how_pictures_of_other_shapes_were_resized(run):
    examples = Examples(np.zeros((2, 4, 4, 1), np.uint8), np.arange(2, dtype=np.int32))
    dataset = Dataset("x", examples, examples, examples, ("a", "b"), "", "")
    record = read_record(run.path)
    pictures: dict[str, Any] = {"image-size": 4, "channels": 1}
    for params, expected in (({}, None), (pictures, "squash"), ({**pictures, "resize": "pad"}, "pad")):
        carried = export._texts(dataclasses.replace(record, params=dict(record.params) | params), dataset)
        assert json.loads(carried["model.json"]).get("resize") == expected


def test_a_class_is_one_line_of_the_labels_whatever_it_is_called(run):
    examples = Examples(np.zeros((2, 4, 4, 1), np.uint8), np.arange(2, dtype=np.int32))
    names = ("two\nlines", "red\x1b[31m")
    dataset = Dataset("x", examples, examples, examples, names, "", "")
    carried = export._texts(read_record(run.path), dataset)
    assert carried["labels.txt"].splitlines() == [r"two\nlines", r"red\x1b[31m"]
    assert json.loads(carried["model.json"])["classes"] == list(names)


def test_no_machine_path_is_in_an_export(exported, digits_file):
    run, figures = exported
    path = Path(figures["path"])
    for file in [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]:
        for place in (digits_file.parent, run.path.parent, Path.cwd()):
            assert str(place).encode() not in file.read_bytes()


def test_a_savedmodel_has_the_layout_of_tensorflow_serving_and_exported_again_is_the_next_version(
    run, tmp_path
):
    for version in ("1", "2"):
        path = Path(export.export(run, "savedmodel", tmp_path)["path"])
        assert path == tmp_path / "tf-mnist-comet" / version
        assert (path / "saved_model.pb").is_file()
    assert {each.name for each in path.parent.iterdir()} == {"1", "2"}


def test_an_export_replaces_no_file(run, tmp_path):
    taken = tmp_path / "tf-mnist-comet.onnx"
    taken.write_text("precious")
    with pytest.raises(ValueError, match="exists: give another --out"):
        export.export(run, "onnx", tmp_path)
    assert taken.read_text() == "precious"


def without_scaling(model, dataset):
    """Do what deployments forget: give a model pixels of 0–255."""
    import keras

    images = keras.Input(dataset.test.images.shape[1:], dtype="uint8", name="images")
    logits = model(keras.ops.reshape(keras.ops.cast(images, "float32"), (-1, 784)))
    serving = keras.Model({"images": images}, {"logits": logits})
    serving({"images": dataset.test.images[:1]})
    return serving


@pytest.mark.parametrize("to", FORMATS)
def test_an_export_that_differs_is_refused_and_removed(run, tmp_path, monkeypatch, capsys, to):
    monkeypatch.setattr(export, "_serving_model", without_scaling)
    code = main(["export", str(run.path), "--to", to, "--out", str(tmp_path / "out")])
    assert code == 1
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert "logits differ from Keras' by up to" in sentence
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def build_resizing(get_parameter, image_shape, classes):
    """Build a model with an operation that ONNX does not have."""
    import keras

    layers = [keras.layers.Resizing(14, 14, interpolation="lanczos3"), keras.layers.Flatten()]
    return keras.Sequential([keras.Input(image_shape), *layers, keras.layers.Dense(classes)])


def test_a_model_that_a_format_cannot_hold_is_refused_in_one_sentence(digits_file, tmp_path, capsys):
    params = Params(dataset=str(digits_file), epochs=1, compile="off")
    other = finished_run(tmp_path / "runs", params, build_resizing)
    assert main(["export", str(other.path), "--to", "onnx", "--out", str(tmp_path / "out")]) == 1
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert "cannot be exported to onnx" in sentence
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_the_command_prints_the_figures_as_json(run, capsys, tmp_path):
    assert main(["export", run.key[:10], "--to", "onnx", "--runs", str(run.path.parent), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["path"] == f"export/{run.key[:12]}/tf-mnist-comet.onnx"
    assert Path(figures["path"]).stat().st_size == figures["bytes"]


REFUSED = {
    "images that are gone": ({"source": "/nowhere.npz"}, "cannot be checked without its test images"),
    "images that changed": ({"fingerprint": "0" * 64}, "is not what it was trained on"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_run_that_cannot_be_checked_is_not_exported(run, capsys, tmp_path, kind):
    change, message = REFUSED[kind]
    dataset = read_json(run.run_file)["dataset"]
    try:
        run.update_run(dataset=dataset | change)
        with pytest.raises(SystemExit) as caught:
            main(["export", str(run.path), "--to", "onnx", "--out", str(tmp_path / "out")])
    finally:
        run.update_run(dataset=dataset)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_named_with_what_to_install(run, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else find_spec(name)
    )
    with pytest.raises(ValueError, match=r"export to onnx needs tf2onnx: pip install -e '.\[export\]'"):
        export.export(run, "onnx")


def test_a_run_without_a_model_is_refused(run, tmp_path):
    for path in (run.run_file, run.params_file):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="has no saved model: its status is 'finished'"):
        export.export(RunDirectory(tmp_path), "savedmodel")
