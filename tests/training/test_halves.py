"""A step in two halves is the same step, and is taken where no example depends on another."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiment.training import compiled_epoch, halves, programs
from tests.training.test_trainer import parameters, train

layers = keras.layers


@pytest.mark.parametrize("balanced", ["none", "balanced"])
def test_halves_train_as_a_whole_batch_does_dropout_included(dataset, float64, monkeypatch, balanced):
    trained = []
    for parts in (1, 2):
        monkeypatch.setattr(programs, "_programs", {})
        monkeypatch.setattr(compiled_epoch, "parts_of_a_step", lambda *_, parts=parts: parts)
        values = {"epochs": 2, "dropout": 0.25, "class_weights": balanced, "compile": "xla"}
        model, result, losses = train(dataset, parameters(**values))
        trained.append([losses, *result.history.history.values(), *map(np.ravel, model.get_weights())])
    for whole, half in zip(*trained, strict=True):
        np.testing.assert_allclose(half, whole, rtol=0, atol=1e-12)


def network(*extra, **named):
    return keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), *extra, layers.Dense(3)], **named)


def functional(operation):
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(3)(operation(layers.Dense(8)(inputs))))


class Own(keras.layers.Dense):
    pass


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        (network(), 2),
        (network(layers.Dropout(0.5), layers.ReLU()), 2),
        (functional(layers.ReLU()), 2),
        (network(layers.BatchNormalization()), 1),
        (network(layers.Softmax(axis=0)), 1),
        (network(Own(8)), 1),
        (network(layers.Dense(8, lambda x: x - keras.ops.mean(x, 0))), 1),
        (network(layers.Dense(8, activity_regularizer="l2")), 1),
        (functional(lambda x: x - keras.ops.mean(x, 0)), 1),
        (network(keras.Sequential([keras.Input((8,)), layers.Dense(8)])), 1),
    ],
)
def test_a_network_is_halved_where_no_example_depends_on_the_others(monkeypatch, model, parts):
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 2)
    assert halves.parts_of_a_step(model, 128) == parts


@pytest.mark.parametrize(("threads", "batch_size"), [(1, 128), (2, 127), (2, 2)])
def test_a_step_stays_whole_on_one_thread_and_where_halves_would_cost_more(monkeypatch, threads, batch_size):
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: threads)
    model = keras.Sequential([keras.Input((100,)), layers.Dense(100)])
    assert halves.parts_of_a_step(model, batch_size) == 1
