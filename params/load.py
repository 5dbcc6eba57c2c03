"""Defaults < parameter file < command line, as checked ``Params``; reading and writing parameter files."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from experiment.errors import UserError
from params.spec import SYNONYMS, Params, condition, parameter_name
from params.words import allowed, did_you_mean, refusal

NAMES = tuple(parameter_name(field) for field in Params.model_fields)
FOLDER = Path(__file__).parent
EXTRA_NAME = re.compile(r"[a-z][a-z0-9_-]*")


def load_params(
    file: str | Path | None = None,
    flags: Mapping[str, str] | None = None,
    spec: type[Params] = Params,
) -> Params:
    """Resolve the parameters of a run.

    Args:
        file: a TOML file, or the name of one in ``params/`` (``mnist-cnn``); None for the defaults.
        flags: parameter names (with hyphens) to the text given on the command line.
        spec: what is declared: with the parameters of a network of the user's own, where there is one.

    Raises:
        UserError: one sentence that names the parameter or file, the value and what is allowed.
    """
    values = dict(read_params(file)) if file is not None else {}
    values.update({name: _parse_flag(name, text, spec) for name, text in (flags or {}).items()})
    return check_params(values, spec)


def check_params(values: Mapping[str, Any], spec: type[Params] = Params) -> Params:
    """Check parameters given by their names with hyphens, by what is declared.

    Raises:
        UserError: one sentence that names the parameter, its value and what is allowed.
    """
    for name in values:
        if name not in names_of(spec):
            raise UserError(unknown_name(name, "parameter", names_of(spec)))
    return spec(**values)


def check_extra(extra: Mapping[str, Any], params: Params, has_builder: bool) -> dict[str, Any]:
    """Return parameters that a program declares by giving them, beside those that every run has.

    Raises:
        UserError: a name is taken or none, a value is no number, text or truth value, or nothing reads them.
    """
    if extra and not has_builder:
        raise UserError(f"extra = {dict(extra)!r}: give build_model too: stock networks read none of them")
    for name, value in extra.items():
        if not isinstance(name, str) or not EXTRA_NAME.fullmatch(name):
            raise UserError(f"extra: {name!r} should be a name in small letters, digits and hyphens")
        if name in names_of(type(params)):
            raise UserError(f"extra: there is a parameter {name} already: set it in Params, or rename yours")
        if not isinstance(value, (str, bool, int, float)):
            raise UserError(f"extra: {refusal(name, value, 'should be a number, a text, True or False')}")
    return dict(extra)


def names_of(spec: type[Params]) -> tuple[str, ...]:
    """Return the names, with hyphens, of the parameters that are declared."""
    return tuple(map(parameter_name, spec.model_fields))


def without_effect(params: Params, applying: Container[str]) -> dict[str, str]:
    """Return sentences about the parameters that were given and are not among those that apply, by name."""
    found = {}
    for field in type(params).model_fields:
        name, when = parameter_name(field), condition(field, type(params))
        if when and name in params.given() and name not in applying:
            value = getattr(params, field)
            found[name] = f"{name} = {value!r} has no effect: it applies with {when.text}"
    return found


def read_params(file: str | Path) -> dict[str, Any]:
    """Read a TOML parameter file, or one of ``params/`` by its bare name.

    Raises:
        UserError: the file is missing or is not TOML.
    """
    path = Path(file)
    # A file here goes first; a bare word is otherwise one of those that are shipped.
    if not path.suffix and not os.path.exists(path):
        path = FOLDER / f"{path.name}.toml"
        if not os.path.isfile(path):
            known = ", ".join(sorted(found.stem for found in FOLDER.glob("*.toml")))
            raise UserError(
                f"no parameter file is named '{file}': give a TOML file's path, or one of {known}"
            )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"parameter file '{file}' does not exist") from None
    except OSError as error:
        raise UserError(f"parameter file '{file}' cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"parameter file '{file}' is not valid TOML: {error}") from None


def write_params(params: Params, path: Path) -> None:
    """Write the parameters that apply as a TOML file that ``read_params`` reads back."""
    lines = [
        f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in params.applicable().items()
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def unknown_name(name: str, kind: str, known: tuple[str, ...] = NAMES) -> str:
    """Return the sentence for a name that nobody declared, with the known one that it probably stands for."""
    hint = did_you_mean(name.rpartition(".")[2], known, SYNONYMS if "dataset" in known else None)
    return f"unknown {kind} '{name}'{hint}"


def _parse_flag(name: str, text: str, spec: type[Params]) -> Any:
    """Read a flag's text as its parameter's type; ranges are left to ``check_params``."""
    field = spec.model_fields[name.replace("-", "_")]
    # Either a word or a fraction: its own check reads both from text.
    annotation: Any = field.annotation if name != "validation" else str
    try:
        return TypeAdapter(annotation).validate_strings(text)
    except ValidationError:
        rule = f"should be {allowed(annotation, field.metadata)}"
        raise UserError(refusal(name, text, rule)) from None
