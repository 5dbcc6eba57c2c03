"""A saved model read back with its bundle: it predicts what its run logged, and says what it cannot read."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from experiment.__main__ import main
from experiment.deploy import predict as predict_module
from experiment.evaluation import calibration
from experiment.run.story import Options, train_and_evaluate
from experiment.store import bundle
from experiment.store.archive_format import archived_messages
from experiment.store.held_out import read_table
from experiment.store.record import RunRecord
from params.spec import Params
from tests.support.pictures import NAMES, encode, write_digits

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory) -> Path:
    """The digits as a folder of pictures with Chinese names, without a validation part."""
    return write_digits(tmp_path_factory.mktemp("data") / "数字", digits)


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory) -> RunRecord:
    """A run on that folder, recorded offline."""
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(runs / "cache"))
        return train_and_evaluate(
            parameters(folder), options=Options(mode="offline", runs=runs / "runs", quiet=True)
        )


def parameters(folder: Path) -> Params:
    given: dict[str, Any] = {"image_size": 28, "resize": "pad", "channels": 1, "validation": 0.2}
    return Params(dataset=str(folder), epochs=3, compile="graph", **given)


def predict(record: RunRecord, *arguments, capsys) -> tuple[int, list]:
    """Run the command with --json; return its exit code and what it printed."""
    code = main(["predict", record.source, *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_logged_parameters_are_those_of_pictures_and_all_are_read(trained, folder):
    assert trained.params.items() >= {"dataset": "数字/", "image-size": 28, "channels": 1}.items()
    assert {"skip-bad", "allow-duplicates", "split-seed"} <= set(trained.params)
    assert str(folder.parent) not in json.dumps(trained.params)


def test_predict_gives_the_accuracy_that_the_run_logged(trained, folder, capsys):
    code, results = predict(trained, folder / "test", capsys=capsys)
    right = [Path(result["image"]).parent.name == result["classes"][0]["class"] for result in results]
    assert (code, len(right)) == (0, 100)
    assert np.mean(right) == pytest.approx(trained.results["test_accuracy"])
    assert 0.3 < np.mean(right) < 1


def test_probabilities_are_calibrated_and_sum_to_one(trained, folder, capsys):
    _, results = predict(trained, folder / "test", "--top", 10, capsys=capsys)
    description = bundle.read_bundle(Path(trained.source) / "model")
    logged = np.load(Path(trained.source) / "predictions.npz")
    expected = calibration.calibrated(np.log(logged["probabilities"]), description.temperature)
    for result, row in zip(results, expected, strict=True):
        values = {each["class"]: each["probability"] for each in result["classes"]}
        assert sum(values.values()) == pytest.approx(1)
        assert list(values.values()) == sorted(values.values(), reverse=True)
        named = dict(zip(description.class_names, row, strict=True))
        assert values == pytest.approx(named, abs=1e-5)


def test_a_run_beyond_the_memory_budget_has_the_same_result_and_says_so(trained, folder, tmp_path, capsys):
    options = Options(mode="disabled", runs=tmp_path, quiet=True, memory_gb=1e-6)
    record = train_and_evaluate(parameters(folder), options=options)
    assert record.results["last"] == trained.results["last"]
    assert record.results["test_loss"] == trained.results["test_loss"]
    assert "exceed their memory budget" in capsys.readouterr().err


def test_the_bundle_describes_the_model(trained):
    description = bundle.read_bundle(Path(trained.source) / "model")
    assert description.class_names == sorted(NAMES)
    size = {"height": 28, "width": 28, "channels": 1}
    assert description.image.model_dump() == size | {
        "scaling": "float32, value / 255",
        "depth": 16,
        "resize": "pad",
    }
    assert description.key == trained.key
    assert description.dataset["fingerprint"] == trained.run["dataset"]["fingerprint"]
    assert description.parameters == trained.params
    assert description.metrics["test_accuracy"] == trained.results["test_accuracy"]
    assert description.temperature_fitted_on == "validation set"
    assert description.temperature == trained.results["temperature"] > 0


def test_comet_gets_the_bundle_and_the_calibration_errors(trained):
    archive = Path(trained.source) / "comet" / f"{trained.key}.zip"
    messages = list(archived_messages(archive))
    values = {
        m["payload"]["metric"]["metricName"]: m["payload"]["metric"]["metricValue"]
        for m in messages
        if m["type"] == "metric_msg" and m["payload"].get("context") == "test"
    }
    assert values["ece"] == pytest.approx(trained.results["test_ece"])
    assert values["ece_calibrated"] == pytest.approx(trained.results["test_ece_calibrated"])
    text = json.dumps(messages)
    assert "bundle.json" in text
    assert "pictures.json" in text


def test_a_copy_of_the_model_folder_is_enough(trained, folder, tmp_path, capsys):
    shutil.copytree(Path(trained.source) / "model", tmp_path / "copy")
    picture = next((folder / "test" / "一").iterdir())
    code = main(["predict", str(tmp_path / "copy"), str(picture), "--top", "1"])
    line = capsys.readouterr().out
    assert code == 0
    assert line.startswith(f"{picture}  ")
    assert line.rstrip().endswith("%")


def test_one_bad_picture_does_not_stop_the_others_and_is_told_by_the_exit_code(
    trained, folder, tmp_path, capsys
):
    good = next((folder / "test" / "一").iterdir())
    (tmp_path / "bad.png").write_text("x")
    code, results = predict(trained, tmp_path / "bad.png", good, "missing.png", capsys=capsys)
    assert code == 1
    assert [result.get("error") for result in results] == [
        "no JPEG, PNG, BMP, WebP or GIF",
        None,
        "no such file",
    ]
    assert results[1]["classes"]


def test_a_picture_of_another_mode_and_format_is_read_as_in_training(trained, folder, tmp_path, capsys):
    path = next((folder / "test" / "零").iterdir())
    (tmp_path / "same.bmp").write_bytes(encode(np.asarray(Image.open(path)), "BMP", mode="RGB"))
    _, results = predict(trained, path, tmp_path / "same.bmp", capsys=capsys)
    assert results[0]["classes"] == results[1]["classes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "nothing", "x.png"], "no run 'nothing'"),
        (["predict", "RUN", "empty"], "no picture in"),
        (["predict", "RUN", ""], "'' is neither a picture nor a folder"),
        (["predict", "", "x.png"], "no run ''"),
        (["inspect", ""], "'' is no folder"),
        (["predict", "RUN", "x.png", "--top", "0"], "top = 0: should be 1 or more"),
        (["inspect", "missing"], "'missing' is no folder"),
        (["inspect", "empty", "--channels", "2"], "channels = 2: should be 1 or 3"),
    ],
)
def test_a_wrong_command_is_one_sentence_and_exit_code_2(trained, tmp_path, arguments, message, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as caught:
        main([trained.source if each == "RUN" else each for each in arguments])
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert message in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_model_that_holds_code_is_refused_and_the_code_is_not_run(trained, tmp_path, name, capsys):
    layers = keras.layers
    model = keras.Sequential([keras.Input((784,)), layers.Lambda(lambda x: x * 2), layers.Dense(10)])
    copy = shutil.copytree(Path(trained.source) / "model", tmp_path / "copy")
    model.save(copy / name)
    described = json.loads((copy / "bundle.json").read_text())
    (copy / "bundle.json").write_text(json.dumps(described | {"model_file": name}))
    with pytest.raises(SystemExit):
        main(["predict", str(copy), "x.png"])
    said = capsys.readouterr().err
    assert "is refused: it holds code (Lambda)" in said
    assert len(said.splitlines()) == 1


EDITS = {
    "a class fewer": (lambda told: told["class_names"].pop(), "names 9 classes, but the model has 10"),
    "no height": (lambda told: told["image"].pop("height"), "image.height is missing"),
    "another height": (lambda told: told["image"].update(height=27), "parameters say image-size 28"),
    "temperature as text": (lambda told: told.update(temperature="1.0"), "temperature = '1.0': should be"),
    "temperature 0": (lambda told: told.update(temperature=0), "temperature = 0: should be greater than 0"),
    "temperature NaN": (
        lambda told: told.update(temperature=float("nan")),
        "temperature = nan: should be a finite",
    ),
    "another scaling": (
        lambda told: told["image"].update(scaling="none"),
        "image.scaling = 'none': should be",
    ),
    "4 channels": (lambda told: told["image"].update(channels=4), "image.channels = 4: should be 1 or 3"),
    "another resizing": (
        lambda told: told["image"].update(resize="crop"),
        "image.resize is crop, but parameters say 'pad'",
    ),
    "a size of no parameter": (
        lambda told: (told["image"].update(height=14), told["parameters"].pop("image-size")),
        r"says 14 × 28 pixels of 1 channel, which the model does not take",
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_bundle_as_people_edit_it_is_one_sentence_with_its_path(trained, tmp_path, edit, capsys):
    copy = shutil.copytree(Path(trained.source) / "model", tmp_path / "copy")
    told = json.loads((copy / "bundle.json").read_text())
    change, message = EDITS[edit]
    change(told)
    (copy / "bundle.json").write_text(json.dumps(told))
    with pytest.raises(SystemExit) as caught:
        main(["predict", str(copy), "x.png"])
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert re.search(message, said), said
    assert str(copy / "bundle.json") in said
    assert len(said.splitlines()) == 1


def test_a_bundle_without_later_fields_is_read(trained, tmp_path):
    told = json.loads((Path(trained.source) / "model" / "bundle.json").read_text())
    del told["image"]["depth"], told["image"]["resize"], told["parameters"]["resize"]
    (tmp_path / "bundle.json").write_text(json.dumps(told | {"later": 1}))
    image = bundle.read_bundle(tmp_path).image
    assert (image.depth, image.resize) == (16, "squash")


def test_pictures_are_resized_as_the_bundle_says(trained, folder, tmp_path):
    described = bundle.read_bundle(Path(trained.source) / "model")
    model = predict_module.load_model(Path(trained.source) / "model", described)
    digit = np.asarray(Image.open(next((folder / "test" / "一").iterdir())))
    noise = np.random.default_rng(0).integers(0, 256, digit.shape, np.uint8)
    wide = np.hstack([noise[:, :14], digit, noise[:, 14:]])
    small = Image.fromarray(wide).resize((28, 14), Image.Resampling.BILINEAR)
    twins = {
        "squash": np.asarray(Image.fromarray(wide).resize((28, 28), Image.Resampling.BILINEAR)),
        "crop": digit,
        "pad": np.pad(np.asarray(small), ((7, 7), (0, 0))),
    }
    (tmp_path / "wide.png").write_bytes(encode(wide))
    for resize, twin in twins.items():
        (tmp_path / "twin.png").write_bytes(encode(twin))
        files, _ = predict_module.find_images([str(tmp_path / name) for name in ("wide.png", "twin.png")])
        told = described.model_copy(update={"image": described.image.model_copy(update={"resize": resize})})
        one, other = predict_module.classify(model, told, files, 10)
        assert one["classes"] == other["classes"], resize


def test_sides_of_a_network_of_images_are_compared_with_the_bundle(trained):
    described = bundle.read_bundle(Path(trained.source) / "model")
    narrow = keras.Sequential([keras.Input((14, 56, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    with pytest.raises(ValueError, match="says 28 × 28 pixels of 1.* but the model takes 14 × 56 × 1"):
        predict_module.check_model(narrow, described, Path("model"))


def test_an_answer_that_is_not_finite_is_an_error(trained, folder):
    described = bundle.read_bundle(Path(trained.source) / "model")
    files, _ = predict_module.find_images([str(folder / "test" / "一")])
    broken = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(10, bias_initializer=keras.initializers.Constant(float("nan"))),
        ]
    )
    results = list(predict_module.classify(broken, described, files, 3))
    assert {result["error"] for result in results} == {"the model's answer is not finite"}


def test_no_picture_is_lost_in_silence(trained, folder, tmp_path, monkeypatch, capsys):
    pictures = tmp_path / "pictures"
    shutil.copytree(folder / "test" / "一", pictures / "more")
    (pictures / "linked").symlink_to(folder / "test")
    (pictures / "secret").mkdir()
    (pictures / "Thumbs.db").touch()
    (pictures / "__MACOSX").mkdir()
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    code = main(["predict", trained.source, str(pictures), "--json"])
    printed = capsys.readouterr()
    results = json.loads(printed.out)
    assert (code, len(results)) == (1, 12)
    assert {result["image"]: result["error"] for result in results if "error" in result} == {
        str(pictures / "linked"): "a symbolic link to a folder",
        str(pictures / "secret"): "a folder that cannot be listed: Permission denied",
    }
    assert "what systems leave is left out: Thumbs.db 1, __MACOSX 1" in printed.err


def test_names_reach_terminal_and_json_as_text_of_one_line(trained, folder, tmp_path, capsys):
    content = next((folder / "test" / "一").iterdir()).read_bytes()
    for name in (b"caf\xe9.png", b"two\nlines.png"):
        (tmp_path / os.fsdecode(name)).write_bytes(content)
    assert main(["predict", trained.source, str(tmp_path)]) == 0
    lines = capsys.readouterr().out.encode().decode().splitlines()  # what is no UTF-8 cannot be encoded
    assert [line.split("  ")[0] for line in lines] == [
        rf"{tmp_path}/caf\xe9.png",
        rf"{tmp_path}/two\nlines.png",
    ]
    assert main(["predict", trained.source, str(tmp_path), "--json"]) == 0
    assert [result["image"] for result in json.loads(capsys.readouterr().out.encode())] == [
        rf"{tmp_path}/caf\xe9.png",
        f"{tmp_path}/two\nlines.png",
    ]


def test_grey_of_16_bits_is_scaled_in_predict_as_in_training(digits, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(0, 80, 2):
        path = tmp_path / "x" / NAMES[digits["y_train"][number]] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(digits["x_train"][number].astype(np.uint16) << 4))
    params = parameters(tmp_path / "x").model_copy(update={"epochs": 1, "validation": "test"})
    options = Options(mode="disabled", runs=tmp_path / "runs", quiet=True)
    record = train_and_evaluate(params, options=options)
    assert bundle.read_bundle(Path(record.source) / "model").image.depth == 12
    (tmp_path / "twin.png").write_bytes(encode(digits["x_train"][0]))
    (tmp_path / "deep.png").write_bytes(encode(digits["x_train"][0].astype(np.uint16) << 8))
    same = tmp_path / "x" / NAMES[digits["y_train"][0]] / "0.png"
    _, results = predict(record, same, tmp_path / "twin.png", tmp_path / "deep.png", capsys=capsys)
    assert results[0]["classes"] == results[1]["classes"]
    assert results[2]["notice"].startswith("its grey holds 16 bits, those trained on 12")


@pytest.mark.parametrize("damage", ["no bundle", "cut bundle", "no model", "cut model", "other format"])
def test_a_damaged_bundle_is_one_sentence(trained, tmp_path, damage, capsys):
    copy = shutil.copytree(Path(trained.source) / "model", tmp_path / "runs" / "key" / "model")
    shutil.copy(Path(trained.source) / "run.json", copy.parent / "run.json")
    described = json.loads((copy / "bundle.json").read_text())
    model = copy / described["model_file"]
    if damage == "no bundle":
        (copy / "bundle.json").unlink()
    elif damage == "cut bundle":
        (copy / "bundle.json").write_text("{")
    elif damage == "no model":
        model.unlink()
    elif damage == "cut model":
        model.write_bytes(model.read_bytes()[:1000])
    else:
        (copy / "bundle.json").write_text(json.dumps(described | {"format": 2}))
    with pytest.raises(SystemExit) as caught:
        main(["predict", "key", "x.png", "--runs", str(tmp_path / "runs")])
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert len(said.splitlines()) == 1
    messages = {
        "no bundle": "holds no bundle.json",
        "cut bundle": "bundle.json' cannot be read",
        "no model": "is missing",
        "cut model": "cannot be loaded",
        "other format": "not known here: 2",
    }
    assert messages[damage] in said


def test_inspect_reports_without_training(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["inspect", str(folder), "--image-size", "28"]) == 0
    said = capsys.readouterr().out
    assert "数字/ 500 pictures, 10 classes" in said
    assert said.rstrip().endswith("fit to train on")
    assert main(["inspect", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"]["test"]["一"] == 10


def test_the_table_of_predictions_says_of_each_held_out_file_what_predict_says(trained, folder, capsys):
    rows = read_table((Path(trained.source) / "predictions.csv").read_bytes(), "it")
    assert [row.part for row in rows] == ["validation"] * 80 + ["test"] * 100
    assert all((folder / row.file).parent.name == row.label for row in rows)
    _, results = predict(trained, *(folder / row.file for row in rows), capsys=capsys)
    for row, result in zip(rows, results, strict=True):
        assert row.predicted == result["classes"][0]["class"]
        assert row.probability == pytest.approx(result["classes"][0]["probability"], abs=1e-5)


def test_mistakes_are_listed_with_their_files_from_the_archive_too(trained, capsys):
    rows = read_table((Path(trained.source) / "predictions.csv").read_bytes(), "it")
    wrong = {row.file for row in rows if row.label != row.predicted}
    archive = str(Path(trained.source) / "comet" / f"{trained.key}.zip")
    printed = []
    for source in (trained.source, archive):
        assert main(["show", source, "--mistakes", "--json"]) == 0
        printed.append(json.loads(capsys.readouterr().out))
    assert printed[0] == printed[1]
    assert {each["file"] for each in printed[0]} == wrong
    sure = [each["probability"] for each in printed[0]]
    assert sure == sorted(sure, reverse=True)
    assert main(["show", trained.source, "--mistakes"]) == 0
    assert f"{len(wrong)} of 80 validation and 100 test pictures" in capsys.readouterr().err
