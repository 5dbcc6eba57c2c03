"""The tutorial's script in plain Keras; with ``--comet``, under Comet's automatic logging, offline."""

import os
import sys
import tempfile
import time

STARTED = time.perf_counter()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
path, epochs = sys.argv[1], int(sys.argv[2])
model_name = sys.argv[3] if len(sys.argv) > 3 and not sys.argv[3].startswith("--") else "mlp"
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
shape = (784,) if model_name == "mlp" else (28, 28, 1)
x_train, x_test = (x.reshape(len(x), *shape).astype("float32") / 255 for x in (x_train, x_test))
y_train, y_test = (tf.keras.utils.to_categorical(y, 10) for y in (y_train, y_test))

if model_name == "mlp":
    layers = tf.keras.layers
    hidden = [layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(128, "relu"), layers.Dropout(0.25)]
    schedule = tf.keras.optimizers.schedules.ExponentialDecay(0.01, 2000, 0.9)
    model = tf.keras.Sequential([tf.keras.Input(shape), *hidden, layers.Dense(10)])
    model.compile(
        optimizer=tf.keras.optimizers.Adamax(schedule),
        loss=tf.keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
else:
    from experiment.training import models, trainer
    from params.load import load_params

    get_parameter = load_params("mnist-cnn").model_dump(by_alias=True).__getitem__
    model = models.build_model(get_parameter, shape, 10)
    trainer.compile_model(model, get_parameter, len(x_train))

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
test_loss, test_accuracy = model.evaluate(x_test, y_test, verbose=0)
model.save(os.path.join(tempfile.mkdtemp(), "tf-mnist.keras"))
if experiment:
    experiment.end()
report(seconds, test_accuracy=test_accuracy, process_s=time.perf_counter() - STARTED)
