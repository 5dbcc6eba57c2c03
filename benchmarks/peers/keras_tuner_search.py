"""Keras Tuner's RandomSearch over the tutorial's space, untracked: arguments are data, epochs, trials."""

import os
import sys
import tempfile
import time

STARTED = time.perf_counter()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
path, epochs, trials = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

import keras
import keras_tuner
import numpy as np

from benchmarks.peers.report import report

with np.load(path) as arrays:
    (x_train, y_train), (x_test, y_test) = ((arrays[f"x_{p}"], arrays[f"y_{p}"]) for p in ("train", "test"))
x_train, x_test = (x.reshape(len(x), -1).astype("float32") / 255 for x in (x_train, x_test))
y_train, y_test = (keras.utils.to_categorical(y, 10) for y in (y_train, y_test))


def build(hp):
    """Build the tutorial's network at a point of its space."""
    layers = keras.layers
    sizes = [hp.Choice(f"layer-{number}-size", [128, 64, 32]) for number in (1, 2)]
    hidden = [layers.Dense(sizes[0], "relu"), layers.Dense(sizes[1], "relu"), layers.Dropout(0.25)]
    model = keras.Sequential([keras.Input((x_train.shape[1],)), *hidden, layers.Dense(10)])
    rate = hp.Choice("initial-lr", [0.01, 0.05, 0.1])
    schedule = keras.optimizers.schedules.ExponentialDecay(rate, 2000, 0.9)
    name = hp.Choice("optimizer", ["adamax", "adam", "rmsprop", "sgd"])
    optimizer = keras.optimizers.get({"class_name": name, "config": {"learning_rate": schedule}})
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    return model


tuner = keras_tuner.RandomSearch(
    build, objective="val_accuracy", max_trials=trials, seed=0, directory=tempfile.mkdtemp(), overwrite=True
)
began = time.perf_counter()
tuner.search(x_train, y_train, epochs=epochs, batch_size=128, validation_data=(x_test, y_test), verbose=0)
search_s = time.perf_counter() - began
trials_done = [trial for trial in tuner.oracle.trials.values() if trial.status == "COMPLETED"]
if len(trials_done) < trials:
    raise SystemExit(f"{trials - len(trials_done)} of {trials} trials of Keras Tuner failed")
best = tuner.oracle.get_best_trials(1)[0].score
report(
    [search_s / trials / epochs],
    search_s=search_s,
    test_accuracy=best,
    process_s=time.perf_counter() - STARTED,
)
