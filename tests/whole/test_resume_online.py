"""A run that Comet has is gone on with live: killed twice, and each point is at the server once."""

import json
import os
import subprocess
import sys

import pytest

from experiment.comet import continuation
from experiment.store.archive_format import archived_messages, check_archive
from experiment.store.console_log import read_console_log
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json
from experiment.store.journal import read_metrics
from tests.support import writer
from tests.support.comet_server import CometServer
from tests.support.processes import ROOT

EPOCHS = 8
# The stand-in shows at once what it took: nothing has to settle.
WRITE = """
import sys, runpy
from experiment.comet import continuation
continuation.SETTLING_SECONDS = 0.1
runpy.run_module("tests.support.writer", run_name="__main__", alter_sys=True)
"""


def killed_after(epoch, runs, server, *key) -> str:
    """Start a writer and kill it after an epoch, points on their way to the server; return what it said."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(runs), "online", str(EPOCHS), "0.1", *key],
        cwd=runs.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), **server.environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if json.loads(line)["what"] == f"epoch {epoch}":
            break
    process.kill()
    return process.communicate()[1]


def point_names(server, key):
    sent = [(metric["metricName"], metric["step"]) for metric in server.runs[key].metrics]
    return [point for point in sent if point[0] != "process duration" and not point[0].startswith("sys.")]


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """A run that was killed twice and gone on with twice: its server, directory, and what was said."""
    runs = tmp_path_factory.mktemp("resumed") / "runs"
    said = []
    with CometServer() as server, pytest.MonkeyPatch.context() as patch:
        said.append(killed_after(3, runs, server))
        (path,) = runs.iterdir()
        lost = 30 - len(point_names(server, path.name))
        said.append(killed_after(5, runs, server, path.name))
        for name, value in server.environment().items():
            patch.setenv(name, value)
        patch.setattr(continuation, "SETTLING_SECONDS", 0.1)
        writer.write(runs, "online", EPOCHS, 0.0, path.name)
        yield server, RunDirectory(path), said, lost


def test_both_kills_cost_the_server_points_that_the_journal_has(resumed):
    assert resumed[3] > 0


def test_each_point_of_a_run_killed_twice_is_at_the_server_once(resumed):
    server, directory, _, _ = resumed
    sent = point_names(server, directory.key)
    assert sorted(sent) == sorted(
        {(point.name, point.step) for point in read_metrics(directory.metrics_file)}
    )
    assert len(sent) == EPOCHS * 10


def test_each_line_that_a_run_killed_twice_printed_is_at_the_server_and_in_the_archive_once(resumed):
    server, directory, _, _ = resumed
    kept = [line for line in read_console_log(directory.console_file) if "read back" not in line]
    assert sum(line.startswith("run a writer") for line in kept) == 3
    assert sorted(line["output"] for line in server.runs[directory.key].output) == sorted(kept)
    archived = [m for m in archived_messages(directory.archive) if m["type"] == "standard_output"]
    assert [message["payload"]["output"] for message in archived] == kept


def test_each_file_of_a_run_killed_twice_is_at_the_server_once(resumed):
    server, directory, _, _ = resumed
    names = sorted(asset["fileName"] for asset in server.runs[directory.key].assets)
    assert names == sorted(f"{epoch}.json" for epoch in range(1, EPOCHS + 1))


def test_a_resumed_run_says_its_address_first(resumed):
    _, directory, said, _ = resumed
    address = read_json(directory.run_file)["url"]
    assert directory.key in address
    assert [text.splitlines()[0] for text in said] == [f"run a writer, online: {address}"] * 2


def test_the_archive_of_a_run_gone_on_with_live_has_each_point_once(resumed):
    directory = resumed[1]
    assert check_archive(directory.archive) == []
    metrics = [
        m["payload"]["metric"] for m in archived_messages(directory.archive) if m["type"] == "metric_msg"
    ]
    points = [(m["metricName"], m["step"]) for m in metrics if m["metricName"] in ("loss", "accuracy")]
    assert len(points) == len(set(points)) == EPOCHS * 10
    assert read_json(directory.upload_file)["verified"]


def test_name_and_tags_that_were_changed_in_comet_stay(resumed):
    server, directory, _, _ = resumed
    assert server.runs[directory.key].tags == ["tag"]


def test_a_run_that_comet_does_not_have_goes_on_offline_and_says_so(tmp_path, monkeypatch, capsys):
    writer.write(tmp_path / "runs", "offline", 1, 0.0)
    (path,) = (tmp_path / "runs").iterdir()
    with CometServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        writer.write(tmp_path / "runs", "online", 2, 0.0, path.name)
        assert not server.runs
    assert (
        "notice: tracking offline: Comet does not have this run yet; send the run later"
        in capsys.readouterr().err
    )
    assert read_json(path / "run.json")["mode"] == "offline"
