"""An epoch of the ``cnn`` on 10,000 images in plain Keras, untracked, without validation."""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf

from benchmarks.peers.report import EXAMPLES, report

path, epochs = sys.argv[1], int(sys.argv[2])
with np.load(path) as arrays:
    images = arrays["x_train"][:EXAMPLES, ..., None].astype("float32") / 255
    targets = tf.keras.utils.to_categorical(arrays["y_train"][:EXAMPLES], 10)
layers = tf.keras.layers


def convolution(filters):
    """Return layers as ``experiment.training.models`` adds them."""
    convolved = layers.Conv2D(filters, 3, padding="same", use_bias=False)
    return [convolved, layers.BatchNormalization(), layers.ReLU()]


stack = [tf.keras.Input((28, 28, 1)), *convolution(16), layers.MaxPooling2D()]
stack += [*convolution(32), *convolution(32), layers.MaxPooling2D(), *convolution(64), *convolution(64)]
model = tf.keras.Sequential([*stack, layers.Flatten(), layers.Dropout(0.25), layers.Dense(10)])
model.compile(
    optimizer="adam", loss=tf.keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
)
seconds, processor_seconds = [], []


class Clock(tf.keras.callbacks.Callback):
    """Times epochs."""

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002, D102
        self.begun = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002, D102
        seconds.append(time.perf_counter() - self.begun[0])
        processor_seconds.append(time.process_time() - self.begun[1])


history = model.fit(images, targets, batch_size=128, epochs=epochs, verbose=0, callbacks=[Clock()])
report(seconds, processor_seconds, loss=history.history["loss"][-1])
