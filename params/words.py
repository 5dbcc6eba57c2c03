"""What a declaration allows, in words, and the sentence about a value that it doesn't allow.

Pydantic finds what is wrong; its own messages speak of its types, and end in an address.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

SHOWN_CHARACTERS = 60  # of a value that is not allowed
SIMILAR = 0.7  # by difflib's ratio: below it, suggestions mislead ('weight-decay' is no 'decay-rate')
_PLAIN = {str: "text", bool: "true or false", dict: "a dictionary", list: "a list", type(None): "None"}
_EMPTY = ("too_short", "string_too_short")


def sentence(model: type[BaseModel], details: ErrorDetails, name: str) -> str:
    """Turn pydantic's error into one sentence: the name, its value, what is allowed."""
    if details["type"] == "missing":
        return f"{name} is missing"
    if details["type"] == "invalid_key":
        return f"{name} has the key {details['input']!r}: should be text"
    if details["type"] in _EMPTY:
        return refusal(name, details["input"], "should not be empty")
    if details["type"] == "value_error":  # a check of our own, in words already
        return refusal(name, details["input"], details["msg"].removeprefix("Value error, "))
    if details["type"] == "finite_number":
        return refusal(name, details["input"], "should be a finite number")
    annotation, rules = _declared(model, details["loc"])
    return refusal(name, details["input"], f"should be {allowed(annotation, rules)}")


def sentence_of_file(details: ErrorDetails, name: str) -> str:
    """Turn pydantic's error about a file of ours into one sentence: its rule, in pydantic's own words."""
    rule = details["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return refusal(name, details["input"], "should not be empty" if details["type"] in _EMPTY else rule)


def place(location: Iterable[object]) -> str:
    """Return where in a file something is: ``dataset.image_shape.0``; on one line, whatever its keys hold."""
    parts = (str(part) for part in location)
    return ".".join(part if part.isprintable() else repr(part)[1:-1] for part in parts)


def refusal(name: str, value: object, rule: str) -> str:
    """Return the sentence about a value that breaks a rule; of a long value, its beginning."""
    shown = repr(value)
    if len(shown) > SHOWN_CHARACTERS:
        shown = f"{shown[:SHOWN_CHARACTERS]}…"
    return f"{name} = {shown}: {rule}"


def allowed(annotation: Any, rules: Iterable[Any] = ()) -> str:
    """Say in words what a type and its bounds allow: 'an integer from 1 to 100,000'."""
    if get_origin(annotation) is Literal:
        return _either([repr(choice) for choice in get_args(annotation)])
    if get_origin(annotation) in (Union, types.UnionType):
        return _either([allowed(member, rules) for member in get_args(annotation)])
    if annotation is int:
        return f"an integer{_bounds(rules, smallest=1)}"
    if annotation is float:
        return f"a number{_bounds(rules, smallest=0)}"
    kind = get_origin(annotation) or annotation
    return "a dictionary" if issubclass(kind, BaseModel) else _PLAIN[kind]


def nearest(name: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str | None:
    """Return the known name that another probably stands for, by its synonyms or its spelling, or None."""
    synonyms = synonyms or {}
    word = name.lower().replace("_", "-")
    near = difflib.get_close_matches(word, [*known, *synonyms], n=1, cutoff=SIMILAR)
    return synonyms.get(near[0], near[0]) if near else None


def did_you_mean(name: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str:
    """Return the end of a sentence about an unknown name: ': did you mean …?', or ''."""
    near = nearest(name, known, synonyms)
    return f": did you mean '{near}'?" if near else ""


def _declared(model: type[BaseModel], place: tuple[int | str, ...]) -> tuple[Any, list[Any]]:
    """Return type and rules of what stands at a place, as pydantic names places."""
    annotation: Any = model
    rules: list[Any] = []
    for part in place:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = _field(annotation, str(part))
            annotation, rules = field.annotation, field.metadata
        elif part == "[key]":
            annotation, rules = str, []
        elif isinstance(part, int):
            annotation, rules = get_args(annotation)[0], []
    return annotation, rules


def _field(model: type[BaseModel], name: str) -> FieldInfo:
    fields = model.model_fields
    return fields[name] if name in fields else fields[name.replace("-", "_")]


def _bounds(rules: Iterable[Any], smallest: int) -> str:
    """Return bounds in words; an integer that is less than 5 is 4 at most: ``smallest`` is that step."""
    found: dict[str, Any] = {}
    for rule in rules:
        found |= {
            name: getattr(rule, name)
            for name in ("ge", "gt", "le", "lt")
            if getattr(rule, name, None) is not None
        }
    if smallest and "gt" in found:
        found["ge"] = found.pop("gt") + smallest
    if smallest and "lt" in found:
        found["le"] = found.pop("lt") - smallest
    if set(found) == {"ge", "le"}:
        return f" from {_number(found['ge'])} to {_number(found['le'])}"
    words = {"ge": "at least", "gt": "greater than", "le": "at most", "lt": "less than"}
    parts = [f"{words[name]} {_number(bound)}" for name, bound in found.items()]
    of = " of" if parts and parts[0].startswith("at") else ""
    return f"{of} {' and '.join(parts)}" if parts else ""


def _number(value: float) -> str:
    return f"{value:,}"


def _either(options: list[str]) -> str:
    return options[0] if len(options) == 1 else f"{', '.join(options[:-1])} or {options[-1]}"
