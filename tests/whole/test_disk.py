"""A disk that fills up while a run trains: a clear end, and nothing half-written."""

import contextlib
import subprocess

import pytest

from experiment.store import archive_format
from experiment.store import archive_writer as archives
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json
from experiment.store.journal import read_metrics
from experiment.training import checkpoints
from tests.support.processes import start_train, train_here

SIZE = "120m"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own, of 120 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill(place):
    block = b"\0" * 2**16
    with contextlib.suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
        while file.write(block):
            pass


def test_a_run_whose_disk_fills_up_ends_clearly_and_goes_on_once_there_is_space(digits_file, small_disk):
    runs = small_disk / "runs"
    # Far more epochs than may end before this process comes to fill the disk.
    flags = ("--dataset", digits_file, "--epochs", "40", "--mode", "offline")
    process = start_train(*flags, "--runs", runs, cwd=small_disk, stderr=subprocess.PIPE)
    errors = ""
    assert process.stderr
    for line in process.stderr:
        errors += line.decode()
        if line.startswith(b"epoch 5/"):
            fill(small_disk)
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    last = errors.strip().splitlines()[-1]
    assert last.startswith("train.py: run ")
    assert "Traceback" not in errors
    assert "no space left" in last.lower(), errors
    (small_disk / "filler").unlink()

    (path,) = runs.iterdir()
    directory = RunDirectory(path)
    assert not list(path.rglob(".tmp-*"))
    before = checkpoints.read_checkpoint(directory.checkpoints)
    assert before
    assert before.epochs >= 5
    archives.recover(directory)
    assert archive_format.check_archive(directory.archive) == []
    resumed = train_here(
        "--runs", runs, "--resume", path.name, "--epochs", "41", "--json", "--quiet", cwd=small_disk
    )
    assert "epochs" in resumed.stdout, resumed.stderr
    epochs = {point.epoch for point in read_metrics(directory.metrics_file)}
    assert epochs == set(range(1, 42))
    assert read_json(directory.run_file)["status"] == "finished"
