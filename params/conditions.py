"""When a parameter applies, and what it is called elsewhere: marks on its declaration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

NAMED_SETS = ("auto", "mnist", "fashion-mnist", "mnist-5k")


@dataclasses.dataclass(frozen=True)
class When:
    """Says when a parameter applies; one that doesn't apply is neither logged nor read.

    ``of_data`` says that this is not known before the data set was opened.
    """

    text: str
    applies: Callable[[Any], bool]  # of the run's Params
    of_data: bool = False


class Synonyms(tuple[str, ...]):
    """What a parameter is called elsewhere: not understood here, but answered with its name here."""

    __slots__ = ()


def is_folder_of_pictures(dataset: str) -> bool:
    """Tell whether a dataset's logged name is that of a folder of pictures: they alone end in a slash."""
    return dataset.endswith("/")


MLP = When("model mlp", lambda params: params.model == "mlp")
CNN = When("model cnn", lambda params: params.model == "cnn")
STOPPING = When("early-stopping", lambda params: params.early_stopping)
PICTURES = When("a folder of pictures", lambda params: is_folder_of_pictures(params.dataset), of_data=True)
OWN = When(
    "a folder of pictures, or arrays of your own",
    lambda params: params.dataset not in NAMED_SETS,
    of_data=True,
)
SPLIT = When(
    "a validation fraction, dataset mnist-5k, or a folder of pictures without test/",
    lambda params: (
        params.validation not in ("test", "folder")
        or params.dataset == "mnist-5k"
        or is_folder_of_pictures(params.dataset)
    ),
    of_data=True,
)
