"""A tiny size of the benchmark, so that it cannot rot."""

import importlib.util

import pytest

from tests.conftest import run_python


def test_the_benchmark_prints_its_table(digits_file, tmp_path):
    arguments = ("--pairs", "1", "--epochs", "2", "--whole", "2")
    done = run_python("-m", "benchmarks", digits_file, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for row in ("plain Keras untracked", "NumPy by hand", "arithmetic limit", "whole process"):
        assert row in done.stdout


@pytest.mark.parametrize("peer", ["numpy", "jax", "torch"])
def test_a_peer_learns_what_the_others_learn(digits_file, tmp_path, peer):
    if not importlib.util.find_spec(peer):
        pytest.skip(f"{peer} is not installed")
    done = run_python("-m", f"benchmarks.peers.{peer}_mlp", digits_file, 40, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split('"loss":')[1].strip(" }\n")) < 0.1
