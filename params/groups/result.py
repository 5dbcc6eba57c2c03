"""What is kept of a run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from params.checks import check_model_file
from params.conditions import NOT_STOPPING, Synonyms
from params.groups import Group


class Result(Group):
    """What is kept of a run."""

    monitor: Annotated[
        Literal["val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_top_k_accuracy"],
        Field(description="what chooses the best epoch, stops early and makes a plateau"),
        Synonyms(("best-metric", "metric-for-best-model", "early-stopping-metric")),
    ] = "val_loss"
    keep: Annotated[
        Literal["last", "best"],
        Field(
            description="the epoch whose weights are saved and tested: the last, or the best by monitor; "
            "with early-stopping, it is always the best"
        ),
        NOT_STOPPING,
        Synonyms(("save-best", "save-best-only", "checkpoint-policy", "load-best-model-at-end")),
    ] = "last"
    top_k: Annotated[
        int,
        Field(
            ge=2,
            le=1000,
            description="count an image as found among so many classes, in val_top_k_accuracy and "
            "test_top_k_accuracy, where there are more classes than that",
        ),
        Synonyms(("topk", "top-n")),
    ] = 5
    model_file: Annotated[
        str,
        BeforeValidator(check_model_file),
        Field(description="file name of the saved model"),
        Synonyms(("model-name", "output-file")),
    ] = "tf-mnist-comet.h5"
