"""Files that Keras would download, fetched into its cache if their server answers in time.

Keras' own download waits for a stalled server for ever, and needs TensorFlow.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.request
from http.client import HTTPException
from pathlib import Path

from experiment.errors import UserError
from experiment.store.files import atomic_path
from experiment.system.deadline import answers

DOWNLOADS = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
PROBE_SECONDS = 4.0  # for the first answer, and for each part of a file after it


def cache(kind: str) -> Path:
    """Return Keras' folder of ``datasets`` or ``models``, found as Keras finds it, without Keras."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser() / kind


def fetch_set(name: str, path: Path, known: str = "") -> None:
    """Download a file of a data set that Keras publishes to its place in Keras' cache, as ``fetch`` does."""
    advice = "copy it there from another machine, give its path as --dataset, or take --dataset mnist-5k"
    fetch(DOWNLOADS + path.name, path, what=name, advice=advice, known=known)


def fetch(url: str, path: Path, *, what: str, advice: str, known: str = "") -> None:
    """Download a file to its place, whole and checked or not at all, if the server answers a first request.

    Args:
        url: where it is.
        path: where it goes; its folder is made.
        what: what cannot be had otherwise, for the error's sentence.
        advice: what to do instead.
        known: the file's MD5 or SHA-256 in hexadecimal; empty where nobody publishes it.

    Raises:
        UserError: it cannot be had, with what to do instead.
    """
    # Asked first: connecting through a silent firewall takes minutes, name resolution has no limit at all.
    if not answers(url, PROBE_SECONDS, method="HEAD"):
        raise UserError(f"{what} is neither in {path.parent} nor can it be downloaded here: {advice}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as beside:
            with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as response, beside.open("wb") as file:
                shutil.copyfileobj(response, file)
                announced = response.headers.get("Content-Length")
            _check(beside, announced, known)
    except (OSError, HTTPException) as error:
        raise UserError(f"{what} could not be downloaded from {url} ({error}): {advice}") from None


def digest(path: Path, algorithm: str) -> str:
    """Return a file's ``md5`` or ``sha256`` in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _check(path: Path, announced: str | None, known: str) -> None:
    size = str(path.stat().st_size)
    if announced not in (None, size):  # urllib takes a connection that breaks off for the end
        raise OSError(f"{size} of {announced} bytes came")
    if known and digest(path, "md5" if len(known) == 32 else "sha256") != known:
        raise OSError(f"the hash of what came is not {known}")
