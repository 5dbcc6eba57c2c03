"""Parameters: declared once, checked in one sentence."""

import re
from typing import Any

import pytest

from experiment.commands.train_options import build_parser
from experiment.errors import UserError
from params.checks import check_warmup
from params.conditions import Synonyms
from params.load import NAMES, check_params, load_params, read_params, write_params
from params.spec import GROUPS, Params, parameter_name

TUTORIAL = {
    "dropout": 0.25,
    "batch-size": 128,
    "epochs": 50,
    "layer-1-size": 128,
    "layer-2-size": 128,
    "initial-lr": 0.01,
    "decay-steps": 2000,
    "decay-rate": 0.9,
    "optimizer": "adamax",
}


def test_defaults_are_the_tutorials():
    assert {name: value for name, value in Params().applicable().items() if name in TUTORIAL} == TUTORIAL


def test_the_tutorials_file_holds_its_nine_values_and_no_more():
    assert read_params("mnist-mlp") == TUTORIAL


@pytest.mark.parametrize("name", ["mnist-mlp", "mnist-cnn", "fashion-cnn"])
def test_shipped_files_load(name):
    assert load_params(name)


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path):
    file = tmp_path / "p.toml"
    file.write_text("epochs = 7\nbatch-size = 32\n")
    params = load_params(file, {"epochs": "3"})
    assert (params.epochs, params.batch_size, params.decay_steps) == (3, 32, 2000)


def test_only_parameters_that_apply_are_logged():
    mlp, cnn = Params().applicable(), Params(model="cnn", early_stopping=True).applicable()
    assert "layer-1-size" in mlp
    assert "filters" not in mlp
    assert "patience" not in mlp
    assert "split-seed" not in mlp
    assert "layer-1-size" not in cnn
    assert {"filters", "patience"} <= set(cnn)


@pytest.mark.parametrize(
    ("values", "applying"),
    [
        ({}, {"decay-steps", "decay-rate", "warmup-steps", "warmup-epochs"}),
        ({"schedule": "cosine", "warmup_steps": 9}, {"warmup-steps"}),
        ({"schedule": "plateau"}, {"plateau-factor", "plateau-patience"}),
        (
            {"schedule": "constant", "optimizer": "sgd", "momentum": 0.9},
            {"warmup-steps", "warmup-epochs", "momentum", "nesterov"},
        ),
    ],
)
def test_parameters_of_schedules_and_optimizers_apply_where_they_act(values, applying):
    of_all = {"decay-steps", "decay-rate", "warmup-steps", "warmup-epochs", "plateau-factor"}
    of_all |= {"plateau-patience", "momentum", "nesterov"}
    assert of_all & set(Params(**values).applicable()) == applying


def test_adamw_decays_weights_unless_it_is_said_otherwise():
    assert Params(optimizer="adamw").weight_decay == 0.004
    assert Params(optimizer="adamw").given() == {"optimizer"}
    assert Params(optimizer="adamw", weight_decay=0.0).weight_decay == 0
    assert Params(optimizer="adam").weight_decay == 0


def test_a_warm_up_longer_than_the_run_is_refused():
    values = Params(epochs=2, warmup_epochs=1.5).applicable()
    check_warmup(values.__getitem__, 1000)
    with pytest.raises(UserError, match="a warm-up of 20 steps does not end in a run of 16 steps"):
        check_warmup((values | {"warmup-steps": 20}).__getitem__, 1000)


def test_parameters_of_pictures_apply_to_a_folder_of_pictures_alone():
    of_pictures = {"image-size", "channels", "skip-bad", "split-seed"}
    assert of_pictures <= set(Params(dataset="flowers/").applicable())
    assert not of_pictures & set(Params(dataset="flowers.npz").applicable())


@pytest.mark.parametrize(
    ("dataset", "applies"), [("flowers/", True), ("flowers.npz", True), ("arrays", True), ("mnist", False)]
)
def test_duplicates_may_be_allowed_in_every_set_of_ones_own(dataset, applies):
    assert ("allow-duplicates" in Params(dataset=dataset).applicable()) is applies


def test_the_split_seed_applies_with_a_fraction():
    assert "split-seed" in Params(validation=0.1).applicable()


@pytest.mark.parametrize(
    ("name", "low", "below", "high", "above"),
    [
        ("dropout", "0", "-0.1", "0.99", "1"),
        ("batch-size", "1", "0", "1000000", "1000001"),
        ("epochs", "1", "0", "100000", "100001"),
        ("layer-1-size", "1", "0", "65536", "65537"),
        ("layer-2-size", "1", "0", "65536", "65537"),
        ("filters", "1", "0", "1024", "1025"),
        ("initial-lr", "1e-9", "0", "100", "100.1"),
        ("decay-steps", "1", "0", "10000000", "x"),
        ("decay-rate", "0.001", "0", "1", "1.1"),
        ("momentum", "0", "-0.1", "0.99", "1"),
        ("weight-decay", "0", "-0.1", "10", "10.1"),
        ("clip-norm", "0", "-0.1", "1000000", "1000001"),
        ("ema", "0", "-0.1", "0.9999", "1"),
        ("plateau-factor", "0.01", "0", "0.99", "1"),
        ("plateau-patience", "1", "0", "100000", "100001"),
        ("warmup-steps", "0", "-1", "1000000000", "1000000001"),
        ("top-k", "2", "1", "1000", "1001"),
        ("warmup-epochs", "0", "-0.1", "100000", "100001"),
        ("validation", "0.001", "0", "0.999", "1"),
        ("seed", "0", "-1", "2147483647", "2147483648"),
        ("split-seed", "0", "-1", "2147483647", "2147483648"),
        ("patience", "0", "-1", "9", "x"),
        ("image-size", "4", "3", "1024", "1025"),
        ("channels", "1", "0", "3", "2"),
        ("augment-shift", "0", "-0.1", "0.5", "0.6"),
        ("augment-zoom", "0", "-0.1", "0.9", "0.91"),
        ("augment-rand", "0", "-0.1", "1", "1.1"),
        ("augment-colour", "0", "-0.1", "0.99", "1"),
        ("augment-erase", "0", "-0.1", "1", "1.1"),
        ("augment-rotation", "0", "-1", "180", "181"),
        ("label-smoothing", "0", "-0.1", "0.9", "1"),
    ],
)
def test_bounds_hold_on_both_sides(name, low, below, high, above):
    load_params(flags={name: low})
    load_params(flags={name: high})
    for text in (below, above):
        with pytest.raises(ValueError, match=f"^{name} = .*should be") as caught:
            load_params(flags={name: text})
        assert "\n" not in str(caught.value)


