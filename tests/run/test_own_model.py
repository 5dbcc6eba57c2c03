"""A network in a user's file: found, its parameters like any other, trained, gone on with, repeated."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from experiment.commands.train import main
from experiment.errors import UserError
from experiment.rerun import differences
from experiment.run import Options, train_and_evaluate
from experiment.run.own_model import spec_of, with_own_declared
from experiment.store.directory import RunDirectory
from experiment.store.directory_reader import read_record
from experiment.sweep.file import read_sweep
from experiment.sweep.plan import Plan
from experiment.sweep.points import points
from params.load import check_extra, check_params, load_params, names_of
from params.spec import Params

HELPER = "UNITS = 4\n"
NET = """
from typing import Literal

import keras
from pydantic import BaseModel, Field
from units_of_net import UNITS


class Parameters(BaseModel):
    width: int = Field(UNITS, ge=1, le=64, description="units of the hidden layer")
    filters: Literal["few", "many"] = Field("few", description="not those of the cnn")


def build(get_parameter, image_shape, classes):
    wide = get_parameter("width") * (2 if get_parameter("filters") == "many" else 1)
    layers = [keras.layers.Flatten(), keras.layers.Dense(wide, activation="relu")]
    return keras.Sequential([keras.Input(image_shape), *layers, keras.layers.Dense(classes)])


def fails(get_parameter, image_shape, classes):
    width = get_parameter("width")
    return width / 0


def returns_none(get_parameter, image_shape, classes):
    pass
"""
LINE_OF_FAULT = NET.splitlines().index("    return width / 0") + 1


@pytest.fixture
def net(tmp_path, monkeypatch) -> Path:
    """The user's file in a folder of its own; what it puts into this process is taken back."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "units_of_net", raising=False)
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "units_of_net.py").write_text(HELPER)
    (folder / "net.py").write_text(NET)
    return folder / "net.py"


def refuse(*arguments, capsys) -> str:
    """Return the sentence of a command line that is refused."""
    with pytest.raises(SystemExit) as caught:
        main([*map(str, arguments)])
    said = capsys.readouterr().err
    assert caught.value.code == 2, said
    assert len(said.splitlines()) == 1, said
    assert os.listdir() == ["user"]
    return said.removeprefix("train.py: error: ").strip()


def test_its_parameters_are_declared_read_and_refused_like_any_other(net, capsys):
    spec = spec_of(f"{net}:build")
    params = load_params(flags={"width": "9", "filters": "many", "model": f"{net}:build"}, spec=spec)
    applicable = params.applicable()
    assert (applicable["width"], applicable["filters"]) == (9, "many")
    assert "layer-1-size" not in applicable
    assert "width" not in names_of(Params)
    given = ("--model", f"{net}:build", "--dataset", "mnist-5k")
    assert refuse(*given, "--width", "65", capsys=capsys) == "width = 65: should be an integer from 1 to 64"
    assert "should be 'few' or 'many'" in refuse(*given, "--filters", "8", capsys=capsys)
    assert "did you mean '--width'?" in refuse(*given, "--widht", "8", capsys=capsys)
    with pytest.raises(SystemExit):
        main([*given, "--help"])
    assert "units of the hidden layer (default: 4)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("epochs: int = Field(1, ge=1)", "there is a parameter epochs already: take another name"),
        ("width: int", "has no default: "),
        ("width: list[int] = [1]", "should be int, float, bool, str, or Literal of texts: "),
        ("Width: int = 3", "should be in small letters, as flags are"),
        ("runs: int = Field(3, ge=1)", "parameter runs: --runs is an option already: take another name"),
    ],
)
def test_a_declaration_that_can_be_no_parameter_is_one_sentence(net, declared, message, capsys):
    net.write_text(
        "from pydantic import BaseModel, Field\n"
        f"class Parameters(BaseModel):\n    {declared}\n"
        "def build(get_parameter, image_shape, classes): ...\n"
    )
    assert message in refuse("--model", f"{net}:build", capsys=capsys)


@pytest.mark.parametrize(
    ("content", "function", "message"),
    [
        ("def bild(): ...\n", "build", "no function 'build': did you mean 'bild'?"),
        ("1 +\n", "build", "net.py, line 1: SyntaxError: invalid syntax"),
        (
            "\nimport no_such_module\n",
            "build",
            "net.py, line 2: ModuleNotFoundError: No module named 'no_such",
        ),
        ("\n\nraise SystemExit(3)\n", "build", "net.py, line 3: SystemExit: 3"),
        (
            "Parameters = {'width': 3}\ndef build(): ...\n",
            "build",
            "should be a pydantic model, class Parameters",
        ),
        (NET, "fails", f"net.py, line {LINE_OF_FAULT}: ZeroDivisionError: division by zero"),
        (NET, "returns_none", "build_model returned NoneType: should be an uncompiled keras.Model"),
    ],
)
def test_what_its_code_raises_is_told_with_its_line_and_nothing_is_written(
    net, content, function, message, capsys
):
    net.write_text(content)
    assert message in refuse("--model", f"{net}:{function}", "--dataset", "mnist-5k", capsys=capsys)


def test_a_file_or_module_that_is_not_there_is_one_sentence(net, capsys):
    assert "there is no file 'nett.py'" in refuse("--model", "nett.py:build", capsys=capsys)
    assert "there is no module 'no_such.net' here" in refuse("--model", "no_such.net:build", capsys=capsys)
    assert "FILE.py:FUNCTION" in refuse("--model", "cm", capsys=capsys)


