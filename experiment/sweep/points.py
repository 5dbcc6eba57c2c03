"""The points of a sweep: which parameters its runs have."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from experiment.evaluation.measures import MONITORS
from experiment.sweep.space import Choices, Range
from params.load import check_params
from params.spec import Params

EPOCH_METRICS = ("loss", "accuracy", *MONITORS)
MOST_POINTS = 10_000
DRAWS_A_POINT = 200  # until a new point is drawn; then the space is taken to have no more

SearchPoint = dict[str, Any]


class Strict(BaseModel):
    """A part of a sweep file: no unknown entry, no conversion, nothing infinite."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Spec(Strict):
    """What is searched for, and how long; names are Comet's, and so are the defaults of all but retries."""

    metric: Literal[
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "val_balanced_accuracy",
        "val_macro_f1",
        "val_top_k_accuracy",
        "test_loss",
        "test_accuracy",
        "test_balanced_accuracy",
        "test_macro_f1",
        "test_top_k_accuracy",
        "test_auc",
    ] = "loss"
    objective: Literal["minimize", "maximize"] = "minimize"
    maxCombo: Annotated[int, Field(ge=0)] = 0
    gridSize: Annotated[int, Field(ge=1, le=10_000)] = 10
    randomize: bool = False
    seed: Annotated[int | None, Field(ge=0)] = None
    retryLimit: Annotated[int, Field(ge=0)] = 1
    retryAssignLimit: Annotated[int | None, Field(ge=0)] = None
    minSampleSize: Annotated[int, Field(ge=1)] = 100


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A checked sweep file.

    Attributes:
        name: of the file's ``name``, else of the file.
        axes: the values of each parameter that is varied.
        repeats: runs of each point, each with a seed of its own (Comet's ``trials``).
        retries: how often a failed trial is run again.
        content: the file as it was read.
    """

    name: str
    algorithm: str
    spec: Spec
    axes: Mapping[str, Choices | Range]
    repeats: int
    content: Mapping[str, Any]

    @property
    def retries(self) -> int:
        """How often a failed trial is run again; Comet's own name for that goes first."""
        limit = self.spec.retryAssignLimit
        return self.spec.retryLimit if limit is None else limit

    @property
    def limit(self) -> int | None:
        """The most points; by Comet's default ten a parameter, but for a grid, which is whole."""
        return self.spec.maxCombo or (None if self.algorithm == "grid" else 10 * len(self.axes))


def points(sweep: Sweep, base: Params) -> list[SearchPoint]:
    """Return the points of a grid or random search, in the order of their trials; each once.

    A point holds the parameters that apply to it: ``filters`` isn't varied where the model is an mlp.
    """
    seed = sweep.spec.seed or 0
    if sweep.algorithm == "random":
        return draw(sweep, base, _shares(sweep, seed))
    found = list(_unique(grid(sweep, sweep.spec.gridSize), base))
    if sweep.spec.randomize:
        random.Random(seed).shuffle(found)
    return found[: sweep.limit]


def draw(sweep: Sweep, base: Params, shares: Iterable[Mapping[str, float]]) -> list[SearchPoint]:
    """Return new points at shares, 0 to 1, of the axes, until there are enough or no new one comes up."""
    drawn = ({name: axis.at(each[name]) for name, axis in sweep.axes.items()} for each in shares)
    found: dict[str, SearchPoint] = {}
    misses = 0
    for point in drawn:
        kept = applicable(point, base)
        misses = misses + 1 if spelled(kept) in found else 0
        found.setdefault(spelled(kept), kept)
        if len(found) == sweep.limit or misses == DRAWS_A_POINT:
            break
    return list(found.values())


def applicable(point: SearchPoint, base: Params) -> SearchPoint:
    """Return the part of a point that applies to its run.

    Raises:
        ValueError: a value isn't allowed.
    """
    params = parameters(point, base).applicable()
    return {name: value for name, value in point.items() if name in params}


def applying(sweep: Sweep, base: Params) -> set[str]:
    """Return the names of the parameters that apply to any run of a sweep, varied or not."""
    return {name for params in corners(sweep, base) for name in params.applicable()}


def corners(sweep: Sweep, base: Params) -> Iterator[Params]:
    """Yield the parameters of every combination of a sweep's choices and of the ends of its ranges."""
    return (parameters(corner, base) for corner in itertools.islice(grid(sweep, 2), MOST_POINTS))


def parameters(point: SearchPoint, base: Params) -> Params:
    """Return the parameters of a point's run.

    Raises:
        ValueError: a value isn't allowed.
    """
    # What nobody set takes the default that the point's own model and backbone call for.
    return check_params(base.model_dump(by_alias=True, exclude_unset=True) | point, type(base))


def spelled(point: Mapping[str, Any]) -> str:
    """Return one spelling of a point, the same whatever the order of its parameters."""
    return json.dumps(point, sort_keys=True, ensure_ascii=False)


def grid(sweep: Sweep, size: int) -> Iterator[SearchPoint]:
    """Yield the points of a grid, at most ``size`` values of a range, whether they apply or not."""
    axes = [axis.grid(size) for axis in sweep.axes.values()]
    return (dict(zip(sweep.axes, values, strict=True)) for values in itertools.product(*axes))


def _shares(sweep: Sweep, seed: int) -> Iterator[dict[str, float]]:
    generator = random.Random(seed)
    while True:
        yield {name: generator.random() for name in sweep.axes}


def _unique(drawn: Iterable[SearchPoint], base: Params) -> Iterator[SearchPoint]:
    seen = set()
    for point in drawn:
        kept = applicable(point, base)
        if spelled(kept) not in seen:
            seen.add(spelled(kept))
            yield kept
