"""Online, when the network misbehaves: no run waits long, none fails, and nothing is lost."""

import dataclasses
import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from experiment.store import archive_format
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json
from experiment.store.journal import read_metrics
from tests.support.comet_server import CometServer
from tests.support.forked import Forked
from tests.support.processes import ROOT, TRAIN, run_forked
from tests.support.writer import PARAMS

EPOCHS, SECONDS = 12, 0.25
START_SECONDS, END_SECONDS = 10, 30
EVERYTHING, WRITES = ("",), ("batch", "upload", "write")

AT_START: dict[str, Any] = {
    "frozen": ("hang", EVERYTHING),
    "refusing connections": (None, ()),
    "dropping connections": ("drop", EVERYTHING),
    "500 to everything": (500, EVERYTHING),
    "503 to the start": (503, ("add/run",)),
    "429 to the start": (429, ("add/run",)),
    "403 to the start": (403, ("add/run",)),
    "frozen at the handshake": ("hang", ("add/run",)),
    "frozen after the handshake": ("hang", ("status-report",)),
    "wrong key": (None, ()),
}
IN_THE_MIDDLE: dict[str, Any] = {
    "freezes": ("hang", EVERYTHING, None),
    "dies": ("drop", EVERYTHING, None),
    "500 to all writes": (500, WRITES, None),
    "401 to everything": (401, EVERYTHING, None),
    "429 to all metrics": (429, ("metric",), None),
    "assets refused": (500, ("asset/upload",), None),
    "dies and comes back": ("drop", EVERYTHING, 1.5),
    "429 for a while": (429, WRITES, 1.5),
    "freezes and comes back": ("hang", EVERYTHING, 1.5),
}


@dataclasses.dataclass
class Scene:
    """A writer and the server that it talks to."""

    process: Forked
    server: CometServer
    runs: Path
    output: list = dataclasses.field(default_factory=list)
    errors: str = ""
    ended: float = 0.0

    def follow(self, fault, faulty, seconds, after) -> None:
        """Read what the writer says; let the fault befall the server after a line, for some seconds."""
        stdout, stderr = self.process.stdout, self.process.stderr
        assert stdout
        assert stderr
        for line in stdout:
            self.output.append(json.loads(line))
            if self.output[-1]["what"] == after:
                self.server.faulty, self.server.fault = faulty, fault
                if seconds:
                    threading.Timer(seconds, setattr, (self.server, "fault", None)).start()
        self.errors = stderr.read().decode()
        self.process.wait()
        self.ended = time.monotonic()
        stdout.close()
        stderr.close()

    def when(self, what) -> float:
        return next(line["at"] for line in self.output if line["what"] == what)

    @property
    def directory(self) -> RunDirectory:
        (path,) = self.runs.iterdir()
        return RunDirectory(path)


