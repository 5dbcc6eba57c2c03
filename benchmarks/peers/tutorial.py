"""The tutorial's script in plain Keras; with ``--comet``, under Comet's automatic logging, offline."""

import os
import statistics
import sys
import tempfile
import time

STARTED = time.perf_counter()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
path, epochs = sys.argv[1], int(sys.argv[2])
experiment = None
if "--comet" in sys.argv:
    import comet_ml

    experiment = comet_ml.start(
        online=False, experiment_config=comet_ml.ExperimentConfig(offline_directory=tempfile.mkdtemp())
    )

import numpy as np
import tensorflow as tf

from benchmarks.peers.report import report

with np.load(path) as arrays:
    (x_train, y_train), (x_test, y_test) = ((arrays[f"x_{p}"], arrays[f"y_{p}"]) for p in ("train", "test"))
x_train, x_test = (x.reshape(len(x), -1).astype("float32") / 255 for x in (x_train, x_test))
y_train, y_test = (tf.keras.utils.to_categorical(y, 10) for y in (y_train, y_test))

layers = tf.keras.layers
hidden = [layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(128, "relu"), layers.Dropout(0.25)]
schedule = tf.keras.optimizers.schedules.ExponentialDecay(0.01, 2000, 0.9)
model = tf.keras.Sequential([tf.keras.Input(x_train.shape[1:]), *hidden, layers.Dense(10)])
model.compile(
    optimizer=tf.keras.optimizers.Adamax(schedule),
    loss=tf.keras.losses.CategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
startup_s = time.perf_counter() - STARTED
seconds: list[float] = []


class Clock(tf.keras.callbacks.Callback):
    """Times epochs, validation included."""

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002, D102
        self.begun = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002, D102
        seconds.append(time.perf_counter() - self.begun)


model.fit(
    x_train,
    y_train,
    batch_size=128,
    epochs=epochs,
    validation_data=(x_test, y_test),
    verbose=0,
    callbacks=[Clock()],
)
trained_s = time.perf_counter() - STARTED
test_loss, test_accuracy = model.evaluate(x_test, y_test, verbose=0)
model.save(os.path.join(tempfile.mkdtemp(), "tf-mnist.keras"))
if experiment:
    experiment.end()
process_s = time.perf_counter() - STARTED
report(
    seconds,
    test_accuracy=test_accuracy,
    startup_s=startup_s,
    # What the first epoch takes beyond the others is building its functions.
    compiling_s=max(0.0, seconds[0] - statistics.median(seconds[1:])) if epochs > 1 else 0.0,
    after_s=process_s - trained_s,
    process_s=process_s,
)
