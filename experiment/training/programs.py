"""Compiled functions over a model's variables, shared by models that differ in values alone.

Compiling an epoch takes seconds. What changes between runs of one network, such as rates, seed, data and
weights, is an input of its program: a second run in the same process, a sweep's trial say, compiles nothing.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from experiment.system import process_clock, xla_store
from experiment.training import dropout
from experiment.training.optimizers import SCHEDULE_VALUES, schedule_of

# Each takes some 3 MB, and keeps the variables of the model that it was built with; a network has two.
KEPT, KEPT_BYTES = 40, 256 << 20
_programs: dict[str, Program] = {}


def walk(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the layers of a model, those of nested models included."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from walk(layer)


def operations(model: keras.Model) -> list[Any]:
    """Return a model, its layers, those of nested models, and what else functional ones compute."""
    layers = [model, *walk(model)]
    # Operations are no layers where they hold no state.
    return layers + [
        each for layer in layers for each in getattr(layer, "operations", ()) if each not in layers
    ]


def is_stock(operation: Any) -> bool:
    """Tell whether an operation, a layer or a model is of a class of Keras' own."""
    return type(operation).__module__.startswith("keras.")


class Program:
    """A compiled function that reads and changes the variables of the model that it was built with.

    For another model of the same architecture, values are copied to those variables and back again;
    ``bytes`` is what they take.

    Args:
        model: built, compiled, its metrics and optimizer built.
        build: makes the function.
    """

    def __init__(self, model: keras.Model, build: Callable[[], Callable[..., Any]]) -> None:
        self._variables = _variables(model)
        self.bytes = sum(math.prod(each.shape) * tf.as_dtype(each.dtype).size for each in self._variables)
        self._function = build()
        self._rebuild: Callable[[], Callable[..., Any]] | None = build

    def __call__(self, model: keras.Model, *arguments: Any) -> Any:
        """Run on the variables of ``model``."""
        own = _variables(model)
        borrowed = any(one is not other for one, other in zip(own, self._variables, strict=True))
        if borrowed:
            _copy(own, self._variables)
        rebuild = self._rebuild
        result = self._compile_and_run(rebuild, *arguments) if rebuild else self._function(*arguments)
        if borrowed:
            _copy(self._variables, own)
        return result

    @process_clock.phase(process_clock.COMPILING)
    def _compile_and_run(self, rebuild: Callable[[], Callable[..., Any]], *arguments: Any) -> Any:
        try:
            result = self._function(*arguments)
        except Exception:
            if not xla_store.forget():
                raise
            # Another function: of one TensorFlow remembers that it could not be compiled.
            self._function = rebuild()
            result = self._function(*arguments)
        # It holds whoever asked for the program, with all data.
        self._rebuild = None
        return result


def shared_program(model: keras.Model, setting: Any, build: Callable[[], Callable[..., Any]]) -> Program:
    """Return the program of an equal model and ``setting``, or what ``build`` returns, kept for the next.

    Args:
        model: built, compiled, its metrics and optimizer built.
        setting: all else that the program depends on, which JSON can hold; None: it can't be said.
        build: called for the function if there is none yet; a model with code of the user's own has a
            program of its own.
    """
    key = _key(model, setting)
    # Taken out and put back at the end: the first is then the one that was not used for longest.
    program = _programs.pop(key, None) or Program(model, build)
    if key:
        _programs[key] = program
        _forget_oldest()
    return program


def _forget_oldest() -> None:
    """Drop the programs that were not used for longest, but never the last network's two."""
    size = 0
    for number, key in enumerate(reversed(list(_programs)), 1):
        size += _programs[key].bytes
        if number > 2 and (number > KEPT or size > KEPT_BYTES):
            del _programs[key]


def values(model: keras.Model, seed: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return what ``given`` takes: floats [numbers of the schedule], [Dropout layers], int32 seed."""
    rates = list(_schedule_values(schedule_of(model.optimizer)).values())
    return (
        tf.constant(rates, keras.config.floatx()),  # as ``optimizers`` lets schedules compute
        tf.constant([layer.rate for layer in walk(model) if dropout.is_dropout(layer)], tf.float32),
        tf.constant(seed, tf.int32),
    )


@contextlib.contextmanager
def given(
    model: keras.Model, schedule_values: tf.Tensor, rates: tf.Tensor, seed: tf.Tensor, algorithm: str
) -> Iterator[None]:
    """While a program is traced, let the schedule and the Dropout layers use its inputs for their values."""
    schedule = schedule_of(model.optimizer)
    layers = [layer for layer in walk(model) if dropout.is_dropout(layer)]
    before = _schedule_values(schedule)
    for number, name in enumerate(before):
        setattr(schedule, name, schedule_values[number])
    for number, layer in enumerate(layers):
        layer.call = dropout.masked_call(
            layer, rates[number], seed, number, model.optimizer.iterations, algorithm
        )
    try:
        yield
    finally:
        for layer in layers:
            # What was set on the object hides the class's method no longer.
            del layer.call
        for name, value in before.items():
            setattr(schedule, name, value)


def _schedule_values(schedule: Any) -> dict[str, float]:
    """Return what a program takes as inputs of a schedule: its numbers, where it is known."""
    found = {name: getattr(schedule, name) for name in SCHEDULE_VALUES.get(type(schedule).__name__, ())}
    return {name: value for name, value in found.items() if value is not None}


def _variables(model: keras.Model) -> list[Any]:
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    return [*model.variables, *model.optimizer.variables, *metrics]


def _copy(sources: list[Any], targets: list[Any]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.assign(source.value)


def _key(model: keras.Model, setting: Any) -> str:
    """Describe what a program depends on; '' for a model whose configuration does not say it all."""
    layers = operations(model)
    if (
        setting is None
        or not all(map(is_stock, layers))
        or any(isinstance(layer, keras.layers.Lambda) for layer in layers)
    ):
        return ""
    # Keras numbers names process-wide: dense_1 in a first model is dense_3 in its equal.
    names = {layer.name: f"layer {number}" for number, layer in enumerate(layers)}
    try:
        described = [model.get_config(), model.get_compile_config(), setting, keras.config.floatx()]
        return json.dumps(_without_values(described, names), sort_keys=True)
    except (TypeError, ValueError, NotImplementedError):
        return ""


def _without_values(described: Any, names: dict[str, str]) -> Any:
    """Leave out of a configuration what programs take as inputs, and the names that Keras numbers."""
    if isinstance(described, dict):
        kind, described = described.get("class_name"), dict(described)
        if kind in SCHEDULE_VALUES:
            given = described["config"]
            described["config"] = [name for name in SCHEDULE_VALUES[kind] if given[name] is not None]
        elif kind == "Dropout":
            described["config"] |= {"rate": dropout.precision(described["config"]["rate"])}
        if isinstance(described.get("learning_rate"), float):
            described["learning_rate"] = "variable"
        return {
            key: names.get(value) if key == "name" else _without_values(value, names)
            for key, value in described.items()
        }
    if isinstance(described, (list, tuple)):
        if len(described) == 3 and isinstance(described[0], str):  # a reference: layer, call, output
            return [names.get(described[0], described[0]), *described[1:]]
        return [_without_values(each, names) for each in described]
    return described
