"""Sweep files: Comet's format as Comet reads it, and one sentence for each way to get it wrong."""

import ast
import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiment.commands import train
from experiment.run import Options
from experiment.sweep.file import contradictions, read_sweep
from experiment.sweep.points import Spec, applying, points, spelled
from experiment.sweep.settings import Settings
from experiment.sweep.space import Choices, Range
from experiment.sweep.sweep import check_given
from params.load import FOLDER, check_params
from params.spec import Params
from tests.support.pictures import write_digits

SHIPPED = {"tutorial": 108, "tutorial-small": 36, "quick": 4, "mnist-cnn": 4, "fashion-cnn": 4}


def write(folder, content) -> str:
    path = folder / "sweep.json"
    path.write_text(content if isinstance(content, str) else repr(content), encoding="utf-8")
    return str(path)


def grid(folder, parameters, base=None, **content):
    base = base or Params()
    sweep = read_sweep(write(folder, {"algorithm": "grid", "parameters": parameters, **content}), base)
    return points(sweep, base)


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("sweeps/*.json")))
def test_a_shipped_file_has_the_points_it_says_and_suits_comet(name):
    from comet_ml.optimizer import convert_shorthand_parameter

    assert len(points(read_sweep(name, Params()), Params())) == SHIPPED[name]
    content = ast.literal_eval((FOLDER / "sweeps" / f"{name}.json").read_text())  # as Comet reads it
    for parameter, entry in content["parameters"].items():
        assert convert_shorthand_parameter(parameter, entry)["type"] in ("discrete", "categorical")


def test_the_tutorials_grid_is_the_tutorials():
    names = ("layer-1-size", "layer-2-size", "initial-lr", "optimizer")
    tutorial = points(read_sweep("tutorial", Params()), Params())
    sizes, optimizers = (128, 64, 32), ("adamax", "adam", "rmsprop", "sgd")
    wanted = set(itertools.product(sizes, sizes, (0.01, 0.05, 0.1), optimizers))
    assert {tuple(point[name] for name in names) for point in tutorial} == wanted


def test_a_range_becomes_a_grid_from_bound_to_bound(tmp_path):
    parameters = {
        "initial-lr": {"type": "float", "scalingType": "loguniform", "min": 0.001, "max": 0.1},
        "layer-1-size": {"type": "integer", "scalingType": "uniform", "min": 32, "max": 34},
    }
    found = grid(tmp_path, parameters, spec={"gridSize": 3})
    assert [point["initial-lr"] for point in found[::3]] == [0.001, 0.01, 0.1]
    assert [point["layer-1-size"] for point in found[:3]] == [32, 33, 34]


def test_a_parameter_is_varied_only_where_it_applies(tmp_path):
    found = grid(tmp_path, {"model": ["mlp", "cnn"], "filters": [8, 16]})
    assert found == [{"model": "mlp"}, {"model": "cnn", "filters": 8}, {"model": "cnn", "filters": 16}]


def test_text_is_read_as_the_parameter_has_it(tmp_path):
    categories = {"type": "categorical", "values": ["0.1", "test"]}
    assert grid(tmp_path, {"validation": categories}) == [{"validation": 0.1}, {"validation": "test"}]


@pytest.mark.parametrize("algorithm", ["grid", "random"])
def test_more_points_go_on_where_fewer_ended(tmp_path, algorithm):
    parameters = {"dropout": {"type": "float", "min": 0.0, "max": 0.5}, "initial-lr": [0.1, 0.01]}
    few, many = (
        points(
            read_sweep(
                write(
                    tmp_path,
                    {"algorithm": algorithm, "parameters": parameters, "spec": {"maxCombo": n, "seed": 7}},
                ),
                Params(),
            ),
            Params(),
        )
        for n in (5, 12)
    )
    assert (len(few), len(many)) == (5, 12)
    assert many[:5] == few
    assert len({spelled(point) for point in many}) == 12


def test_a_random_search_of_a_small_space_has_each_point_once(tmp_path):
    file = write(tmp_path, {"algorithm": "random", "parameters": {"initial-lr": [0.1, 0.01, 0.001]}})
    assert sorted(point["initial-lr"] for point in points(read_sweep(file, Params()), Params())) == [
        *(0.001, 0.01, 0.1)
    ]


