"""Sweeps that are killed, whole or in part, and a cluster that loses a machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from experiment.store.archive_format import check_archive
from tests.support.processes import ROOT, TRAIN, run_python, run_train
from tests.support.sweeps import runs_of, write

pytest.importorskip("ray")


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found


def start_sweep(*arguments, cwd) -> subprocess.Popen:
    """Start train.py in a session of its own, and in a process of its own: Ray comes of its imports, too."""
    return subprocess.Popen(
        [sys.executable, *map(str, (TRAIN, *arguments))],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def test_killed_anywhere_a_sweep_goes_on_and_runs_no_trial_twice(digits_file, tmp_path):
    file = write(tmp_path, {"initial-lr": [0.001, 0.002], "layer-1-size": [16], "layer-2-size": [16]})
    command = ("--sweep", file, "--dataset", digits_file, "--epochs", "80", "--mode", "offline")

    def running():
        return [run for run in runs_of(tmp_path) if run["status"] == "running" and epochs(run) > 5]

    def epochs(run) -> int:
        journal = tmp_path / "runs" / run["key"] / "metrics.jsonl"
        return journal.read_text().count('"val_loss"') if journal.exists() else 0

    first = start_sweep(*command, "--workers", "1", cwd=tmp_path)
    wait_until(running)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does it; the run is closed in order
    assert first.wait(40) == 130
    (run,) = runs_of(tmp_path)
    assert run["status"] == "interrupted"
    assert check_archive(tmp_path / "runs" / run["key"] / "comet" / f"{run['key']}.zip") == []

    second = start_sweep(*command, "--workers", "1", cwd=tmp_path)
    (worker, *_) = (run["process"]["pid"] for run in wait_until(running))
    os.kill(worker, signal.SIGKILL)  # the sweep goes on with another worker
    wait_until(lambda: any(run.get("deaths") for run in runs_of(tmp_path)))
    wait_until(running)
    second.kill()  # the sweep itself: its workers die with it
    second.wait()
    workers = {run["process"]["pid"] for run in runs_of(tmp_path)}
    wait_until(lambda: not any(psutil.pid_exists(pid) and is_python(pid) for pid in workers), 20)

    finished = {run["key"]: run["ended"] for run in runs_of(tmp_path) if run["status"] == "finished"}
    third = run_train(*command, "--json", cwd=tmp_path)
    assert third.returncode == 0, third.stderr
    summary = json.loads(third.stdout)
    assert (summary["finished"], summary["trials"]) == (2, 2)
    runs = runs_of(tmp_path)
    assert len(runs) == 2
    assert {run["key"]: run["ended"] for run in runs if run["key"] in finished} == finished
    for each in runs:
        steps = [
            json.loads(line)["step"]
            for line in (tmp_path / "runs" / each["key"] / "metrics.jsonl").read_text().splitlines()
            if json.loads(line)["name"] == "val_loss"
        ]
        assert steps == [4 * epoch for epoch in range(1, 81)]
    assert any(len(list((tmp_path / "runs" / each["key"] / "comet/segments").iterdir())) > 1 for each in runs)
    assert not list(Path("/tmp").glob(f"keras-sweep-{second.pid}-*"))


def is_python(pid) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


CLUSTER = """
import json, os, subprocess, sys, time
from pathlib import Path
import psutil
# Beside other work, nicer workers than that would hardly run.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
from ray.cluster_utils import Cluster

root, folder, *command = sys.argv[1:]
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
lost = cluster.add_node(num_cpus=1)
raylets = {node.all_processes["raylet"][0].process.pid: node for node in (cluster.head_node, lost)}
sweep = subprocess.Popen([sys.executable, f"{root}/train.py", *command, "--ray-address", cluster.address])


def nodes() -> set:
    found = set()
    for file in Path(folder, "runs").glob("*/run.json"):
        try:
            worker = psutil.Process(json.loads(file.read_text())["process"]["pid"])
            found |= {parent.pid for parent in worker.parents()} & set(raylets)
        except (psutil.NoSuchProcess, ValueError):
            pass
    return found


deadline = time.monotonic() + 120
while len(nodes()) < 2 and time.monotonic() < deadline:
    time.sleep(0.1)
print("nodes", len(nodes()))
cluster.remove_node(lost, allow_graceful=False)
print("exit code", sweep.wait(150))
cluster.shutdown()
"""


def test_a_cluster_of_two_machines_runs_trials_on_both_and_survives_the_loss_of_one(digits_file, tmp_path):
    file = write(tmp_path, {"initial-lr": [0.001, 0.002], "layer-1-size": [16]})
    command = ("--sweep", file, "--dataset", digits_file, "--epochs", "80", "--mode", "disabled", "--json")
    done = run_python("-c", CLUSTER, ROOT, tmp_path, *command, cwd=tmp_path, timeout=330)
    lines = done.stdout.splitlines()
    assert "nodes 2" in lines, done.stderr
    assert "exit code 0" in lines, done.stderr
    summary = json.loads(next(line for line in lines if line.startswith("{")))
    assert (summary["finished"], summary["unfinished"]) == (2, 0)
    assert len(runs_of(tmp_path)) == 2
