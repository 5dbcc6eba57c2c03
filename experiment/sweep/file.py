"""Read a sweep file, Comet's Optimizer configuration as it stands, and say check all of it.

Everything is checked before anything runs: Comet's own server "completes" an impossible sweep with no run.
"""

from __future__ import annotations

import ast
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from experiment.compare.directions import direction_of
from experiment.data.labels import COLUMNS
from experiment.errors import UserError
from experiment.sweep.points import MOST_POINTS, Spec, Strict, Sweep, applying
from experiment.sweep.space import Choices, Range
from params.load import FOLDER, check_params, load_params, names_of, unknown_name
from params.spec import Params, condition
from params.words import sentence

OPEN = 1e-6  # how near a range comes to a bound that is itself not allowed


class _File(Strict):
    algorithm: Literal["grid", "random", "bayes"]
    parameters: dict[str, Any] = Field(min_length=1)
    spec: Spec = Spec()
    name: str | None = None
    trials: Annotated[int, Field(ge=1)] = 1


class _Choices(Strict):
    type: Literal["discrete", "categorical"]
    values: list[str | bool | int | float] = Field(min_length=1)


class _Range(Strict):
    type: Literal["integer", "float", "double"]
    scalingType: Literal["linear", "uniform", "loguniform", "normal", "lognormal"] = "uniform"
    min: float | None = None
    max: float | None = None
    mu: float = 0.0
    sigma: Annotated[float, Field(gt=0)] = 1.0


def read_sweep(file: str, base: Params) -> Sweep:
    """Read and check a sweep file, or one of ``params/sweeps/`` by its bare name.

    Args:
        file: Comet's Optimizer configuration: a Python literal, as Comet reads it.
        base: the parameters that the sweep doesn't vary.

    Raises:
        UserError: one sentence that names the file, the entry, its value and what is allowed.
    """
    path = _find(file)
    try:
        content = _parse(path)
        whole = _check(_File, content, "")
        axes = {name: _axis(name, entry, type(base)) for name, entry in whole.parameters.items()}
        sweep = Sweep(whole.name or path.stem, whole.algorithm, whole.spec, axes, whole.trials, content)
        _check_space(sweep, base)
    except UserError as error:
        raise UserError(f"sweep file '{file}': {error}") from None
    return sweep


def _find(file: str) -> Path:
    path, folder = Path(file), FOLDER / "sweeps"
    if not path.suffix and not os.path.exists(path):
        path = folder / f"{path.name}.json"
        if not os.path.isfile(path):
            known = ", ".join(sorted(found.stem for found in folder.glob("*.json")))
            raise UserError(f"no sweep file is named '{file}': give a file's path, or one of {known}")
    if not os.path.isfile(path):
        raise UserError(f"sweep file '{file}' does not exist")
    return path


def _parse(path: Path) -> Any:
    """Read a Python literal, as Comet does."""
    try:
        text = path.read_text(encoding="utf-8")
        return ast.literal_eval(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"it cannot be read: {error}") from None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it holds more than plain values"
        where = f"line {error.lineno}: " if isinstance(error, SyntaxError) else ""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"it is no Optimizer configuration: {where}{reason}") from None
    raise UserError("Comet reads it as Python: write True, False and None for true, false and null")


def _check(model: type[Strict], content: Any, at: str) -> Any:
    """Check a part of the file; the first thing that is wrong makes the sentence."""
    if not isinstance(content, Mapping):
        raise UserError(f"{at or 'it'} = {content!r}: should be a dictionary")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        details = error.errors()[0]
    inside = [str(part) for part in details["loc"] if str(part).isidentifier() and part not in _UNION]
    where = ".".join([*([at] if at else []), *inside])
    if details["type"] == "extra_forbidden":
        known = Spec if details["loc"][0] == "spec" else model
        raise UserError(unknown_name(where, "entry", tuple(known.model_fields)))
    raise UserError(sentence(model, details, where))


_UNION = ("str", "bool", "int", "float")  # pydantic names the members of a union in a place


