"""One tracked run of a Keras image classifier, and what is done with runs afterwards."""

import os
import sys

# TensorFlow reads both when it is imported. By itself it takes oneDNN's convolutions on some processors only;
# where it does not (AMD without AVX-512), they took the network of mnist-cnn from 138 to 107 ms a step.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Keras reads these when it is imported. The variable goes before keras.json; the limits would end a run
# after fewer epochs than it logs.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["KERAS_NNX_ENABLED"] = "false"
for _limit in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):
    os.environ.pop(_limit, None)


def not_installed(error: ModuleNotFoundError) -> str:
    """Return what to do where a package that this project needs is not installed.

    Raises:
        ModuleNotFoundError: the module that is missing is the project's own.
    """
    package = (error.name or "").partition(".")[0]
    if package in ("", "experiment", "params"):
        raise error
    return (
        f"the package '{package}' is not installed for {sys.executable}: run `make train` once, "
        "then `. .venv/bin/activate` in each shell"
    )