def test_every_parameter_survives_a_round_trip_through_a_file(tmp_path):
    params = Params(
        model="cnn", validation=0.2, early_stopping=True, dataset='数字 "x".npz', model_file="m.keras"
    )
    write_params(params, tmp_path / "p.toml")
    assert load_params(tmp_path / "p.toml") == params


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 1}, "unknown parameter 'batch_size': did you mean 'batch-size'?"),
        ({"lr": 0.1}, "unknown parameter 'lr': did you mean 'initial-lr'?"),
        ({"learning-rate": 0.1}, "unknown parameter 'learning-rate': did you mean 'initial-lr'?"),
        ({"momentums": 0.1}, "unknown parameter 'momentums': did you mean 'momentum'?"),
        ({"dropuot": 0.1}, "unknown parameter 'dropuot': did you mean 'dropout'?"),
        ({"zzz": 1}, "unknown parameter 'zzz'"),
        ({"epochs": "5"}, "epochs = '5': should be an integer from 1 to 100,000"),
        ({"epochs": True}, "epochs = True: should be an integer from 1 to 100,000"),
        ({"epochs": 5.5}, "epochs = 5.5: should be an integer from 1 to 100,000"),
        ({"dropout": float("nan")}, "dropout = nan: should be"),
        ({"optimizer": "adagrad"}, "should be 'adamax', 'adam', 'adamw', 'lion', 'rmsprop' or 'sgd'"),
        ({"model-file": "../x.h5"}, "model-file = '../x.h5': should be a file name without a folder"),
        ({"model-file": "x.txt"}, "ending in .h5 or .keras"),
        ({"validation": "train"}, "validation = 'train': should be 'test' or a fraction"),
        ({"channels": 2}, "channels = 2: should be 1 or 3"),
        ({"class-weights": "yes"}, "class-weights = 'yes': should be 'none' or 'balanced'"),
    ],
)
def test_a_bad_value_is_one_sentence(values, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        check_params(values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), (b"epochs = ", "is not valid TOML"), (b"\xff\xfe", "is not valid TOML")],
)
def test_a_missing_or_broken_file_is_one_sentence(tmp_path, content, message):
    file = tmp_path / "p.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_params(file)
    assert "\n" not in str(caught.value)


def test_an_unknown_shipped_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="fashion-cnn, mnist-cnn, mnist-mlp"):
        load_params("mnist-mpl")


WRONG: tuple[Any, ...] = (None, object, "", [], {}, float("nan"), float("-inf"), -1, 10**400, "x" * 500)


@pytest.mark.parametrize("field", Params.model_fields)
def test_whatever_is_wrong_with_a_parameter_the_sentence_is_ours(field):
    said = []
    for value in WRONG:
        try:
            Params(**{field: value})
        except ValueError as error:
            said.append(str(error))
    assert said
    for text in said:
        assert re.fullmatch(rf"{parameter_name(field)} = .{{1,70}}: should (be|not be) .*", text)
        assert not re.search(" valid |pydantic|[Ii]nput|pars", text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 5}, "unknown parameter 'epoch': did you mean 'epochs'?"),
        ({"lr": 0.1}, "unknown parameter 'lr': did you mean 'initial_lr'?"),
        ({"epochs": 0}, "epochs = 0: should be an integer from 1 to 100,000"),
        ({"seed": 2**31}, "seed = 2147483648: should be an integer from 0 to 2,147,483,647"),
        ({"dropout": 1.0}, "dropout = 1.0: should be a number of at least 0 and less than 1"),
        ({"initial_lr": 0}, "initial-lr = 0: should be a number greater than 0 and at most 100"),
        ({"early_stopping": "x"}, "early-stopping = 'x': should be true or false"),
        ({"dataset": ""}, "dataset = '': should not be empty"),
    ],
)
def test_python_gets_the_same_sentences(values, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        Params(**values)
    assert str(caught.value) == message


def test_synonyms_are_unambiguous_and_no_parameter():
    declared = [
        name
        for field in Params.model_fields.values()
        for part in field.metadata
        if isinstance(part, Synonyms)
        for name in part
    ]
    assert len(declared) == len(set(declared))
    assert not set(declared) & set(NAMES)


def test_help_and_page_group_parameters_by_what_they_set():
    titles = [f"parameters: {name}:" for name in ("data", "network", "training", "result")]
    text = build_parser("").format_help()
    assert sorted(titles, key=text.index) == titles
    names = [f"--{name} " for group in GROUPS for name in map(parameter_name, group.model_fields)]
    listed = text[text.index(titles[0]) :]
    assert sorted(names, key=listed.index) == names
    assert [parameter_name(name) for group in GROUPS for name in group.model_fields] == list(NAMES)


def test_every_parameter_is_described():
    assert all(field.description for field in Params.model_fields.values())
    assert len(NAMES) == len(set(NAMES))
