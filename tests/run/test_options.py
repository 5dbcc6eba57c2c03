"""The options of a run: what they take, and a sentence for what they do not."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from experiment.run.story import Options

BAD: list[tuple[dict[str, Any], str]] = [
    ({"mode": "on"}, "mode = 'on': should be 'auto' or 'online' or 'offline' or 'disabled'"),
    ({"runs": 3}, "runs = 3: should be a path"),
    ({"runs": ""}, "runs = '': should be a path"),
    ({"name": 3}, "name = 3: should be text that is not empty, or None"),
    ({"tags": "tag"}, "tags = 'tag': should be a list of texts"),
    ({"tags": [1]}, "tags = [1]: should be a list of texts"),
    ({"workspace": ""}, "workspace = '': should be text that is not empty, or None"),
    ({"project": b"x"}, "project = b'x': should be text that is not empty, or None"),
    ({"register": True}, "register = True: should be text that is not empty, or None"),
    ({"quiet": "no"}, "quiet = 'no': should be True or False"),
    ({"memory_gb": 0}, "memory_gb = 0: should be a number greater than 0, or None"),
    ({"memory_gb": "4"}, "memory_gb = '4': should be a number greater than 0, or None"),
    ({"system_metrics_every": 0.5}, "system_metrics_every = 0.5: should be 0, or 1 to 3600 seconds"),
    ({"callbacks": print}, "callbacks = <built-in function print>: should be a list of Keras callbacks"),
    ({"on_notice": "print"}, "on_notice = 'print': should be a function of a text, or None"),
    ({"notify": "no"}, "notify = 'no': should be True or False"),
    ({"figures": None}, "figures = None: should be True or False"),
    ({"log_dataset": 1}, "log_dataset = 1: should be True or False"),
    ({"typed": "epochs"}, "typed = 'epochs': should be a list of texts"),
]


@pytest.mark.parametrize(("values", "message"), BAD)
def test_a_bad_option_is_one_sentence(values, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        Options(**values)
    assert str(caught.value) == message


def test_no_option_is_without_a_rule():
    assert {name for values, _ in BAD for name in values} == {
        each.name for each in dataclasses.fields(Options)
    }


def test_runs_may_be_text():
    options: Any = {"runs": "x"}
    assert Options(**options).runs == Path("x")
