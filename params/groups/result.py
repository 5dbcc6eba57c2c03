"""What is kept of a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from params.checks import check_model_file
from params.conditions import Synonyms
from params.groups import Group


class Result(Group):
    """What is kept of a run."""

    model_file: Annotated[
        str,
        BeforeValidator(check_model_file),
        Field(description="file name of the saved model"),
        Synonyms(("model-name", "output-file")),
    ] = "tf-mnist-comet.h5"
