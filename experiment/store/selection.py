"""Which of many runs are meant, and in which order: ``--where``, ``--sort`` and ``--limit``."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from experiment.errors import UserError
from experiment.store import where
from experiment.store.columns import Column, Columns, Range, Row, read_number
from experiment.store.record import RunRecord
from experiment.system.names import counted, some
from params.words import did_you_mean

Test = Callable[[Row], bool]
_ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def select(
    records: Iterable[RunRecord],
    expression: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
) -> list[Row]:
    """Return the runs that are meant, in order.

    Args:
        records: all runs, in the order that is kept where no other is asked for.
        expression: what ``where.parse`` takes; None for all runs.
        sort: columns, by commas, the first one first; a hyphen before one turns its order about.
        limit: how many runs at most, at least 1.

    Raises:
        UserError: an expression, a column or a limit is wrong.
    """
    if limit is not None and limit < 1:
        raise UserError(f"limit = {limit}: should be 1 or more")
    rows = [Row(record) for record in records]
    columns = Columns(rows)
    if expression is not None:
        matches = compile_expression(expression, columns, rows)
        rows = [row for row in rows if matches(row)]
    for name in reversed(sort.split(",") if sort is not None else []):
        rows = _sorted(rows, name.strip(), columns)
    return rows[:limit]


def matching(records: Iterable[RunRecord], expression: str) -> list[RunRecord]:
    """Return the runs that an expression means, in their order.

    Raises:
        UserError: it is wrong.
    """
    return [row.record for row in select(records, expression)]


def column_of(name: str, columns: Columns, option: str) -> Column:
    """Return the column of a name that was given by an option.

    Raises:
        UserError: there is none.
    """
    found = columns.find(name)
    if found is None:
        raise UserError(f"{option} has no column '{name}'{columns.suggestion(name)}")
    return found


def _sorted(rows: Sequence[Row], name: str, columns: Columns) -> list[Row]:
    """Return rows by a column; those without a value last, numbers before texts."""
    descending = name.startswith("-")
    of = column_of(name.removeprefix("-"), columns, "--sort").of
    there: list[tuple[tuple[Any, ...], Row]] = []
    missing: list[Row] = []
    for row in rows:
        rank = _rank(of(row))
        if rank is None:
            missing.append(row)
        else:
            there.append((rank, row))
    there.sort(key=operator.itemgetter(0), reverse=descending)
    return [row for _, row in there] + missing


def _rank(value: Any) -> tuple[Any, ...] | None:
    if isinstance(value, (int, float)):
        return None if math.isnan(value) else (0, value)
    if isinstance(value, (list, tuple)):
        return (1, *map(str, value)) if value else None
    return None if value is None else (1, str(value).lower(), str(value))


def compile_expression(text: str, columns: Columns, rows: Sequence[Row]) -> Test:
    """Return the function that tells whether a run is meant by an expression.

    Args:
        text: the expression.
        columns: those of the runs that it is about.
        rows: the runs, which tell whether a column holds numbers or texts.

    Raises:
        UserError: the text is no expression, names an unknown column, or asks a column what it cannot tell.
    """
    tree = where.parse(text)
    tests: dict[int, Test] = {
        id(condition): _condition(condition, text, columns, rows) for condition in where.conditions(tree)
    }

    def build(part: where.Expression) -> Test:
        if isinstance(part, where.Condition):
            return tests[id(part)]
        if isinstance(part, where.Not):
            inner = build(part.part)
            return lambda row: not inner(row)
        several, whole = [build(each) for each in part.parts], all if part.word == "and" else any
        return lambda row: whole(test(row) for test in several)

    return build(tree)


def _condition(condition: where.Condition, text: str, columns: Columns, rows: Sequence[Row]) -> Test:
    column = columns.find(condition.name)
    if column is None:
        reason = f"no column '{condition.name}'{columns.suggestion(condition.name)}"
        where.refuse(text, condition.place, reason)
    of, value = column.of, condition.value
    if not condition.operator:
        return lambda row: (found := of(row)) is not None and found is not False  # 0 is a value
    if condition.operator in ("~", "!~"):
        part = value.lower()
        return _negated(condition, lambda found: any(part in word.lower() for word in _texts(found)), of)
    span = _span(condition, text, column, rows)
    if condition.operator in _ORDERS:
        compare = _ORDERS[condition.operator]
        bound = span[condition.operator in ("<=", ">")]  # of a day: `<=` and `>` mean its end
        return lambda row: _is_number(found := of(row)) and compare(found, bound)
    begins = column.name == "key"
    return _negated(condition, lambda found: _equals(found, value, span, begins), of)


def _negated(condition: where.Condition, holds: Callable[[Any], bool], of: Callable[[Row], Any]) -> Test:
    """Return whether something holds of a value, or does not for ``!=``; never of a value that is missing.

    A run without tags is the exception: it lacks any tag that is asked for.
    """
    negative = condition.operator.startswith("!")

    def test(row: Row) -> bool:
        found = of(row)
        if found is None:
            return negative and condition.name.lower() in ("tag", "tags", "note")
        return holds(found) != negative

    return test


def _span(condition: where.Condition, text: str, column: Column, rows: Sequence[Row]) -> Range:
    """Return the range of numbers that a value stands for; (nan, nan) for a text.

    Raises:
        UserError: the column knows no such value.
    """
    value = condition.value
    if column.choices:
        _check_choice(condition, text, column)
    kinds = {type(column.of(row)) for row in rows} - {type(None)}
    numbers = bool(kinds) and kinds <= {int, float}
    ordered = condition.operator in _ORDERS
    if ordered and kinds and not kinds & {int, float}:
        reason = f"{column.name} holds no numbers, and {condition.operator} compares numbers"
        where.refuse(text, condition.place, f"{reason}: ~ looks for a part of a text")
    try:
        return (column.read or read_number)(value)
    except ValueError as error:
        if column.read or numbers or ordered:
            where.refuse(text, condition.value_place, f"{column.name} = {value!r} {error}")
        return (math.nan, math.nan)


def _check_choice(condition: where.Condition, text: str, column: Column) -> None:
    value, choices = condition.value, column.choices
    if condition.operator not in _ORDERS and value not in choices:
        near = did_you_mean(value, choices) or f": it is {some(choices[:-1], 9)} or {choices[-1]}"
        where.refuse(text, condition.value_place, f"{column.name} is never '{value}'{near}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _equals(found: Any, text: str, span: Range, begins: bool) -> bool:
    if isinstance(found, bool):
        return text.lower() == str(found).lower()
    if _is_number(found):
        return span[0] <= found <= span[1]
    words = _texts(found)
    return any(word.startswith(text) for word in words) if begins else text in words


def _texts(found: Any) -> list[str]:
    """Return what a value is as text: one, or as many as it has parts."""
    if isinstance(found, (list, tuple)):
        return [str(part) for part in found]
    return [str(found).lower() if isinstance(found, bool) else str(found)]


def count_text(rows: Sequence[Any], of: int) -> str:
    """Return how many runs are meant, of how many: '3 of 200 runs'."""
    return f"{len(rows)} of {counted(of, 'run')}" if len(rows) != of else counted(of, "run")