def _axis(name: str, entry: Any, spec: type[Params]) -> Choices | Range:
    """Read one parameter's entry: a range, a list of values, or Comet's shorthands for the latter."""
    if name not in names_of(spec):
        raise UserError(unknown_name(name, "parameter", names_of(spec)))
    if name in ("dataset", *COLUMNS):
        raise UserError(f"parameters.{name}: scores on different sets say nothing about each other")
    if not isinstance(entry, Mapping):
        values = entry if isinstance(entry, (list, tuple)) else [entry]
        kind = "categorical" if values and isinstance(values[0], str) else "discrete"
        entry = {"type": kind, "values": list(values)}
    if "type" not in entry:
        raise UserError(f"parameters.{name}.type is missing")
    if entry["type"] in ("discrete", "categorical"):
        return _choices(name, _check(_Choices, entry, f"parameters.{name}"), spec)
    return _range(name, _check(_Range, entry, f"parameters.{name}"), spec)


def _choices(name: str, entry: _Choices, spec: type[Params]) -> Choices:
    values = [_allowed(name, value, spec) for value in entry.values]
    return Choices(tuple(dict.fromkeys(values)), is_ordered=entry.type == "discrete")


def _range(name: str, entry: _Range, spec: type[Params]) -> Range:
    low, high = _own_bounds(name, spec)
    if entry.scalingType not in ("normal", "lognormal") and None in (entry.min, entry.max):
        raise UserError(f"parameters.{name}: {entry.type} needs min and max")
    kind = int if entry.type == "integer" else float
    for bound in (entry.min, entry.max):
        if bound is not None:
            if kind(bound) != bound:
                raise UserError(f"{name} = {bound!r}: should be a whole number, as its type is integer")
            _allowed(name, kind(bound), spec)
    low, high = low if entry.min is None else entry.min, high if entry.max is None else entry.max
    if low >= high:
        raise UserError(f"parameters.{name}: min = {entry.min} should be less than max = {entry.max}")
    if entry.scalingType == "loguniform" and low <= 0:
        raise UserError(f"parameters.{name}: min = {low} should be greater than 0 for loguniform")
    scaling = "uniform" if entry.scalingType == "linear" else entry.scalingType
    return Range(scaling, kind is int, low, high, entry.mu, entry.sigma)


def _own_bounds(name: str, spec: type[Params]) -> tuple[float, float]:
    """Return the bounds that the parameter's declaration sets, infinite where it sets none."""
    low, high = -math.inf, math.inf
    for rule in spec.model_fields[name.replace("-", "_")].metadata:
        low = max(low, getattr(rule, "ge", low), getattr(rule, "gt", low) + OPEN)
        high = min(high, getattr(rule, "le", high), getattr(rule, "lt", high) - OPEN)
    return low, high


def _allowed(name: str, value: Any, spec: type[Params]) -> Any:
    """Return a value as its parameter has it, text read as on the command line: Comet's categories are text.

    Raises:
        UserError: it isn't allowed.
    """
    if isinstance(value, str):
        params = load_params(flags={name: value}, spec=spec)
    else:
        params = check_params({name: value}, spec)
    return getattr(params, name.replace("-", "_"))


def _check_space(sweep: Sweep, base: Params) -> None:
    """Refuse a sweep that is too large, or that varies what applies to none of its runs."""
    size = math.prod(len(axis.grid(sweep.spec.gridSize)) for axis in sweep.axes.values())
    wanted = size if sweep.algorithm == "grid" else sweep.limit or 0
    if wanted > MOST_POINTS:
        raise UserError(f"it has {wanted:,} points; more than {MOST_POINTS:,} are not allowed")
    used = applying(sweep, base)
    for name in sweep.axes:
        if name not in used and condition(name.replace("-", "_"), type(base)):
            raise UserError(idle(name))


def idle(name: str) -> str:
    """Return the sentence about a parameter that a sweep varies, to no effect on any of its runs."""
    when = condition(name.replace("-", "_"))
    return f"{name} applies to none of its runs: it applies with {when.text if when else 'other data'}"


def contradictions(spec: Spec) -> list[str]:
    """Return a sentence where a sweep looks for the worst value of its metric, as Comet's default may."""
    better = {"higher": "maximize", "lower": "minimize"}.get(direction_of(spec.metric) or "")
    if better in (None, spec.objective):
        return []
    return [
        f"the sweep looks for the worst {spec.metric}: its spec says objective = '{spec.objective}' "
        f"('minimize' where it says nothing); '{better}' looks for the best"
    ]