@given(
    share=st.floats(0, 1),
    scaling=st.sampled_from(["uniform", "loguniform", "normal", "lognormal"]),
    is_integer=st.booleans(),
    bounds=st.tuples(st.integers(1, 1000), st.integers(1, 1000)).filter(lambda pair: pair[0] < pair[1]),
)
def test_a_range_stays_within_its_bounds(share, scaling, is_integer, bounds):
    low, high = bounds if is_integer else map(float, bounds)
    value = Range(scaling, is_integer, low, high, mu=2.0, sigma=3.0).at(share)
    assert bounds[0] <= value <= bounds[1]
    assert isinstance(value, int) == is_integer


@given(share=st.floats(0, 1), values=st.lists(st.integers(), min_size=1, unique=True))
def test_choices_give_what_they_hold(share, values):
    assert Choices(values, is_ordered=True).at(share) in values


def test_a_normal_range_without_bounds_keeps_to_the_parameters_own():
    from experiment.sweep.file import _axis

    axis = _axis("dropout", {"type": "double", "scalingType": "normal", "mu": 0.5, "sigma": 5.0}, Params)
    for share in (0.0, 0.3, 0.999, 1.0):
        check_params({"dropout": axis.at(share)})


OPTIMIZERS = {"optimizer": ["adam", "sgd"]}
BAD_FILES = {
    "JSON's true": (
        '{"algorithm": "grid", "parameters": {"early-stopping": [true]}}',
        "write True, False and",
    ),
    "no literal": ("{'algorithm': open('x')}", "no Optimizer configuration: it holds more than plain values"),
    "torn": ("{'algorithm': 'grid',", "no Optimizer configuration: line 1"),
    "a list": ([], "it = \\[\\]: should be a dictionary"),
    "no algorithm": ({"parameters": OPTIMIZERS}, "algorithm is missing"),
    "no parameters": ({"algorithm": "grid"}, "parameters is missing"),
    "empty parameters": ({"algorithm": "grid", "parameters": {}}, "parameters = {}: should not be empty"),
    "an unknown algorithm": ({"algorithm": "hill", "parameters": OPTIMIZERS}, "'grid', 'random' or 'bayes'"),
    "an unknown entry": (
        {"algorithm": "grid", "parameters": OPTIMIZERS, "trail": 1},
        "did you mean 'trials'",
    ),
    "an unknown spec": (
        {"algorithm": "grid", "parameters": OPTIMIZERS, "spec": {"maxcombo": 1}},
        "'spec.maxcombo': did you mean 'maxCombo'",
    ),
    "an unknown metric": (
        {"algorithm": "grid", "parameters": OPTIMIZERS, "spec": {"metric": "val_acc"}},
        "spec.metric = 'val_acc': should be 'loss', ",
    ),
    "a wrong objective": (
        {"algorithm": "grid", "parameters": OPTIMIZERS, "spec": {"objective": "max"}},
        "spec.objective = 'max': should be 'minimize' or 'maximize'",
    ),
    "no trial": (
        {"algorithm": "grid", "parameters": OPTIMIZERS, "trials": 0},
        "trials = 0: should be an integer of at least 1",
    ),
}
BAD_PARAMETERS = {
    "an unknown parameter": ({"learning-rate": [0.1]}, "unknown parameter 'learning-rate'"),
    "an underscore": ({"batch_size": [1]}, "did you mean 'batch-size'"),
    "an empty list": ({"optimizer": []}, "parameters.optimizer.values = \\[\\]: should not be empty"),
    "a value out of bounds": (
        {"dropout": [0.1, 1.0]},
        "dropout = 1.0: should be a number of at least 0 and less than 1",
    ),
    "a bound out of bounds": (
        {"dropout": {"type": "float", "min": 0.0, "max": 1.5}},
        "dropout = 1.5: should be a number of at least 0 and less than 1",
    ),
    "fractions of an integer": (
        {"batch-size": {"type": "float", "min": 16, "max": 128}},
        "batch-size = 16.0: should be an integer from 1",
    ),
    "half an integer": (
        {"batch-size": {"type": "integer", "min": 16.5, "max": 128}},
        "batch-size = 16.5: should be a whole number",
    ),
    "an unknown choice": ({"optimizer": ["adam", "adagrad"]}, "optimizer = 'adagrad': should be 'adamax'"),
    "a wrong type": ({"layer-1-size": {"type": "int", "min": 1, "max": 2}}, "parameters.layer-1-size.type"),
    "no type": ({"layer-1-size": {"min": 1, "max": 2}}, "parameters.layer-1-size.type is missing"),
    "bounds the wrong way round": (
        {"dropout": {"type": "float", "min": 0.5, "max": 0.1}},
        "min = 0.5 should be less than max = 0.1",
    ),
    "no bounds": ({"dropout": {"type": "float"}}, "parameters.dropout: float needs min and max"),
    "a logarithm of 0": (
        {"dropout": {"type": "float", "scalingType": "loguniform", "min": 0.0, "max": 0.5}},
        "min = 0.0 should be greater than 0 for loguniform",
    ),
    "a set": ({"dataset": ["mnist", "fashion-mnist"]}, "scores on different sets say nothing"),
    "what applies to none": (
        {"filters": [8, 16]},
        "filters applies to none of its runs: it applies with model",
    ),
    "too many points": (
        {name: {"type": "float", "min": 0.1, "max": 0.9} for name in ("dropout", "initial-lr", "decay-rate")}
        | {
            "batch-size": {"type": "integer", "min": 1, "max": 100},
            "patience": [1, 2],
            "early-stopping": [True],
        },
        "20,000 points; more than 10,000",
    ),
}
CASES = BAD_FILES | {
    name: ({"algorithm": "grid", "parameters": parameters}, message)
    for name, (parameters, message) in BAD_PARAMETERS.items()
}


