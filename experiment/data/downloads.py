"""Image sets that Keras downloads, taken from its cache or fetched into it, if the server answers in time."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from experiment.data.array_files import IDX_FILES
from experiment.errors import UserError
from experiment.system.deadline import answers

DOWNLOADS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
PROBE_SECONDS = 4.0
_ADVICE = "copy it there from another machine, give its path as --dataset, or take --dataset mnist-5k"


def cache() -> Path:
    """Return Keras' folder of downloaded sets, found as Keras finds it but without importing it."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


def download(name: str) -> None:
    """Let Keras download a set into its cache, if the server answers a first request in time.

    Raises:
        UserError: it cannot be had, with what to do instead.
    """
    first = "mnist.npz" if name == "mnist" else f"{IDX_FILES['y_test']}.gz"
    if not answers(DOWNLOADS + first, PROBE_SECONDS, method="HEAD"):
        raise UserError(f"{name} is neither in {cache()} nor can it be downloaded here: {_ADVICE}")
    from experiment.system.keras_settings import import_keras

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PROBE_SECONDS)  # Keras' own download waits for a stalled server for ever
    try:
        getattr(import_keras().datasets, name.replace("-", "_")).load_data()
    except Exception as error:  # Keras raises bare Exception for network errors
        raise UserError(f"{name} could not be downloaded ({error}): {_ADVICE}") from None
    finally:
        socket.setdefaulttimeout(before)
