"""The language of ``--where``: a text that says which runs are meant, and the tree that it stands for.

expression = term ("or" term)*        term = factor ("and" factor)*
factor = "not" factor | "(" expression ")" | condition
condition = NAME (OPERATOR VALUE)? | "tag:" VALUE
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import NoReturn

from experiment.errors import UserError
from experiment.system.names import printable
from experiment.system.text_table import width_of

OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "~", "!~")
TAG = "tag"
_TOKEN = re.compile(
    r"""\s*(?:(?P<operator>!=|!~|<=|>=|==|=|<|>|~)|(?P<paren>[()])
    |(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<word>[^\s()=!<>~"']+)|(?P<other>\S))""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r"[^\s()=!<>~\"':\\]+")
_WORDS = ("and", "or", "not")
_DEEPEST = 50

Place = tuple[int, int]  # where something stands in the text: its first character, and the one after its last


@dataclasses.dataclass(frozen=True)
class Condition:
    """What is asked of one column; without an operator, whether it holds anything but false."""

    name: str
    operator: str = ""
    value: str = ""
    place: Place = dataclasses.field(default=(0, 0), compare=False)
    value_place: Place = dataclasses.field(default=(0, 0), compare=False)

    def __str__(self) -> str:
        return f"{_quoted(self.name)}{self.operator}{_quoted(self.value) if self.operator else ''}"


@dataclasses.dataclass(frozen=True)
class Not:
    """What must not hold."""

    part: Expression

    def __str__(self) -> str:
        return f"not ({self.part})"


@dataclasses.dataclass(frozen=True)
class Several:
    """Two parts or more that must hold: all of them (``and``), or one at least (``or``)."""

    word: str
    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return f" {self.word} ".join(f"({part})" for part in self.parts)


Expression = Condition | Not | Several


def conditions(expression: Expression) -> Iterator[Condition]:
    """Yield the conditions of an expression, in their order."""
    if isinstance(expression, Condition):
        yield expression
    elif isinstance(expression, Not):
        yield from conditions(expression.part)
    else:
        for part in expression.parts:
            yield from conditions(part)


def refuse(text: str, place: Place, reason: str) -> NoReturn:
    """Raise the sentence about an expression, with the expression and a mark below the place.

    Raises:
        UserError: always.
    """
    line = text.replace("\n", " ").replace("\t", " ")
    start = width_of(printable(line[: place[0]]))
    marks = "^" * max(width_of(printable(line[place[0] : place[1]])), 1)
    raise UserError(f"--where: {reason}\n  {printable(line)}\n  {' ' * start}{marks}")


def parse(text: str) -> Expression:
    """Return the tree that a text stands for.

    Raises:
        UserError: it is no expression; the sentence points at the place.
    """
    return _Parser(text).whole()


@dataclasses.dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: Place


class _Parser:
    """Reads an expression from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        end = len(text.rstrip())
        self._tokens = [
            _Token(str(found.lastgroup), found[str(found.lastgroup)], found.span(str(found.lastgroup)))
            for found in _TOKEN.finditer(text, 0, end)
        ]
        self._tokens.append(_Token("end", "", (end, end)))
        self._next = 0
        self._depth = 0

    def whole(self) -> Expression:
        found = self._several("or")
        if self._token.kind != "end":
            self._refuse("a ')' too many" if self._token.text == ")" else "'and' or 'or' is missing here")
        return found

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _refuse(self, reason: str) -> NoReturn:
        if self._token.kind == "other" and self._token.text in "\"'":
            reason = f"the quotation mark {self._token.text} has no second one"
        elif self._token.kind == "other":
            reason = f"{self._token.text!r} is no operator: there are {' '.join(OPERATORS)}"
        refuse(self._text, self._token.place, reason)

    def _take(self) -> _Token:
        token = self._token
        self._next += 1
        return token

    def _is_word(self, *words: str) -> bool:
        return self._token.kind == "word" and self._token.text.lower() in words

    def _several(self, word: str) -> Expression:
        part = self._factor if word == "and" else (lambda: self._several("and"))
        parts = [part()]
        while self._is_word(word):
            self._take()
            parts.append(part())
        return parts[0] if len(parts) == 1 else Several(word, tuple(parts))

    def _factor(self) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._refuse(f"it is nested deeper than {_DEEPEST}")
        try:
            if self._is_word("not"):
                self._take()
                return Not(self._factor())
            if self._token.text == "(" and self._token.kind == "paren":
                return self._group()
            return self._condition()
        finally:
            self._depth -= 1

    def _group(self) -> Expression:
        opened = self._take()
        found = self._several("or")
        if self._token.text != ")" or self._token.kind != "paren":
            if self._token.kind == "end":
                refuse(self._text, opened.place, "this '(' is never closed")
            self._refuse("'and', 'or' or ')' is missing here")
        self._take()
        return found

    def _condition(self) -> Condition:
        if self._token.kind not in ("word", "quoted") or self._is_word(*_WORDS):
            self._refuse(
                "a condition is missing here, such as optimizer=adam, test_accuracy>0.97 or tag:best"
            )
        name = self._take()
        if name.kind == "word" and name.text.lower().startswith(f"{TAG}:"):
            return self._tag(name)
        if self._token.kind != "operator":
            return Condition(_unquoted(name), place=name.place)
        operator = self._take().text.replace("==", "=")
        if self._token.kind not in ("word", "quoted"):
            self._refuse("a value is missing here; quote one that holds spaces or signs")
        value = self._take()
        return Condition(_unquoted(name), operator, _unquoted(value), name.place, value.place)

    def _tag(self, token: _Token) -> Condition:
        value, place = token.text[len(TAG) + 1 :], token.place
        if not value and self._token.kind == "quoted":
            quoted = self._take()
            value, place = _unquoted(quoted), quoted.place
        if not value:
            self._refuse("a tag is missing here")
        return Condition(TAG, "=", value, (token.place[0], token.place[0] + len(TAG)), place)


def _unquoted(token: _Token) -> str:
    if token.kind == "word":
        return token.text
    return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
