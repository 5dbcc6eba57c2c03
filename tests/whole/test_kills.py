"""A writer killed at any moment: every line of its journal is in the archive that recovery builds."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from experiment.comet import settings
from experiment.store import archive_format
from experiment.store import archive_writer as archives
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json
from experiment.store.find import waiting_runs
from experiment.store.journal import read_metrics
from tests.support.writer import PARAMS, write

KILLS = 30
SEED = random.randrange(2**32)


def kill_a_writer(runs: Path, epochs: int, seconds: float, after: float) -> None:
    """Fork a writer and kill it after so many seconds; forked, it need not import the SDK anew."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        try:
            write(runs, "offline", epochs, seconds)
        finally:
            os._exit(0)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def points_of(path: Path) -> list[tuple[str, int]]:
    messages = [each for each in archive_format.archived_messages(path) if each["type"] == "metric_msg"]
    return [(m["payload"]["metric"]["metricName"], m["payload"]["metric"]["step"]) for m in messages]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("number", range(KILLS))
def test_a_writer_killed_at_a_random_moment_loses_nothing(tmp_path, number):
    print(f"seed of the moments: {SEED}, kill {number}")
    settings.import_comet()
    moments = random.Random(SEED + number)
    kill_a_writer(tmp_path / "runs", 100_000, moments.choice([0.0, 0.002, 0.02]), moments.uniform(0.0, 0.8))
    for path in tmp_path.glob("runs/*"):
        directory = RunDirectory(path)
        if not directory.run_file.exists():
            continue  # killed before its first line: there is nothing to lose
        journal = (
            [(p.name, p.step) for p in read_metrics(directory.metrics_file)]
            if directory.metrics_file.exists()
            else []
        )
        assert [each.key for each in waiting_runs(tmp_path / "runs")] == [directory.key]
        assert archives.recover(directory) == []
        assert archive_format.check_archive(directory.archive) == []
        assert read_json(directory.run_file)["status"] == "interrupted"
        assert sorted(points_of(directory.archive)) == sorted(journal)
        assert len(set(journal)) == len(journal)
        parameters = [
            m["payload"]["param"]["paramName"]
            for m in archive_format.archived_messages(directory.archive)
            if m["type"] == "parameter_msg"
        ]
        assert sorted(parameters) == sorted(PARAMS)
        once = [m["payload"] | {"file_path": ""} for m in archive_format.archived_messages(directory.archive)]
        archives.recover(directory)
        assert [
            m["payload"] | {"file_path": ""} for m in archive_format.archived_messages(directory.archive)
        ] == once
        assert waiting_runs(tmp_path / "runs") == []
