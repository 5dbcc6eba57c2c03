"""A run that was killed and resumed is the run that was never broken."""

import json
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiment.store.archive_format import archived_messages, check_archive
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json
from experiment.store.journal import read_metrics
from experiment.training import checkpoints
from tests.support.forked import Forked
from tests.support.processes import start_train, train_here

FLAGS = ("--epochs", "30", "--early-stopping", "true", "--patience", "25", "--mode", "offline")


def kill_during_epoch(process, epoch, delay) -> None:
    """Kill a run a moment after it said that an epoch was done."""
    for line in process.stderr:
        if line.startswith(f"epoch {epoch}/".encode()):
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()


def values(directory):
    """Return all that was logged, timings aside."""
    return sorted(
        (point.name, point.step, point.epoch, point.value)
        for point in read_metrics(directory.metrics_file)
        if point.name != "epoch_seconds"
    )


@pytest.fixture(scope="module")
def unbroken(digits_file, tmp_path_factory):
    done = train_here("--dataset", digits_file, *FLAGS, "--json", cwd=tmp_path_factory.mktemp("unbroken"))
    assert done.returncode == 0, done.stderr
    return RunDirectory(Path(json.loads(done.stdout)["run_dir"]))


def test_killed_and_resumed_equals_unbroken_bit_by_bit(unbroken, digits_file, tmp_path):
    seed = random.randrange(2**32)
    print("seed of the moments:", seed)
    moments = random.Random(seed)

    def start(*arguments) -> Forked:
        return start_train(*arguments, cwd=tmp_path, stderr=subprocess.PIPE)

    kill_during_epoch(start("--dataset", digits_file, *FLAGS), 3, moments.uniform(0, 0.1))
    (path,) = tmp_path.glob("runs/*/")
    kill_during_epoch(start("--resume", path.name[:10]), 14, moments.uniform(0, 0.1))
    done = train_here("--resume", path, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    resumed = RunDirectory(path)
    assert values(resumed) == values(unbroken)
    for name in ("last", "best", "test_loss", "test_accuracy", "epochs"):
        assert read_json(resumed.results_file)[name] == read_json(unbroken.results_file)[name]
    ours, theirs = (checkpoints.read_checkpoint(each.checkpoints) for each in (resumed, unbroken))
    assert ours
    assert theirs
    for group in ("weights", "optimizer", "best_weights"):
        for one, other in zip(getattr(ours, group), getattr(theirs, group), strict=True):
            np.testing.assert_array_equal(one, other)
    assert check_archive(resumed.archive) == []
    metrics = [m["payload"] for m in archived_messages(resumed.archive) if m["type"] == "metric_msg"]
    points = [(m.get("context"), m["metric"]["metricName"], m["metric"]["step"]) for m in metrics]
    points = [point for point in points if point[1] != "process duration" and not point[1].startswith("sys.")]
    assert len(points) == len(set(points)) == len(list(read_metrics(resumed.metrics_file)))
    printed = resumed.console_file.read_text()
    assert len(re.findall("^run ", printed, re.MULTILINE)) == 3  # each process appends
    assert (printed.count("epoch 1/"), printed.count("resumed after epoch")) == (1, 2)


def test_a_finished_run_is_resumed_only_with_more_epochs(unbroken, tmp_path):
    refused = train_here("--resume", unbroken.path, cwd=tmp_path)
    assert refused.returncode == 2
    assert "is finished; to train it further, give more than --epochs 30" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batch-size", "7"), "--batch-size: a resumed run keeps its parameters"),
        (("--params", "mnist-cnn"), "--params: a resumed run keeps its parameters"),
        (("--epochs", "29"), "is finished|not fewer"),
    ],
)
def test_a_resumed_run_with_other_parameters_is_refused(unbroken, tmp_path, arguments, message):
    done = train_here("--resume", unbroken.path, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert re.search(message, done.stderr)


def test_a_resumed_run_with_other_data_is_refused(unbroken, digits, digits_file, tmp_path):
    original = digits_file.read_bytes()
    changed = digits | {"x_train": digits["x_train"].copy()}
    changed["x_train"][0, 0, 0] ^= 1
    try:
        np.savez(digits_file, **changed)
        done = train_here("--resume", unbroken.path, "--epochs", "50", cwd=tmp_path)
    finally:
        digits_file.write_bytes(original)
    assert done.returncode == 2
    assert "is not what run" in done.stderr


STATE: dict[str, Any] = {"history": {"loss": [0.5]}, "stopping": {"best": None}, "stopped": False}


def some_checkpoint(epochs):
    return checkpoints.Checkpoint(epochs, [np.full(3, epochs)], [np.arange(4)], [], STATE)


def test_a_checkpoint_is_read_back_as_it_was_written(tmp_path):
    checkpoints.write_checkpoint(tmp_path, some_checkpoint(5))
    read = checkpoints.read_checkpoint(tmp_path)
    assert read
    assert (read.epochs, read.state, len(read.best_weights)) == (5, STATE, 0)
    np.testing.assert_array_equal(read.weights[0], [5, 5, 5])


@pytest.mark.parametrize("size", [0, 10, 300, 700])
def test_a_damaged_newest_checkpoint_is_passed_over_for_the_one_before(tmp_path, size):
    for epochs in (1, 2, 3):
        checkpoints.write_checkpoint(tmp_path, some_checkpoint(epochs))
    newest = sorted(tmp_path.glob("*.npz"))[-1]
    newest.write_bytes(newest.read_bytes()[:size])
    read = checkpoints.read_checkpoint(tmp_path)
    assert read
    assert read.epochs == 2


def test_a_disk_that_fills_up_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    checkpoints.write_checkpoint(tmp_path, some_checkpoint(1))

    def full(*arguments, **named):
        arguments[0].write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.write_checkpoint(tmp_path, some_checkpoint(2))
    assert [path.name for path in tmp_path.iterdir()] == ["000001.npz"]
