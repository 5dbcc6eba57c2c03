"""Going on with a run from before a parameter was there: it had what is its default today."""

import json

import pytest

from experiment.errors import UserError
from experiment.run.resume import check_resumable
from experiment.store.directory import RunDirectory
from params.spec import Params
from tests.support.made_runs import make_run


@pytest.fixture
def older(tmp_path) -> RunDirectory:
    """An interrupted run that knew few parameters."""
    return RunDirectory(make_run(tmp_path, "older", epochs=3, layer_1_size=128, run_status="interrupted"))


def resume(older, **values) -> None:
    facts = json.loads(older.run_file.read_text()) | {"packages": {}, "python": "3"}
    older.update_run(packages={}, python="3")
    check_resumable(older, Params(dataset="made", validation=0.1, **values), facts, print)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"augment_erase": 0.5}, "augment-erase = 0.5: a resumed run keeps its own, 0.0"),
        (
            {"precision": "mixed_bfloat16"},
            "precision = 'mixed_bfloat16': a resumed run keeps its own, 'float32'",
        ),
    ],
)
def test_another_value_than_the_default_is_refused(older, values, said):
    with pytest.raises(UserError, match=said):
        resume(older, epochs=9, **values)


def test_the_defaults_are_accepted(older, capsys):
    resume(older, epochs=9)
    assert capsys.readouterr().out == ""
