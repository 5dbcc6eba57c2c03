"""How the network is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from params.conditions import (
    EXPONENTIAL,
    MOMENTUM,
    PLATEAU,
    SGD,
    STOPPING,
    WARMUP,
    WARMUP_EPOCHS,
    Preset,
    Synonyms,
    optimizer_is,
)
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
        Literal["adamax", "adam", "adamw", "lion", "rmsprop", "sgd"],
        Field(description="optimizer"),
        Synonyms(("opt", "optim")),
    ] = "adamax"
    momentum: Annotated[
        float, Field(ge=0, lt=1, description="part of a step that is added to the next one"), SGD
    ] = 0.0
    nesterov: Annotated[
        bool, Field(description="take the gradient where momentum leads (Nesterov)"), MOMENTUM
    ] = False
    weight_decay: Annotated[
        float,
        Field(
            ge=0,
            le=10,
            description="each step, weights lose this part of themselves times the learning rate; "
            "biases and norms do not",
        ),
        Preset(optimizer_is("adamw"), 0.004),
        Synonyms(("wd", "l2", "decay")),
    ] = 0.0
    clip_norm: Annotated[
        float,
        Field(
            ge=0, le=1_000_000, description="shorten gradients to this norm of all of them together; 0: never"
        ),
        Synonyms(("clipnorm", "gradient-clip", "grad-clip", "max-grad-norm", "clip-grad-norm")),
    ] = 0.0
    ema: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="validate and save a moving average of the weights that keeps this part of itself a "
            "step, such as 0.99; 0: the weights themselves",
        ),
        Synonyms(("ema-momentum", "ema-decay", "model-ema", "use-ema")),
    ] = 0.0
    schedule: Annotated[
        Literal["exponential", "constant", "cosine", "plateau"],
        Field(
            description="how the learning rate changes: by decay-rate, not at all, along a half cosine to 0 "
            "at the last step, or by plateau-factor where monitor gets no better"
        ),
        Synonyms(("lr-schedule", "scheduler-type", "lr-scheduler", "lr-policy")),
    ] = "exponential"
    initial_lr: Annotated[
        float,
        Field(gt=0, le=100, description="learning rate of the first step, or of the first after warm-up"),
        Synonyms(("lr", "learning-rate", "lr0", "base-lr", "init-lr")),
    ] = 0.01
    decay_steps: Annotated[
        int,
        Field(ge=1, le=1_000_000_000, description="steps after which the learning rate has decayed once"),
        EXPONENTIAL,
        Synonyms(("lr-decay-steps", "step-size")),
    ] = 2000
    decay_rate: Annotated[
        float,
        Field(gt=0, le=1, description="factor by which the learning rate decays"),
        EXPONENTIAL,
        Synonyms(("lr-decay", "gamma")),
    ] = 0.9
    plateau_factor: Annotated[
        float,
        Field(gt=0, lt=1, description="factor by which the learning rate falls after a plateau"),
        PLATEAU,
        Synonyms(("lr-factor", "reduce-factor")),
    ] = 0.1
    plateau_patience: Annotated[
        int,
        Field(ge=1, le=100_000, description="epochs without a monitor better by 0.0001 that make a plateau"),
        PLATEAU,
        Synonyms(("lr-patience", "reduce-patience")),
    ] = 10
    warmup_steps: Annotated[
        int,
        Field(
            ge=0, le=1_000_000_000, description="steps in which the learning rate rises from 0 to initial-lr"
        ),
        WARMUP,
        Synonyms(("warmup", "num-warmup-steps", "warm-up-steps")),
    ] = 0
    warmup_epochs: Annotated[
        float,
        Field(ge=0, le=100_000, description="the same in epochs, such as 0.5"),
        WARMUP_EPOCHS,
        Synonyms(("warm-up-epochs", "warmup-ratio")),
    ] = 0.0
    augment_mixup: Annotated[
        float,
        Field(
            ge=0,
            le=100,
            description="in training, blend images of a batch, and their labels, in pairs, by shares from "
            "Beta(a, a), such as a = 0.2; 0: never",
        ),
        Synonyms(("mixup", "mixup-alpha", "mix-up")),
    ] = 0.0
    augment_cutmix: Annotated[
        float,
        Field(
            ge=0,
            le=100,
            description="in training, put a box of another image into each, and mix labels by area, by "
            "shares from Beta(a, a), such as a = 1; with augment-mixup, each image gets either; 0: never",
        ),
        Synonyms(("cutmix", "cutmix-alpha", "cut-mix")),
    ] = 0.0
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
        bool, Field(description="stop when monitor gets no better, and keep the best weights")
    ] = False
    patience: Annotated[
        int,
        Field(ge=0, le=100_000, description="epochs without a better monitor before stopping"),
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
    precision: Annotated[
        Literal["float32", "mixed_bfloat16", "mixed_float16"],
        Field(
            description="what layers compute in while training; weights, logits, loss, validation and the "
            "saved model are always float32"
        ),
        Synonyms(("mixed-precision", "amp", "dtype", "fp16", "bf16", "half")),
    ] = "float32"
    compile: Annotated[
        Literal["auto", "xla", "graph", "off"],
        Field(description="compile each epoch as one program: by XLA, as a graph, or not at all (plain fit)"),
        Synonyms(("jit", "jit-compile", "xla")),
    ] = "auto"
