"""A tiny size of the benchmark, so that it cannot rot."""

import importlib.util

import pytest

from benchmarks import many_runs
from experiment import __main__ as command_line
from experiment.store.archive_reader import read_archive
from tests.support.processes import run_python


def test_the_benchmark_prints_its_table(digits_file, tmp_path):
    arguments = ("whole", "training", "--rounds", "1", "--epochs", "1", "--whole", "1")
    done = run_python("-m", "benchmarks", digits_file, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for row in ("an epoch of 1", "the process, 1 epochs", "peak memory", "NumPy by hand", "arithmetic limit"):
        assert row in done.stdout


@pytest.mark.parametrize("peer", ["numpy", "jax", "torch"])
def test_a_peer_learns_what_the_others_learn(digits_file, tmp_path, peer):
    if not importlib.util.find_spec(peer):
        pytest.skip(f"{peer} is not installed")
    done = run_python("-m", f"benchmarks.peers.{peer}_mlp", digits_file, 40, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split('"loss":')[1].strip(" }\n")) < 0.1


def test_the_runs_and_the_archive_that_many_runs_makes_are_read(tmp_path, capsys):
    many_runs.make_runs(tmp_path / "runs", 10, epochs=2, examples=20)
    assert command_line.main(["compare"]) == 0
    assert "layer-1-size=32 initial-lr=0.002 sgd ×5" in capsys.readouterr().out
    many_runs.make_archive(tmp_path / "large.zip", 3_000_000)
    record = read_archive(tmp_path / "large.zip")
    assert record.results["best"]["val_loss"] == record.results["last"]["val_loss"]
