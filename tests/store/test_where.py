"""The language of --where: what it says is what it does, and what is wrong is pointed at."""

import contextlib
import operator
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiment.errors import UserError
from experiment.store import where
from experiment.store.columns import Columns, Row
from experiment.store.selection import compile_expression, matching, select
from tests.support.made_runs import made_record

TEXTS = st.text(max_size=8)
NUMBERS = {"seed": st.integers(0, 3), "dropout": st.sampled_from([0.0, 0.25, 0.5])}
WORDS = {"optimizer": st.sampled_from(["adam", "Adam", "sgd"]), "model": st.sampled_from(["mlp", "cnn"])}
RUNS = st.lists(
    st.fixed_dictionaries({}, optional={**NUMBERS, **WORDS, "augment-flip": st.booleans()}), max_size=5
)
COMPARE = {
    **{"=": operator.eq, "!=": operator.ne, "<": operator.lt},
    **{"<=": operator.le, ">": operator.gt, ">=": operator.ge},
}


def trees(conditions):
    return st.recursive(
        conditions,
        lambda parts: (
            st.builds(where.Not, parts)
            | st.builds(
                where.Several,
                st.sampled_from(["and", "or"]),
                st.lists(parts, min_size=2, max_size=3).map(tuple),
            )
        ),
        max_leaves=6,
    )


ANY_CONDITION = st.builds(where.Condition, TEXTS, st.sampled_from(where.OPERATORS), TEXTS) | st.builds(
    where.Condition, TEXTS
)
KNOWN_CONDITION = st.one_of(
    *(
        st.builds(where.Condition, st.just(name), st.sampled_from(list(COMPARE)), values.map(str))
        for name, values in NUMBERS.items()
    ),
    *(
        st.builds(where.Condition, st.just(name), st.sampled_from(["=", "!="]), values)
        for name, values in WORDS.items()
    ),
    st.builds(where.Condition, st.sampled_from([*NUMBERS, *WORDS, "augment-flip"])),
)


@given(trees(ANY_CONDITION))
def test_an_expression_is_read_back_as_the_tree_that_wrote_it(tree):
    assert where.parse(str(tree)) == tree


@given(trees(KNOWN_CONDITION), RUNS)
def test_an_expression_means_what_python_makes_of_it(tree, runs):
    records = [made_record(0.9, **params) for params in runs]
    for record, params in zip(records, runs, strict=True):
        rows = [Row(each) for each in records]
        test = compile_expression(str(tree), Columns(rows), rows)
        assert test(Row(record)) == holds(tree, params)


def holds(tree, params):
    if isinstance(tree, where.Not):
        return not holds(tree.part, params)
    if isinstance(tree, where.Several):
        return {"and": all, "or": any}[tree.word](holds(part, params) for part in tree.parts)
    if tree.name not in params:
        return False
    value = params[tree.name]
    if not tree.operator:
        return value is not False
    return COMPARE[tree.operator](value, type(value)(tree.value))


@given(st.text(alphabet="ab=<>!~()'\" \t\ntag:notandor.0", max_size=30))
def test_whatever_is_given_is_understood_or_refused_in_words(text):
    with contextlib.suppress(UserError):
        where.parse(text)


