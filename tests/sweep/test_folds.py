"""Folds: dealt whole and without dividing groups, trained one after the other, one group in a comparison."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from experiment.compare import suspects
from experiment.compare.comparison import compare_runs
from experiment.data.arrays import Arrays, Examples
from experiment.data.splits import split_arrays
from experiment.errors import UserError
from experiment.run import Options
from experiment.run.inputs import resolve
from experiment.run.lifecycle import Interrupted
from experiment.store.find import read_runs
from experiment.sweep import folds
from experiment.sweep.settings import Settings
from params.load import load_params
from params.spec import Params
from tests.support.made_runs import made_record
from tests.support.pictures import write_digits


def arrays(labels, groups=None, test=False, validation=False) -> Arrays:
    """Return a set whose images are the numbers of its examples."""
    labels = np.array(labels, np.int32)
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    examples = Examples(images, labels)
    return Arrays(
        *("made", examples, examples if test else None, ("a", "b", "c"), "f" * 64),
        validation=examples if validation else None,
        groups=None if groups is None else np.array(groups, np.int64),
        grouped=groups is not None,
    )


def parameters(**values: Any):
    named: dict[str, Any] = {"dataset": "made.csv", "folds": 4} | values
    return Params(**named).model_dump(by_alias=True).__getitem__


def numbers(examples: Examples) -> list[int]:
    return examples.images[:].ravel().tolist()


LABELS = [number % 3 for number in range(60)]


@pytest.mark.parametrize("groups", [None, [number // 5 for number in range(60)]])
@pytest.mark.parametrize("validation", ["test", 0.25, "fold"])
def test_each_example_is_held_out_once_and_no_group_is_divided(groups, validation):
    held: list[int] = []
    for fold in range(1, 5):
        split = split_arrays(arrays(LABELS, groups), parameters(fold=fold, validation=validation))
        parts = [numbers(split.train), numbers(split.test)]
        if validation != "test":
            parts.insert(1, numbers(split.validation))
        assert sorted(number for part in parts for number in part) == list(range(60))
        if groups:
            of = [{groups[number] for number in part} for part in parts]
            assert len(set.union(*of)) == sum(map(len, of))
        held += numbers(split.validation if validation == "fold" else split.test)
        assert set(split.train.labels) == {0, 1, 2}
    expected = range(60) if validation != "fold" else set(range(60)) - set(numbers(split.test))
    assert sorted(held) == sorted(expected)


def test_folds_of_a_set_with_a_test_part_are_validated_on():
    own = arrays(LABELS, test=True)
    params = resolve(Params(dataset="made.csv", folds=4), own)
    assert params.validation == "fold"
    split = split_arrays(own, params.model_dump(by_alias=True).__getitem__)
    assert (len(split.train), len(split.validation), len(split.test)) == (45, 15, 60)


@pytest.mark.parametrize(
    ("given", "values", "message"),
    [
        (arrays(LABELS), {"fold": 5}, "fold = 5: should be from 1 to 4, as folds = 4"),
        (
            arrays(LABELS, test=True),
            {},
            "has a test part, so each fold is validated on: give --validation fold",
        ),
        (arrays(LABELS), {"folds": 0, "validation": "fold"}, "validation = 'fold': give --folds too"),
        (
            arrays(LABELS, test=True, validation=True),
            {"validation": "fold"},
            "has a validation part, which no fold would use: move it into the training part",
        ),
        (arrays([0, 1, 2] * 2), {}, "cannot be dealt into folds = 4: "),
        (arrays(LABELS, [0] * 60), {}, "cannot be dealt into folds = 4: "),
        (
            arrays(LABELS, LABELS),
            {"folds": 3},
            "with this split-seed, all of '.' would be held out; it has 1 group",
        ),
    ],
)
def test_folds_that_cannot_be_are_one_sentence(given, values, message):
    with pytest.raises(UserError, match=message):
        split_arrays(given, parameters(**values))


def fold_run(accuracy: float, fold: int, **named: Any):
    """Return a run of one fold of five, tested on its own fifth."""
    named = {"folds": 5, "split_seed": 0, "seed": 0, "validation": 0.1} | named
    return made_record(accuracy, test=str(fold), fold=fold, **named)


def test_compare_takes_folds_as_it_takes_seeds():
    runs = [
        fold_run(mean + 0.01 * fold, fold, width=width)
        for mean, width in ((0.5, 1), (0.7, 2))
        for fold in range(1, 6)
    ]
    comparison = compare_runs(runs)
    assert [group.label for group in comparison.groups] == ["width=1 ×5", "width=2 ×5"]
    assert comparison.groups[0].mean == pytest.approx(0.53)
    assert comparison.groups[0].half_width > 0
    assert [verdict.verdict for verdict in comparison.verdicts] == ["worse"]
    assert not any("different splits" in each or "test sets" in each for each in comparison.warnings)


@pytest.mark.parametrize("other", [{"folds": 10}, {"split_seed": 1}])
def test_folds_of_another_deal_are_another_group_and_test_set(other):
    runs = [fold_run(0.5 + 0.01 * fold, fold) for fold in range(1, 4)]
    runs += [fold_run(0.7 + 0.01 * fold, fold, **other) for fold in range(1, 4)]
    comparison = compare_runs(runs)
    assert len(comparison.groups) == 2
    assert [verdict.reason for verdict in comparison.verdicts] == ["their test sets differ"]


def test_single_runs_of_different_folds_are_not_compared_picture_by_picture():
    runs = [fold_run(0.5, 1, width=1), fold_run(0.7, 2, width=2)]
    assert [verdict.test for verdict in compare_runs(runs).verdicts] == [None]


@pytest.fixture(scope="module")
def interrupted_and_done(digits, tmp_path_factory) -> tuple[Path, list[str], dict[str, Any], list[str]]:
    """Two folds, interrupted in the second, gone on with; runs before, the summary, and the lines said."""
    folder = tmp_path_factory.mktemp("folds")
    pictures = write_digits(folder / "pictures", digits, ("train",), 3)
    flags = {"dataset": str(pictures), "folds": "2", "epochs": "2", "image-size": "12", "channels": "1"}
    params = load_params(flags=flags | {"layer-1-size": "8", "compile": "off"})
    assert folds.means_all_folds(params)
    said: list[str] = []
    epochs: list[int] = []

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
            epochs.append(epoch)
            if len(epochs) == 3:
                raise Interrupted(2)

    options = Options(mode="disabled", runs=folder / "runs", quiet=True, callbacks=[Interrupt()])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        with pytest.raises(Interrupted):
            folds.run_folds(params, Settings(options=options), said.append)
        before = sorted(record.status for record in read_runs(folder / "runs")[0])
        settings = Settings(options=dataclasses.replace(options, callbacks=()))
        summary = folds.run_folds(params, settings, said.append)
    return folder / "runs", before, summary, said


@pytest.mark.slow
def test_folds_go_on_where_they_were_interrupted(interrupted_and_done):
    runs, before, summary, said = interrupted_and_done
    assert before == ["finished", "interrupted"]
    records, _ = read_runs(runs)
    assert [record.params["fold"] for record in records] == [1, 2]
    assert {record.status for record in records} == {"finished"}
    assert (summary["finished"], summary["trials"]) == (2, 2)
    assert [line.split("  ")[0] for line in said] == ["fold 1 of 2", "fold 1 of 2", "fold 2 of 2"]
    scores = [record.results["test_accuracy"] for record in records]
    assert summary["mean"] == pytest.approx(np.mean(scores))
    (group,) = compare_runs(records).groups
    assert summary["half_width"] == pytest.approx(group.half_width)
    assert f"{summary['mean']:.4f} ± " in folds.closing_lines(summary, runs)


@pytest.mark.slow
def test_all_folds_together_judge_every_picture(interrupted_and_done):
    records, _ = read_runs(interrupted_and_done[0])
    found = suspects.find_suspects(records)
    assert (len(found.judged), found.pictures) == (120, 120)
