"""Parameters that a network of the user's own declares, joined to those that every run has."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from experiment.errors import UserError
from params.groups import parameter_name
from params.groups.network import Network
from params.spec import OwnModel, Params

_TYPES = (int, float, bool, str)
_EXAMPLE = "width: int = Field(32, ge=1, le=1024, description='filters of the first block')"


def with_own(own: OwnModel, declared: type[BaseModel] | None) -> type[Params]:
    """Return the parameters of a run whose network is the user's own.

    Its declarations may take the place of a stock network's, such as ``filters``; they apply to every run.

    Args:
        own: the network.
        declared: a pydantic model, a field a parameter; None where it has none.

    Raises:
        UserError: one of them cannot be a parameter, with what to do.
    """
    fields = declared.model_fields if declared else {}
    for name, field in fields.items():
        _check(f"{own.file.name}, {declared.__name__}.{name}" if declared else "", name, field)
    found: dict[str, Any] = {name: (field.annotation, field) for name, field in fields.items()}
    spec = create_model("Params", __base__=Params, __doc__=Params.__doc__, **found)
    spec.own = dataclasses.replace(own, parameters=tuple(map(parameter_name, fields)))
    return spec


def _check(where: str, name: str, field: FieldInfo) -> None:
    taken = set(Params.model_fields) - (set(Network.model_fields) - {"model"})
    if name in taken:
        raise UserError(f"{where}: there is a parameter {parameter_name(name)} already: take another name")
    if name != name.lower() or name.startswith("_"):
        raise UserError(f"{where}: should be in small letters, as flags are")
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    if field.annotation not in _TYPES and not (choices and all(isinstance(each, str) for each in choices)):
        raise UserError(f"{where}: should be int, float, bool, str, or Literal of texts: {_EXAMPLE}")
    if field.default is PydanticUndefined:
        raise UserError(f"{where}: has no default: {_EXAMPLE}")