@pytest.fixture(scope="module")
def records():
    """Three runs: adam, tagged and noted; sgd that failed; cnn of last year."""
    day = 86400
    found: list[Any] = [
        made_record(accuracy, optimizer=name) for accuracy, name in ((0.98, "adam"), (0.9, "sgd"))
    ]
    found.append(made_record(0.97, model="cnn", initial_lr=0.001))
    changes = [
        {"tags": ["best so far", "x"], "note": "Try more epochs", "started": time.time() - day / 2},
        {"tags": ["x-2"], "started": time.time() - 2 * day, "status": "failed"},
        {"started": 1.7e9},
    ]
    for record, change in zip(found, changes, strict=True):
        record.run.update(change)
    return [*found[:1], type(found[1])(**{**vars(found[1]), "status": "failed"}), found[2]]


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        ("optimizer=adam and test_accuracy>0.97 and status!=failed and tag:'best so far'", [0]),
        ("optimizer=adam or optimizer=sgd", [0, 1]),
        ("not optimizer=adam", [1, 2]),
        ("optimizer!=adam", [1]),  # of a run without an optimizer nobody can tell
        ("NOT (optimizer = adam OR model=cnn)", [1]),
        ("tag:x", [0]),
        ("tag~x", [0, 1]),
        ("tag!=x", [1, 2]),
        ("note~'MORE'", [0]),
        ("not note", [1, 2]),
        ("note!~more", [1, 2]),
        ("age<1d", [0]),
        ("age>=36h", [1, 2]),
        ("started=2023-11-14 or started=2023-11-15", [2]),
        ("started>=2023-11-16", [0, 1]),
        ("Initial_LR==1e-3", [2]),
        ("test-accuracy>=0.97", [0, 2]),
        ("batch-size=128", []),  # declared, and nowhere logged
    ],
)
def test_runs_are_selected_by_what_is_known_of_them(records, expression, meant):
    assert matching(records, expression) == [records[place] for place in meant]


@pytest.mark.parametrize(
    ("expression", "reason", "marked"),
    [
        ("optimzer=adam and seed=0", "no column 'optimzer': did you mean 'optimizer'?", "optimzer"),
        ("lr=0.1", "no column 'lr': did you mean 'initial-lr'?", "lr"),
        ("accuracy>0.9", "no column 'accuracy': did you mean 'test_accuracy'?", "accuracy"),
        ("status=finishd", "status is never 'finishd': did you mean 'finished'?", "finishd"),
        ("age>7", "age = '7' should be an age, such as 90s, 30m, 12h, 7d or 2w", "7"),
        ("started>yesterday", "started = 'yesterday' should be a day or a time", "yesterday"),
        ("test_accuracy>high", "test_accuracy = 'high' should be a number", "high"),
        ("model>cnn", "model holds no numbers, and > compares numbers", "model"),
        ("(optimizer=adam", "this '(' is never closed", "("),
        ("optimizer=adam)", "a ')' too many", ")"),
        ("optimizer=adam model=cnn", "'and' or 'or' is missing here", "model"),
        ("optimizer=", "a value is missing here", ""),
        ("name='x", "the quotation mark ' has no second one", "'"),
        ("model=cnn and or", "a condition is missing here", "or"),
        ("tag:", "a tag is missing here", ""),
        ("(" * 60 + "note" + ")" * 60, "it is nested deeper than 50", "("),
        ("", "a condition is missing here", ""),
    ],
)
def test_what_is_wrong_is_named_and_marked_below_its_place(records, expression, reason, marked):
    with pytest.raises(UserError) as caught:
        matching(records, expression)
    said, shown, mark = str(caught.value).split("\n")
    assert said.startswith(f"--where: {reason}")
    start = mark.index("^") - 2
    assert shown[2:] == expression
    assert expression[start : start + len(mark.strip())] == marked
    assert marked or start == len(expression)


def test_the_mark_stands_below_its_place_after_wide_letters_too(records):
    with pytest.raises(UserError) as caught:
        matching(records, "name=手書き and optimzer=adam")
    assert str(caught.value).split("\n")[2] == " " * (2 + len("name=") + 6 + len(" and ")) + "^" * 8


def test_runs_are_sorted_by_several_columns_and_those_without_a_value_come_last(records):
    accuracy = [row.record for row in select(records, sort="-test_accuracy")]
    assert accuracy == [records[0], records[2], records[1]]
    by_model = [row.record for row in select(records, sort="model,test_accuracy")]
    assert by_model == [records[2], records[1], records[0]]
    assert [row.record for row in select(records, sort="-initial-lr", limit=1)] == [records[2]]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"sort": "acuracy"}, "--sort has no column 'acuracy'"),
        ({"limit": 0}, "limit = 0: should be 1 or more"),
    ],
)
def test_a_wrong_order_or_limit_is_refused(records, named, message):
    with pytest.raises(UserError, match=message):
        select(records, **named)
