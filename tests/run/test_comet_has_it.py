"""System metrics and output at Comet: of a live run and of one that was uploaded, read back and repaired."""

import sys
import time

import pytest

from experiment.comet import session, upload
from experiment.run.lifecycle import recorded
from experiment.store.console_log import read_console_log
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json
from experiment.store.journal import read_metrics
from experiment.system import sampler
from experiment.system.console import Console
from tests.support.comet_server import API_KEY, CometServer

AFTERWARDS = "read back"  # the line about what Comet has, which Comet cannot have


def write(directory: RunDirectory, mode: str) -> RunDirectory:
    """Write a run that is sampled and prints; a line of it twice, and one with the key."""
    directory.create()
    where = session.destination("talkative", [], None, None)
    facts, console = {"dataset": {"name": "none"}}, Console(secrets=(API_KEY,))
    with recorded(directory, where, mode, {"seed": 0}, facts, console, 60) as tracker:
        tracker.log_parameters({"seed": 0})
        print("twice", "twice", f"the key is {API_KEY}", sep="\n")
        print("数字 to stderr", file=sys.stderr)
        while not directory.system_file.exists():
            time.sleep(0.01)
    return directory


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A server, a run that was online, and one that was offline and then uploaded."""
    folder = tmp_path_factory.mktemp("sent")
    with pytest.MonkeyPatch.context() as patch, CometServer() as server:
        patch.setattr(sampler, "FIRST_SECONDS", 0.01)
        patch.setattr(sampler, "LAST_SECONDS", 0.0)
        for name, value in server.environment().items():
            patch.setenv(name, value)
        live, later = (RunDirectory(folder / session.new_key()) for _ in range(2))
        write(live, "online")
        upload.upload(write(later, "offline"), print)
        yield server, (live, later)


def test_system_metrics_arrive_once_as_the_directory_has_them(both):
    server, directories = both
    for directory in directories:
        sent = [m for m in server.runs[directory.key].metrics if m["metricName"].startswith("sys.")]
        journal = [(p.name, p.step, p.value, int(p.time * 1000)) for p in read_metrics(directory.system_file)]
        assert [(m["metricName"], m["step"], m["metricValue"], m["timestamp"]) for m in sent] == journal
        assert all(m["context"] is None and m["epoch"] is None for m in sent)


def test_output_arrives_once_with_its_stream_and_without_the_key(both):
    server, directories = both
    for directory in directories:
        sent = server.runs[directory.key].output
        kept = [line for line in read_console_log(directory.console_file) if AFTERWARDS not in line]
        assert sorted(line["output"] for line in sent) == sorted(kept)
        assert [line["output"] for line in sent if line["stderr"]][1:] == ["数字 to stderr\n"]
        assert API_KEY not in str(sent)


def test_both_are_read_back(both):
    for directory in both[1]:
        ledger = read_json(directory.upload_file)
        assert (ledger["verified"], ledger["missing"]) == (True, [])
        assert ledger["counts"]["lines"] == 5


def test_what_of_both_is_lost_is_sent_again_and_nothing_else(both):
    server, (live, _) = both
    run = server.runs[live.key]
    run.output.remove(next(line for line in run.output if line["output"] == "twice\n"))
    run.metrics.remove(next(m for m in run.metrics if m["metricName"] == "sys.load.avg"))
    before = len(run.output), len(run.metrics)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        assert upload.upload(live, said.append)["verified"]
    assert "sending 2 of" in said[0]
    assert (len(run.output), len(run.metrics)) == (before[0] + 1, before[1] + 1)
