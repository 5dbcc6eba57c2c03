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


@dataclasses.dataclass(frozen=True)
class Preset:
    """Says that a parameter has another default under a condition; having it does not count as given."""

    when: When
    value: Any


class Synonyms(tuple[str, ...]):
    """What a parameter is called elsewhere: not understood here, but answered with its name here."""

    __slots__ = ()


def is_table(dataset: str) -> bool:
    """Tell whether a dataset's name is that of a table of labels: they alone end in .csv or .tsv."""
    return dataset.casefold().endswith((".csv", ".tsv"))


def is_set_of_pictures(dataset: str) -> bool:
    """Tell whether a logged name is that of a folder of pictures, which ends in a slash, or of a table."""
    return dataset.endswith("/") or is_table(dataset)


def optimizer_is(name: str) -> When:
    """Return the condition that a run has an optimizer of this name."""
    return When(f"optimizer {name}", lambda params: params.optimizer == name)


MLP = When("model mlp", lambda params: params.model == "mlp")
CNN = When("model cnn", lambda params: params.model == "cnn")
PRETRAINED = When("model pretrained", lambda params: params.model == "pretrained")
TUNING = When(
    "model pretrained and fine-tune-epochs",
    lambda params: params.model == "pretrained" and params.fine_tune_epochs > 0,
)
SGD = When("optimizer sgd", lambda params: params.optimizer == "sgd")
MOMENTUM = When(
    "optimizer sgd and momentum above 0", lambda params: params.optimizer == "sgd" and params.momentum > 0
)
EXPONENTIAL = When("schedule exponential", lambda params: params.schedule == "exponential")
PLATEAU = When("schedule plateau", lambda params: params.schedule == "plateau")
WARMUP = When("schedule exponential, constant or cosine", lambda params: params.schedule != "plateau")
WARMUP_EPOCHS = When(
    "schedule exponential, constant or cosine and warmup-steps 0",
    lambda params: params.schedule != "plateau" and params.warmup_steps == 0,
)
STOPPING = When("early-stopping", lambda params: params.early_stopping)
NOT_STOPPING = When("early-stopping off", lambda params: not params.early_stopping)
PICTURES = When(
    "a folder of pictures or a CSV", lambda params: is_set_of_pictures(params.dataset), of_data=True
)
TABLE = When("a CSV of labels", lambda params: is_table(params.dataset), of_data=True)
COLUMN = dataclasses.replace(TABLE, text="a CSV of labels that has such a column")
OWN = When(
    "a folder of pictures, a CSV, or arrays of your own",
    lambda params: params.dataset not in NAMED_SETS,
    of_data=True,
)
FOLDS = When("folds", lambda params: params.folds > 0)
SPLIT = When(
    "a validation fraction, folds, dataset mnist-5k, or pictures without a test part",
    lambda params: (
        params.validation not in ("test", "folder")
        or params.folds > 0
        or params.dataset == "mnist-5k"
        or is_set_of_pictures(params.dataset)
    ),
    of_data=True,
)


def backbone_is(name: str) -> When:
    """Return the condition that a run is on a pretrained backbone of this name."""
    return When(f"backbone {name}", lambda params: params.backbone == name)
