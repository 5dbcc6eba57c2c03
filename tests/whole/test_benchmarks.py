"""A tiny size of the benchmark, so that it cannot rot."""

import contextlib
import importlib.util
import io
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import decoding, many_runs, rounds, sweeps, transfer
from experiment import __main__ as command_line
from experiment.store.archive_reader import read_archive
from tests.support.pictures import write_class
from tests.support.processes import run_python, train_here


def run_here(*arguments: str) -> rounds.Result:
    """Run in this process, which has TensorFlow already, what a benchmark runs in one of its own."""
    if arguments[0] != "-m":
        done = train_here(*arguments[1:], cwd=Path.cwd())
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    else:
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
            patch.setattr(sys, "argv", list(arguments[1:]))
            runpy.run_module(arguments[1], run_name="__main__")
        printed = out.getvalue()
    found = json.loads(printed.splitlines()[-1])
    found |= rounds.phases(Path(found["run_dir"])) if "run_dir" in found else {}
    return found | {"wall_s": 1.0, "cpu_s": 1.0, "peak_bytes": 1.0, "others_cores": 0.0}


def test_the_benchmark_prints_its_table(digits_file, monkeypatch, capsys):
    in_a_process, measured = rounds.run, []

    def run(*arguments: str, **variables: str) -> rounds.Result:
        assert set(variables) <= {"XDG_CACHE_HOME"}
        if arguments[1].endswith(("tutorial", "ceiling", "ours_training")) or arguments[0] != "-m":
            # Comet's own logging begins before Keras is imported, and this process has that.
            return run_here(*(each for each in arguments if each != "--comet"))
        measured.append(in_a_process(*arguments))
        return measured[-1]

    monkeypatch.setattr(rounds, "run", run)
    flags = ("whole", "short", "training", "--rounds", "1", "--epochs", "2", "--whole", "1")
    monkeypatch.setattr(sys, "argv", ["benchmarks", str(digits_file), *flags])
    benchmarks.main()
    said = capsys.readouterr().out
    for row in ("an epoch of 1", "the process, 1 epochs", "peak memory", "NumPy by hand", "arithmetic limit"):
        assert row in said
    for row in ("imports, data", "compiling", "testing, saving", "Comet's own logging", "its caches filled"):
        assert row in said
    assert measured
    assert all(result["wall_s"] > 0 and result["peak_bytes"] > 1e7 for result in measured)


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


def test_transfer_divides_a_folder_for_its_peer_and_prints_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for name, shade in (("dark", 60), ("light", 160)):
        write_class(tmp_path / "folder" / name, random.integers(shade, shade + 90, (20, 8, 8, 3), np.uint8))
    transfer.divide(tmp_path / "folder", tmp_path / "divided")
    parts = [
        len(list((tmp_path / "divided" / part).rglob("*.png"))) for part in ("train", "validation", "test")
    ]
    assert parts == [27, 5, 8]
    ran: list[tuple[str, ...]] = []

    def run(*arguments: str, **variables: str) -> rounds.Result:
        ran.append(arguments)
        seconds = 9.0 if "benchmarks.peers.keras_transfer" in arguments else 1.0 if variables else 3.0
        return {"wall_s": seconds, "cpu_s": seconds, "test_accuracy": 0.9, "others_cores": 0.0}

    monkeypatch.setattr(rounds, "run", run)
    arguments = ["transfer", str(tmp_path / "folder"), "--rounds", "2", "--epochs", "5"]
    monkeypatch.setattr(sys, "argv", arguments)
    transfer.main()
    said = capsys.readouterr().out
    ratios = [line.split()[-4] for line in said.splitlines() if " ÷ ours: " in line]
    assert ratios == ["3.00", "3.00", "0.33", "0.33", "1.00"]
    assert len(ran) == 1 + 2 * 3


def test_decoding_is_timed_beside_its_peers(digits_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    in_a_process = decoding.run

    def run(*arguments: str) -> rounds.Result:
        # The one that forks does not share this process' threads.
        return (in_a_process if "pillow" in arguments else run_here)(*arguments)

    monkeypatch.setattr(decoding, "run", run)
    monkeypatch.setattr(decoding, "PICTURES", 4)
    monkeypatch.setattr(decoding, "SIZES", (8,))
    monkeypatch.setattr(sys, "argv", ["benchmarks", str(digits_file), "decoding", "--rounds", "1"])
    benchmarks.main()
    said = capsys.readouterr().out
    for title in decoding.PEERS.values():
        assert f"{title} ÷ ours: a picture to 8 × 8, ms" in said
        assert f"{title} ÷ ours: a picture to 8 × 8, CPU ms" in said


def test_sweeps_are_timed_beside_their_peers(digits_file, monkeypatch, capsys):
    if not importlib.util.find_spec("ray"):
        pytest.skip("ray is not installed")
    ran = []

    def run(*arguments: str) -> rounds.Result:
        ran.append(arguments)
        return {"wall_s": 12.0, "search_s": 8.0, "others_cores": 0.0}

    monkeypatch.setattr(rounds, "run", run)
    monkeypatch.setattr(sweeps, "run", run)
    monkeypatch.setattr(benchmarks, "_installed", list)
    arguments = ["benchmarks", str(digits_file), "sweeps", "--rounds", "1", "--trials", "6"]
    monkeypatch.setattr(sys, "argv", arguments)
    benchmarks.main()
    said = capsys.readouterr().out
    assert len(ran) == 1 + sweeps.ALONE + 1
    # 8 s of searching are of 4 trials, 4 s of starting of 6; the sweep's 12 s of 6.
    tuner, alone = (line.split()[-6:-3] for line in said.splitlines() if "a trial of 6" in line)
    assert [float(each) for each in tuner] == [pytest.approx(8 / 4 + 4 / 6, rel=1e-3), 2.0, 1.33]
    assert [float(each) for each in alone] == [12.0, 2.0, 6.0]
