"""Directions of metrics, short names of groups, what is not mixed, and which parameters made a difference."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiment.compare.answers import blocks, undecided
from experiment.compare.comparison import compare_runs
from experiment.compare.directions import direction_of
from experiment.compare.groups import group_runs
from experiment.compare.importance import parameter_importance
from experiment.compare.tables import as_json, as_text
from tests.support.made_runs import made_record, seeds


def labels(*runs):
    return [group.label for group in compare_runs([*itertools.chain(*runs)]).groups]


@pytest.mark.parametrize(
    ("direction", "names"),
    [
        ("lower", ["loss", "val_loss", "test_loss", "batch_loss", "test_ece", "test_ece_calibrated"]),
        (
            "lower",
            ["seconds", "epoch_s", "process_s", "sys.gpu.0.memory", "root_mean_squared_error", "val_mae"],
        ),
        ("lower", ["categorical_crossentropy", "accuracy_loss", "seconds_per_epoch", "error_rate"]),
        ("higher", ["accuracy", "val_accuracy", "test_accuracy", "sparse_categorical_accuracy", "val_acc"]),
        ("higher", ["AUC", "f1_score", "meanIoU_iou", "images_per_s", "examples per second"]),
        (None, ["learning_rate", "temperature", "best epoch", "epochs", "pass", "losses_of_x", "eceone"]),
    ],
)
def test_a_metrics_name_tells_which_of_its_values_are_better(direction, names):
    assert {name: direction_of(name) for name in names} == dict.fromkeys(names, direction)


@pytest.mark.parametrize(("metric", "verdict"), [("test_ece", "better"), ("test_auc", "worse")])
def test_a_verdict_goes_by_the_direction_of_its_metric(metric, verdict):
    runs = [
        made_record(0.9, seed=seed, width=width, results={metric: 0.01 * width + 0.001 * seed})
        for width in (1, 5)
        for seed in range(3)
    ]
    assert [found.verdict for found in compare_runs(runs, metric=metric).verdicts] == [verdict]


def test_a_metric_whose_direction_nobody_knows_is_warned_of():
    runs = [made_record(0.9, results={"temperature": 1.1})]
    assert any(
        "'temperature' does not tell" in each for each in compare_runs(runs, metric="temperature").warnings
    )
    assert not any("does not tell" in each for each in compare_runs(runs).warnings)


def test_a_group_is_called_by_the_name_that_its_runs_share():
    adam, adamax = seeds(0.9, name="adam", optimizer="adam"), seeds(0.8, name="tutorial", optimizer="adamax")
    assert labels(adam, adamax) == ["adam ×3", "tutorial ×3"]


def test_a_group_without_a_name_is_called_by_what_sets_it_apart():
    common = {"batch_size": 128, "epochs": 2}
    mlp: dict[str, Any] = {"model": "mlp", "layer_1_size": 128, "layer_2_size": 128, **common}
    cnn: dict[str, Any] = {"model": "cnn", "filters": 16, **common}
    single = [made_record(0.7, name="single", model="cnn", filters=8, batch_size=1, epochs=9)]
    assert labels(seeds(0.9, **mlp), seeds(0.8, 2, **cnn), single)[:2] == ["mlp ×3", "cnn ×2"]


def test_a_label_says_that_it_leaves_differences_out():
    first = seeds(0.9, optimizer="adam", a=1, b=1, c=1)
    assert labels(first, seeds(0.8, optimizer="sgd", a=2, b=2, c=2))[0] == "adam a=1 b=1 … ×3"


def test_the_same_name_on_another_test_set_is_told_apart_by_the_data():
    here = seeds(0.9, name="adam", optimizer="adam")
    assert labels(here, seeds(0.9, name="adam", optimizer="adam", test="0", dataset="birds")) == [
        "adam on made ×3",
        "adam on birds ×3",
    ]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "name": st.sampled_from(["", "a", "b", "x" * 90, "x" * 91]),
                "test": st.sampled_from(["0", "1", None]),
                "code": st.sampled_from(["0", "1"]),
                "model": st.sampled_from(["mlp", "cnn"]),
            },
            optional={
                "width": st.sampled_from([1, 2]),
                "a": st.booleans(),
                "b": st.none(),
                "c": st.integers(0, 1),
            },
        ),
        max_size=8,
    )
)
def test_no_two_groups_are_called_alike(kinds):
    records = [record for kind in kinds for record in seeds(0.9, 2, **kind)]
    groups, _ = group_runs(records, [record.results for record in records], "test_accuracy")
    assert len({group.label for group in groups}) == len(groups)
    assert all(len(group.label) < 120 for group in groups)


def test_groups_of_different_test_sets_are_not_tested_against_each_other():
    compared = compare_runs([*seeds(0.9, name="here"), *seeds(0.5, name="there", test="0", dataset="birds")])
    assert undecided(compared) == {"their test sets differ": ["here ×3 – there ×3"]}
    assert [block.title for block in blocks(compared)] == [
        "made, test set ffffffff",
        "birds, test set 00000000",
    ]


def test_many_groups_are_tested_within_their_test_set_alone():
    kinds: list[dict[str, Any]] = [{"width": width, "test": test} for test in "01" for width in range(6)]
    compared = compare_runs([record for kind in kinds for record in seeds(0.9, **kind)])
    assert [len(block.verdicts) for block in blocks(compared)] == [15, 15]
    assert len(compared.verdicts) == 30


def test_a_delta_is_not_taken_between_test_sets():
    compared = compare_runs([made_record(0.9), made_record(0.8), made_record(0.5, test="0")])
    assert [row["delta test_accuracy"] for row in as_json(compared)["runs"]] == [
        0.0,
        pytest.approx(-0.1),
        None,
    ]


def test_what_cannot_be_said_is_one_line_a_reason():
    single = [made_record(0.7, name="single", width=9)]
    told = as_text(compare_runs([*seeds(0.9, width=1), *seeds(0.8, width=2), *single]))
    assert "2 pairs: cannot say (too few seeds: single (" in told
    assert told.count("cannot say") == 1


def test_the_best_epoch_is_no_warning_where_nothing_was_chosen_by_it():
    plain = [
        made_record(0.9, validation="test", results={"best": {"val_loss": 0.1}, "test_ece_calibrated": 0.1})
    ]
    assert compare_runs(plain).warnings == []
    assert "best epoch was chosen" in compare_runs(plain, metric="val_loss").warnings[0]
    assert "temperature was fitted" in compare_runs(plain, metric="test_ece_calibrated").warnings[0]
    stopped = [made_record(0.9, validation="test", early_stopping=True)]
    assert "early-stopping in every run: the best epoch's weights" in compare_runs(stopped).warnings[0]


def importance(records):
    ranked, count = parameter_importance(records, [record.results for record in records], "test_accuracy")
    return {each["name"]: each for each in ranked}, count


def test_a_parameter_that_is_merely_absent_has_no_importance():
    cnn = seeds(0.9, 6, model="cnn", filters=16)
    ranked, count = importance([*cnn, *seeds(0.5, 6, model="mlp", layer_1_size=128)])
    assert list(ranked) == ["model", "seed"]
    assert ranked["model"]["importance"] > 0.9
    assert count == 12


def test_a_parameter_of_some_runs_is_judged_among_these():
    mlp = seeds(0.5, 6, model="mlp", layer_1_size=128)
    ranked, _ = importance(
        [*seeds(0.8, 5, model="cnn", filters=8), *seeds(0.9, 5, model="cnn", filters=32), *mlp]
    )
    assert list(ranked)[:2] == ["model", "filters"]
    assert ranked["filters"]["correlation"] > 0.8
    assert ranked["model"]["correlation"] is None


def test_runs_of_different_test_sets_are_not_mixed():
    here = [record for width in (8, 32) for record in seeds(0.9, 5, width=width, dataset="made")]
    there = seeds(0.1, 6, width=64, rate=0.1, test="0", dataset="birds")
    ranked, count = importance([*there, *here])
    assert set(ranked) == {"width", "seed"}
    assert count == 10
    assert importance(there) == ({}, 0)
