"""Networks and how they are trained; imports TensorFlow, in silence and with the pipeline's settings."""

from experiment.system.keras_settings import import_keras

import_keras()