def play(folder, fault, faulty, seconds, after, **variables):
    """Start a scene; return it with the thread that follows it."""
    server = CometServer()
    server.__enter__()
    if after is None:
        server.faulty, server.fault = faulty, fault
    process = Forked(
        ("-m", "tests.support.writer", folder, "online", EPOCHS, SECONDS),
        cwd=folder.parent,
        variables={**os.environ, "PYTHONPATH": str(ROOT), **server.environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    scene = Scene(process, server, folder)
    thread = threading.Thread(target=scene.follow, args=(fault, faulty, seconds, after))
    thread.start()
    return scene, thread


class Refused:
    """A whole run, to be started, whose server refuses its points and files."""

    def __init__(self, server, data, folder):
        self.arguments = ("--dataset", data, "--epochs", "1", "--json")
        self.server, self.folder, self.done = server, folder, None
        self.thread = threading.Thread(target=self.run)

    def start(self) -> None:
        self.server.fault = 500
        self.thread.start()

    def run(self) -> None:
        self.done = run_forked(TRAIN, *self.arguments, cwd=self.folder, **self.server.environment())

    def finished(self) -> Path:
        """Wait for its end; return its directory."""
        self.thread.join()
        assert self.done
        assert self.done.returncode == 0, self.done.stderr
        return Path(json.loads(self.done.stdout)["run_dir"])


@pytest.fixture(scope="module")
def refused(digits_file, tmp_path_factory):
    with CometServer() as server:
        yield Refused(server, digits_file, tmp_path_factory.mktemp("refused"))


@pytest.fixture(scope="module")
def scenes(refused, tmp_path_factory):
    """All scenes, played at once: they spend their time waiting."""
    folder = tmp_path_factory.mktemp("scenes")
    playing = {}
    for name, (fault, faulty) in AT_START.items():
        variables = {
            "wrong key": {"COMET_API_KEY": "wrongKey9876543210zyxwv"},
            "refusing connections": {"COMET_URL_OVERRIDE": "http://127.0.0.1:9/clientlib/"},
        }.get(name, {})
        playing[name] = play(folder / name, fault, faulty, None, None, **variables)
    for name, (fault, faulty, seconds) in IN_THE_MIDDLE.items():
        playing[name] = play(folder / name, fault, faulty, seconds, "epoch 4")
    refused.start()
    for _, thread in playing.values():
        thread.join(timeout=150)
    yield {name: scene for name, (scene, _) in playing.items()}
    for scene, _ in playing.values():
        scene.server.__exit__()


def archived_points(directory):
    messages = [m for m in archive_format.archived_messages(directory.archive) if m["type"] == "metric_msg"]
    return {(m["payload"]["metric"]["metricName"], m["payload"]["metric"].get("step")) for m in messages}


@pytest.mark.parametrize("name", [*AT_START, *IN_THE_MIDDLE])
def test_the_run_finishes_with_everything_in_its_archive(scenes, name):
    scene = scenes[name]
    assert scene.process.returncode == 0, scene.errors
    directory = scene.directory
    assert read_json(directory.run_file)["status"] == "finished"
    assert archive_format.check_archive(directory.archive) == []
    points = {(point.name, point.step) for point in read_metrics(directory.metrics_file)}
    assert len(points) == EPOCHS * 10
    assert points <= archived_points(directory)
    messages = list(archive_format.archived_messages(directory.archive))
    names = [m["payload"]["additional_params"]["fileName"] for m in messages if m["type"] == "file_upload"]
    assert sorted(names) == sorted(f"{epoch}.json" for epoch in range(1, EPOCHS + 1)), scene.errors
    assert {m["payload"]["param"]["paramName"] for m in messages if m["type"] == "parameter_msg"} == {*PARAMS}


@pytest.mark.parametrize("name", [*AT_START, *IN_THE_MIDDLE])
def test_nothing_waits_longer_than_promised(scenes, name):
    scene = scenes[name]
    assert scene.when("started") - scene.when("starting") < START_SECONDS
    assert scene.when("done") - scene.when("started") < EPOCHS * SECONDS + 5
    assert scene.ended - scene.when("done") < END_SECONDS


@pytest.mark.parametrize("name", AT_START)
def test_a_run_that_cannot_start_online_says_so_before_it_trains(scenes, name):
    scene = scenes[name]
    assert "notice: tracking offline: Comet" in scene.errors
    assert f"python -m experiment upload {scene.directory.key[:12]}" in scene.errors
    assert ("refuses the API key" in scene.errors) == (name == "wrong key")


def has_all(scene) -> bool:
    """Tell whether the scene's server has all of the run."""
    got = scene.server.runs[scene.directory.key]
    sent = {(metric["metricName"], metric["step"]) for metric in got.metrics}
    wanted = {(point.name, point.step) for point in read_metrics(scene.directory.metrics_file)}
    return sent >= wanted and len(got.assets) == EPOCHS and {*got.parameters} == {*PARAMS}


@pytest.mark.parametrize("name", IN_THE_MIDDLE)
def test_a_run_that_was_disturbed_says_truly_whether_comet_has_all_of_it(scenes, name):
    scene = scenes[name]
    silent = "Comet does not say what it has of this run" in scene.errors
    assert ("Comet has all of this run" in scene.errors) == (has_all(scene) and not silent)
    assert (f"python -m experiment upload {scene.directory.key[:12]}" in scene.errors) == (
        silent or not has_all(scene)
    )


def test_a_server_that_throttles_for_a_while_gets_everything(scenes):
    assert has_all(scenes["429 for a while"])


@pytest.mark.parametrize("name", ["frozen", "dies", "dies and comes back", "500 to all writes"])
def test_what_comet_lacks_is_sent_by_upload_and_nothing_twice(scenes, name):
    scene = scenes[name]
    scene.server.fault = None
    done = run_forked(
        "-m", "experiment", "upload", "--all", "--runs", scene.runs, cwd=ROOT, **scene.server.environment()
    )
    assert done.returncode == 0, done.stderr + done.stdout
    got = scene.server.runs[scene.directory.key]
    sent = [(metric["metricName"], metric["step"]) for metric in got.metrics]
    assert {(point.name, point.step) for point in read_metrics(scene.directory.metrics_file)} <= {*sent}
    assert len(sent) == len({*sent})
    assert len(got.assets) == EPOCHS
    assert {*got.parameters} == {*PARAMS}


def test_what_the_server_refuses_of_a_whole_run_is_in_the_archive(scenes, refused):
    directory = RunDirectory(refused.finished())
    messages = list(archive_format.archived_messages(directory.archive))
    names = {m["payload"]["metric"]["metricName"] for m in messages if m["type"] == "metric_msg"}
    assert {"loss", "val_accuracy"} <= names
    assert sum(m["type"] == "parameter_msg" for m in messages) == len(read_json(directory.params_file))
    assert "tf-mnist-comet.h5" in json.dumps(messages)
