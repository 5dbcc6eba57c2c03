"""Optimizers and learning rates as the parameters ask for them: Keras' own, and a warm-up that it lacks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.optimizers import schedules

from experiment.training.precision import with_loss_scale, without_loss_scale
from params.checks import warmup_steps
from params.spec import GetParameter

# Biases, and the offsets and scales of normalisation: decaying them moves means and does not regularise.
_NOT_DECAYED = (r"(^|/)(bias|beta|gamma)(:\d+)?$",)  # Keras looks for it in names of both lengths


class WarmUpExponentialDecay(schedules.ExponentialDecay):
    """Keras' exponential decay after a linear rise from 0 over ``warmup_steps``; the decay begins then."""

    def __init__(
        self, initial_learning_rate: float, decay_steps: int, decay_rate: float, warmup_steps: int
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate)
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        """Return the learning rate float32 [] of a step, counted from 0."""
        highest = ops.convert_to_tensor(self.initial_learning_rate)
        step, warmup = ops.cast(step, highest.dtype), ops.cast(self.warmup_steps, highest.dtype)
        return ops.where(step < warmup, highest * step / warmup, super().__call__(step - warmup))

    def after_warmup(self) -> schedules.ExponentialDecay:
        """Return the stock schedule that has the same rates from the end of the warm-up on."""
        earlier = self.initial_learning_rate
        with contextlib.suppress(OverflowError):  # of so fast a decay that nothing is left after the warm-up
            earlier *= self.decay_rate ** (-self.warmup_steps / self.decay_steps)
        return schedules.ExponentialDecay(earlier, self.decay_steps, self.decay_rate)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        names = ("initial_learning_rate", "decay_steps", "decay_rate", "warmup_steps")
        return {name: getattr(self, name) for name in names}


# What a compiled epoch takes as inputs, so that other values need no other program.
SCHEDULE_VALUES = {
    "ExponentialDecay": ("initial_learning_rate", "decay_steps", "decay_rate"),
    "WarmUpExponentialDecay": ("initial_learning_rate", "decay_steps", "decay_rate", "warmup_steps"),
    "CosineDecay": ("initial_learning_rate", "decay_steps", "alpha", "warmup_target", "warmup_steps"),
}


def build_optimizer(get_parameter: GetParameter, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Return the optimizer that the parameters ask for, not built yet."""
    name = get_parameter("optimizer")
    config: dict[str, Any] = {"learning_rate": _learning_rate(get_parameter, steps_per_epoch)}
    if name == "sgd":
        config["momentum"] = get_parameter("momentum")
        if config["momentum"]:
            config["nesterov"] = get_parameter("nesterov")
    if norm := get_parameter("clip-norm"):
        config["global_clipnorm"] = norm
    if momentum := get_parameter("ema"):
        config |= {"use_ema": True, "ema_momentum": momentum}
    # None, as 0 would cost a pass over the weights; adamw takes none for its own default.
    config["weight_decay"] = get_parameter("weight-decay") or (0.0 if name == "adamw" else None)
    optimizer = keras.optimizers.get({"class_name": name, "config": config})
    optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    return with_loss_scale(optimizer, get_parameter("precision"))


def build_variables(model: keras.Model) -> None:
    """Make the variables of a compiled model's optimizer, once: one with a loss scale begins anew else."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


@contextlib.contextmanager
def with_stock_optimizer(model: keras.Model) -> Iterator[None]:
    """While a model is saved, give it an optimizer for float32 and a schedule that plain Keras can load.

    The schedule has the same rates after the warm-up.
    """
    optimizer, schedule = model.optimizer, schedule_of(model.optimizer)
    inner = without_loss_scale(optimizer)
    if isinstance(schedule, WarmUpExponentialDecay):
        inner.learning_rate = schedule.after_warmup()
    if inner is not optimizer:
        model.compile(optimizer=inner, loss=model.loss, metrics=["accuracy"])
    try:
        yield
    finally:
        if isinstance(schedule, WarmUpExponentialDecay):
            inner.learning_rate = schedule
        if inner is not optimizer:
            model.compile(optimizer=optimizer, loss=model.loss, metrics=["accuracy"])


def schedule_of(optimizer: Any) -> schedules.LearningRateSchedule | None:
    """Return an optimizer's schedule, which Keras keeps to itself; None where its rate is a variable."""
    schedule = getattr(without_loss_scale(optimizer), "_learning_rate", None)
    return schedule if isinstance(schedule, schedules.LearningRateSchedule) else None


def _number(value: float) -> float:
    """Return a number that schedules compute with in Keras' precision: plain floats they take as float32."""
    return np.float64(value) if keras.config.floatx() == "float64" else float(value)


def _learning_rate(
    get_parameter: GetParameter, steps_per_epoch: int
) -> float | schedules.LearningRateSchedule:
    kind, rate = get_parameter("schedule"), _number(get_parameter("initial-lr"))
    warmup = warmup_steps(get_parameter, steps_per_epoch)
    if kind == "exponential":
        decay = (get_parameter("decay-steps"), _number(get_parameter("decay-rate")))
        if warmup:
            return WarmUpExponentialDecay(rate, *decay, warmup)
        return schedules.ExponentialDecay(rate, *decay)
    if kind == "plateau" or (kind == "constant" and not warmup):
        return rate
    steps = max(1, get_parameter("epochs") * steps_per_epoch - warmup) if kind == "cosine" else 1
    # A cosine that falls to all of its height is constant.
    alpha = 0.0 if kind == "cosine" else 1.0
    if warmup:
        return schedules.CosineDecay(0 * rate, steps, alpha, warmup_target=rate, warmup_steps=warmup)
    return schedules.CosineDecay(rate, steps, alpha)