@pytest.mark.parametrize("kind", CASES)
def test_a_bad_file_is_one_sentence(tmp_path, kind):
    content, message = CASES[kind]
    with pytest.raises(ValueError, match=message) as caught:
        read_sweep(write(tmp_path, content), Params())
    assert len(str(caught.value).splitlines()) == 1
    assert "sweep.json" in str(caught.value)


WRONG: tuple[Any, ...] = (None, "x", "", [], {}, float("inf"), -1, 10**400, [None], {1: 2}, [[1]])
RANGE = {"type": "float", "min": 0.1, "max": 0.5, "scalingType": "normal", "mu": 0.1, "sigma": 0.1}
PLACES = [
    *((name,) for name in ("algorithm", "parameters", "spec", "name", "trials", "unknown")),
    *(("spec", name) for name in (*Spec.model_fields, "unknown")),
    *(("parameters", "dropout", name) for name in (*RANGE, "values", "unknown")),
    *(("parameters", name) for name in ("dropout", "epochs", "optimizer", "early-stopping", "validation")),
]


@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_whatever_is_wrong_in_a_file_the_sentence_is_ours(tmp_path, place):
    said = []
    for value in WRONG:
        content: Any = {"algorithm": "grid", "parameters": {"dropout": dict(RANGE)}, "spec": {}}
        part = content
        for name in place[:-1]:
            part = part[name]
        part[place[-1]] = value
        try:
            read_sweep(write(tmp_path, repr(content).replace("inf", "1e999")), Params())
        except ValueError as error:
            said.append(str(error))
    assert said
    assert not [text for text in said if re.search(" valid |pydantic|Input|pars|\\n|convert", text)]


BAD_COMMANDS = {
    "a missing file": (["--sweep", "none.json"], "sweep file 'none.json' does not exist"),
    "an unknown name": (["--sweep", "none"], "give a file's path, or one of fashion-cnn, mnist-cnn, quick"),
    "seeds that are varied": (["--sweep", "seeds.json", "--seeds", "2"], "varies seed itself"),
    "asha on a test metric": (["--sweep", "test.json", "--scheduler", "asha"], "a metric of every epoch"),
    "what the file sets": (
        ["--sweep", "quick", "--epochs", "1"],
        "epochs = 1 has no effect: the sweep file sets",
    ),
    "what applies to none": (
        ["--sweep", "quick", "--filters", "8"],
        "filters = 8 has no effect: it applies with",
    ),
    "a size of no pictures": (
        ["--sweep", "quick", "--dataset", "mnist-5k", "--image-size", "8"],
        "image-size = 8 has no effect: it applies with a folder of pictures or a CSV",
    ),
    "memory of no pictures": (["--sweep", "quick", "--memory-gb", "3"], "--memory-gb 3 has no effect"),
    "no workers": (["--sweep", "quick", "--workers", "0"], "'0': should be an integer from 1"),
    "workers without a sweep": (["--workers", "2"], "--workers: only with --sweep"),
    "a name for many runs": (["--sweep", "quick", "--name", "x"], "--name: not with --sweep"),
    "a resumed sweep": (["--sweep", "quick", "--resume", "x"], "--resume and --sweep: give one of them"),
    "data that is not there": (["--sweep", "quick", "--dataset", "x.npz"], "no file or folder here"),
}


