"""How the network is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from params.conditions import STOPPING, Synonyms
from params.groups import Group


class Training(Group):
    """How the network is trained."""

    batch_size: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="examples in each step"),
        Synonyms(("batch", "bs", "b", "batchsize")),
    ] = 128
    epochs: Annotated[
        int,
        Field(ge=1, le=100_000, description="passes over the training set"),
        Synonyms(("epoch", "num-epochs", "n-epochs", "max-epochs", "nb-epoch", "ep")),
    ] = 50
    optimizer: Annotated[
        Literal["adamax", "adam", "rmsprop", "sgd"],
        Field(description="optimizer"),
        Synonyms(("opt", "optim")),
    ] = "adamax"
    initial_lr: Annotated[
        float,
        Field(gt=0, le=100, description="learning rate of the first step"),
        Synonyms(("lr", "learning-rate", "lr0", "base-lr", "init-lr")),
    ] = 0.01
    decay_steps: Annotated[
        int,
        Field(ge=1, le=1_000_000_000, description="steps after which the learning rate has decayed once"),
        Synonyms(("lr-decay-steps", "step-size")),
    ] = 2000
    decay_rate: Annotated[
        float,
        Field(gt=0, le=1, description="factor by which the learning rate decays"),
        Synonyms(("lr-decay", "gamma")),
    ] = 0.9
    label_smoothing: Annotated[
        float,
        Field(ge=0, lt=1, description="part of each target to spread over all classes; val_loss includes it"),
        Synonyms(("smoothing",)),
    ] = 0.0
    class_weights: Annotated[
        Literal["none", "balanced"],
        Field(description="`balanced` gives examples of rarer classes more weight in training"),
        Synonyms(("class-weight",)),
    ] = "none"
    early_stopping: Annotated[
        bool, Field(description="stop when val_loss no longer falls, and keep the best weights")
    ] = False
    patience: Annotated[
        int,
        Field(ge=0, le=100_000, description="epochs without a lower val_loss before stopping"),
        STOPPING,
        Synonyms(("early-stopping-patience",)),
    ] = 5
    on_nan: Annotated[
        Literal["stop", "continue"], Field(description="what to do when a loss is NaN or infinite")
    ] = "stop"
    seed: Annotated[
        int,
        Field(
            ge=0, lt=2**31, description="seed of first weights, order of examples, dropout and augmentation"
        ),
        Synonyms(("random-seed", "random-state", "rng")),
    ] = 0
    compile: Annotated[
        Literal["auto", "xla", "graph", "off"],
        Field(description="compile each epoch as one program: by XLA, as a graph, or not at all (plain fit)"),
        Synonyms(("jit", "jit-compile", "xla")),
    ] = "auto"