def test_a_sweep_varies_its_parameters_and_names_them_to_its_workers(net, tmp_path):
    base = check_params({"model": f"{net}:build", "dataset": "mnist-5k"}, spec_of(f"{net}:build"))
    (tmp_path / "sweep.json").write_text(
        '{"algorithm": "grid", "parameters": {"width": [2, 3], "filters": ["few", "many"]}}'
    )
    sweep = read_sweep(str(tmp_path / "sweep.json"), base)
    plan = Plan(sweep, base, "f" * 64, tmp_path / "runs", 1, None)
    plan.points = points(sweep, base)
    told = [plan.configuration(trial)["params"] for trial in plan.everyone()]
    assert [(each["width"], each["filters"]) for each in told] == [
        *((2, "few"), (2, "many"), (3, "few"), (3, "many")),
    ]
    assert (
        check_params(told[0], spec_of(told[0]["model"])).model_dump(by_alias=True, exclude_unset=True)
        == told[0]
    )
    (tmp_path / "sweep.json").write_text('{"algorithm": "grid", "parameters": {"width": [2, 65]}}')
    with pytest.raises(UserError, match="width = 65: should be an integer from 1 to 64"):
        read_sweep(str(tmp_path / "sweep.json"), base)


@pytest.mark.slow
def test_a_run_of_it_is_logged_gone_on_with_from_elsewhere_and_repeatable(
    net, digits_file, tmp_path, monkeypatch, capsys
):
    shared = ["--runs", str(tmp_path / "runs"), "--mode", "disabled", "--quiet"]
    monkeypatch.chdir(net.parent)
    flags = ["--model", "net.py:build", "--width", "5", "--epochs", "1", "--compile", "off"]
    assert main([*flags, "--dataset", str(digits_file), "--json", *shared]) == 0
    record = read_record(Path(json.loads(capsys.readouterr().out)["run_dir"]))
    told = {"model": "net.py:build", "width": 5, "filters": "few"}
    assert record.params.items() >= told.items()
    # Logged if its network reads them, as the stock ones' would be without meaning here.
    assert not {"dropout", "layer-1-size"} & set(record.params)
    assert record.run["model"]["source"] == f"{net}:build"
    assert "net.py:build" in record.name
    monkeypatch.chdir(tmp_path)
    assert main(["--resume", record.key, "--epochs", "2", *shared]) == 0
    record = read_record(Path(record.source))
    assert record.results["epochs"] == 2
    spec = spec_of(record.run["model"]["source"])
    assert differences.parameters(record, {"width": "6"}, spec).model_dump()["width"] == 6
    net.unlink()
    with pytest.raises(SystemExit):
        main(["--rerun", record.key, *shared])
    assert "any more: give --model FILE.py:FUNCTION" in capsys.readouterr().err


def test_a_program_may_name_the_file_too(net, tmp_path):
    params = Params(model=f"{net}:build", epochs=1)
    assert with_own_declared(params).applicable()["width"] == 4
    with pytest.raises(UserError, match="and build_model=…: give one of them"):
        train_and_evaluate(params, build_model=print, options=Options(runs=tmp_path / "runs"))


def build_wide(get_parameter, image_shape, classes):
    import keras

    layers = [keras.layers.Flatten(), keras.layers.Dense(get_parameter("wide"), "relu")]
    return keras.Sequential([keras.Input(image_shape), *layers, keras.layers.Dense(classes)])


@pytest.mark.slow
def test_a_programs_extra_parameters_are_logged_and_its_record_is_for_notebooks(digits, tmp_path):
    named: dict[str, Any] = {
        "build_model": build_wide,
        "class_names": [f"digit {label}" for label in range(10)],
        "dataset": ((digits["x_train"] / 255, digits["y_train"]), (digits["x_test"], digits["y_test"])),
    }
    told: list[str] = []
    options = Options(mode="disabled", runs=tmp_path / "runs", quiet=True, on_notice=told.append)
    params = Params(epochs=2, compile="off")
    record = train_and_evaluate(params, extra={"wide": 6, "unread": 1}, options=options, **named)
    assert record.params["wide"] == 6
    assert record.run["dataset"]["classes"][3] == "digit 3"
    assert "x_train: its floats in 0–1 were made bytes, 0–255" in told
    assert any("never read" in notice and "unread" in notice for notice in told)
    assert len(repr(record).splitlines()) == 3
    assert f"test accuracy {record.results['test_accuracy']:.4f}" in repr(record)
    assert len(record.history["val_loss"]) == 2
    assert record.history["val_loss"][-1] == record.results["last"]["val_loss"]
    assert record.figures["curves"].is_file()
    points = record.frame()
    assert points.query("name == 'val_loss'").value.tolist() == record.history["val_loss"]
    directory = RunDirectory(Path(record.source))
    more = Params(epochs=3, compile="off")
    with pytest.raises(UserError, match="wide = 7: a resumed run keeps its own, 6"):
        train_and_evaluate(more, extra={"wide": 7, "unread": 1}, options=options, resume=directory, **named)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"epochs": 1}, "there is a parameter epochs already"),
        ({"Wide": 1}, "'Wide' should be a name in small letters"),
        ({"wide": [1]}, r"wide = \[1\]: should be a number, a text, True or False"),
    ],
)
def test_extra_parameters_that_can_be_none_are_one_sentence(extra, message):
    with pytest.raises(UserError, match=message):
        check_extra(extra, Params(), has_builder=True)
    with pytest.raises(UserError, match="give build_model too: stock networks read none of them"):
        check_extra(extra, Params(), has_builder=False)
