"""Parameters by what they set, each declared once: data, network, training, result."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


def parameter_name(field: str) -> str:
    """Turn a Python attribute's name into the parameter's: ``batch_size`` into ``batch-size``."""
    return field.replace("_", "-")


class Group(BaseModel):
    """Some of a run's parameters; ``Params`` is composed of all groups."""

    model_config = ConfigDict(
        alias_generator=parameter_name, populate_by_name=True, extra="forbid", frozen=True, strict=True
    )