@pytest.mark.parametrize("kind", BAD_COMMANDS)
def test_a_bad_command_is_one_sentence_exit_code_2_and_nothing_written(tmp_path, kind, capsys):
    whole = {"algorithm": "grid", "parameters": {"seed": [1, 2]}}
    (tmp_path / "seeds.json").write_text(json.dumps(whole))
    whole = {"algorithm": "grid", "parameters": {"epochs": [1]}, "spec": {"metric": "test_accuracy"}}
    (tmp_path / "test.json").write_text(json.dumps(whole))
    before = sorted(tmp_path.rglob("*"))
    arguments, message = BAD_COMMANDS[kind]
    with pytest.raises(SystemExit) as ended:
        train.main(arguments)
    said = capsys.readouterr().err
    assert (ended.value.code, len(said.strip().splitlines())) == (2, 1), said
    assert re.search(message, said)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_applies_to_some_runs_of_a_sweep_may_be_typed(tmp_path):
    base = Params(filters=8, epochs=2, early_stopping=True, patience=3)
    sweep = read_sweep(write(tmp_path, {"algorithm": "grid", "parameters": {"model": ["mlp", "cnn"]}}), base)
    settings = Settings(Options(runs=tmp_path, typed=("filters", "epochs", "patience")))
    assert check_given(base, sweep, applying(sweep, base), settings) == []


def test_what_a_file_gives_and_no_run_of_a_sweep_uses_is_told(tmp_path):
    base = Params(filters=8, initial_lr=0.1)
    sweep = read_sweep("quick", base)
    assert check_given(base, sweep, applying(sweep, base), Settings(Options(runs=tmp_path))) == [
        "initial-lr = 0.1 has no effect: the sweep file sets initial-lr",
        "filters = 8 has no effect: it applies with model cnn",
    ]


def test_a_bad_picture_is_named_before_a_sweep_begins(tmp_path, digits, capsys):
    folder = write_digits(tmp_path / "pictures", digits, classes=3)
    (folder / "train" / "零" / "not.png").write_text("no picture")
    with pytest.raises(SystemExit) as ended:
        train.main(["--sweep", "quick", "--dataset", str(folder)])
    assert ended.value.code == 2
    assert "train/零/not.png" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


SPLIT_SEED = {"algorithm": "grid", "parameters": {"split-seed": [1, 2]}}


@pytest.mark.parametrize(
    ("sweep", "flags", "message"),
    [
        ("quick", ["--split-seed", "5"], "error: split-seed = 5 has no effect: it applies with"),
        ("sweep.json", [], "sweep.json': split-seed applies to none of its runs: it applies with"),
    ],
)
def test_a_seed_of_the_split_is_refused_where_the_pictures_are_split_already(
    tmp_path, digits, capsys, sweep, flags, message
):
    folder = write_digits(
        tmp_path / "pictures", {name: each[:60] for name, each in digits.items()}, classes=2
    )
    write(tmp_path, SPLIT_SEED)
    with pytest.raises(SystemExit) as ended:
        train.main(["--sweep", sweep, "--dataset", str(folder), "--validation", "test", *flags])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("metric", "objective", "better"),
    [("val_accuracy", "minimize", "maximize"), ("loss", "maximize", "minimize")],
)
def test_a_sweep_for_the_worst_runs_is_told(metric, objective, better):
    (sentence,) = contradictions(Spec(metric=metric, objective=objective))
    assert sentence.startswith(f"the sweep looks for the worst {metric}: ")
    assert f"'{better}' looks for the best" in sentence
    assert contradictions(Spec(metric=metric, objective=better)) == []


def test_without_the_extra_a_sweep_says_what_to_install(tmp_path):
    script = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "ray" else find(name, *rest)
from experiment.commands import train
train.main(["--sweep", "quick"])
"""
    from tests.support.processes import run_python

    done = run_python("-c", script, cwd=tmp_path)
    assert done.returncode == 2
    assert re.search(r"a sweep needs ray: pip install .*\[sweep\]", done.stderr)
