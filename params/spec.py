"""Which parameters exist: name, default, type, range or choices, help — declared once, in ``params/groups/``.

The command-line flags, their help, the TOML files and every error message are derived from this model. A
parameter has one spelling everywhere, the one with hyphens: TOML key = flag = column in Comet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError, model_validator

from experiment.errors import UserError
from params.conditions import Preset, Synonyms, When
from params.groups import Group, parameter_name
from params.groups.data import Data
from params.groups.network import Network
from params.groups.result import Result
from params.groups.training import Training
from params.words import did_you_mean, sentence

GetParameter = Callable[[str], Any]  # from a name with hyphens to the value that the experiment has

GROUPS: tuple[type[Group], ...] = (Data, Network, Training, Result)


@dataclasses.dataclass(frozen=True)
class OwnModel:
    """A function of the user's that builds a network.

    ``name`` is what ``model`` is logged as, ``source`` where it is found from anywhere, ``file`` that of its
    module, ``parameters`` the names, with hyphens, of those that it declares.
    """

    name: str
    source: str
    file: Path
    build: Callable[..., Any]
    parameters: tuple[str, ...] = ()


# Fields are collected from the last base on: data comes first.
class Params(Result, Training, Network, Data):
    """The parameters of one run; everything that changes its result, and nothing else.

    ``own`` is the user's own network, where ``model`` names one; ``params.own.with_own`` adds its parameters.

    Raises:
        UserError: one sentence that names the parameter, its value and what is allowed.
    """

    own: ClassVar[OwnModel | None] = None

    if not TYPE_CHECKING:  # where pydantic's signature, made from the fields, tells more

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                details = error.errors()[0]
                name = str(details["loc"][0])
                if details["type"] == "extra_forbidden":
                    raise UserError(_unknown_argument(name, type(self))) from None
                raise UserError(sentence(type(self), details, parameter_name(name))) from None

    @model_validator(mode="after")
    def _take_presets(self) -> Params:
        """Give what was not given the default that its condition calls for."""
        for field in type(self).model_fields.keys() - self.model_fields_set:
            for preset in presets(field, type(self)):
                if preset.when.applies(self):
                    self.__dict__[field] = preset.value  # the model is frozen for all others
        return self

    def given(self) -> set[str]:
        """Return the names of those that were given, be it at their default."""
        return set(map(parameter_name, self.model_fields_set))

    def may_apply(self) -> set[str]:
        """Return the names of those that apply, or may, as the data set is not known yet."""
        open_yet = {
            parameter_name(field)
            for field in type(self).model_fields
            if (when := condition(field, type(self))) and when.of_data
        }
        return open_yet | set(self.applicable())

    def applicable(self) -> dict[str, Any]:
        """Return the parameters that apply to this run, by their names with hyphens: what is logged."""
        return {
            parameter_name(field): getattr(self, field)
            for field in type(self).model_fields
            if (when := condition(field, type(self))) is None or when.applies(self)
        }


def _unknown_argument(name: str, spec: type[Params]) -> str:
    """Return the sentence for an argument of ``Params`` that nobody declared."""
    near = did_you_mean(name, map(parameter_name, spec.model_fields), SYNONYMS)
    return f"unknown parameter '{name}'{near.replace('-', '_')}"


def default_parameters() -> dict[str, Any]:
    """Return the declared default of each parameter, by its name with hyphens."""
    return {parameter_name(name): field.default for name, field in Params.model_fields.items()}


def condition(field: str, spec: type[Params] = Params) -> When | None:
    """Return when the parameter behind a field applies, or None where it always does."""
    return next((part for part in spec.model_fields[field].metadata if isinstance(part, When)), None)


def presets(field: str, spec: type[Params] = Params) -> list[Preset]:
    """Return the other defaults of the parameter behind a field."""
    return [part for part in spec.model_fields[field].metadata if isinstance(part, Preset)]


SYNONYMS = {
    name: parameter_name(field)
    for field, declared in Params.model_fields.items()
    for part in declared.metadata
    if isinstance(part, Synonyms)
    for name in part
}
