"""Runs reach Comet whole and once, or are said not to have; killed runs are recovered."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from experiment.comet import upload
from experiment.store import archive_format
from experiment.store import archive_writer as archives
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json
from experiment.store.journal import MetricsJournal, Point, read_metrics
from tests.support.comet_server import CometServer
from tests.support.forked import Forked
from tests.support.processes import ROOT, command_here, run_forked, run_python, start_train
from tests.support.writer import write


@pytest.fixture
def run(offline_run, tmp_path):
    """A copy of a finished offline run in ./runs."""
    source = Path(offline_run["run_dir"])
    shutil.copytree(source, tmp_path / "runs" / source.name)
    return RunDirectory(tmp_path / "runs" / source.name)


@pytest.fixture
def server():
    with CometServer() as server:
        yield server


def command(*arguments, cwd, **variables):
    return run_forked("-m", "experiment", *arguments, cwd=cwd, **variables)


def start_upload(run, server, folder):
    """Start an upload that can be killed, or run beside others."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **server.environment()}
    return Forked(("-m", "experiment", "upload", run.key), folder, variables, stderr=subprocess.PIPE)


def points(server, key):
    return sorted((m.get("context") or "", m["metricName"], m["step"]) for m in server.runs[key].metrics)


def test_an_upload_arrives_whole_and_is_verified(run, server, tmp_path):
    done = command("upload", run.key[:8], cwd=tmp_path, **server.environment())
    assert done.returncode == 0, done.stderr + done.stdout
    ledger = read_json(run.upload_file)
    assert ledger["verified"]
    assert ledger["url"].endswith(f"/own/keras-image-classifiers/{run.key}")
    assert ledger["url"] == read_json(run.run_file)["url"] == done.stdout.splitlines()[1].strip()
    got = server.runs[run.key]
    assert {n: str(v) for n, v in got.parameters.items()} == {
        n: str(v) for n, v in read_json(run.params_file).items()
    }
    journal = {point.name for point in read_metrics(run.metrics_file)}
    assert {name.removeprefix("test_") for name in journal} <= {
        name for _, name, _ in points(server, run.key)
    }
    assert ledger["counts"]["assets"] == len(got.assets)


def test_a_second_upload_sends_nothing(run, server, tmp_path):
    command("upload", run.key, cwd=tmp_path, **server.environment())
    before, assets = points(server, run.key), len(server.runs[run.key].assets)
    done = command("upload", run.key, cwd=tmp_path, **server.environment())
    assert done.returncode == 0
    assert points(server, run.key) == before
    assert len(server.runs[run.key].assets) == assets


# The SDK's sender tries a file four times and waits 19 s in between.
IMPATIENT = "import time\nsleep = time.sleep\ntime.sleep = lambda seconds: sleep(min(seconds, 0.1))\n"


def test_what_the_server_refuses_is_listed_with_exit_code_1_and_sent_the_next_time_without_duplicates(
    server, tmp_path, monkeypatch
):
    write(tmp_path / "runs", "offline", 2, 0.0)
    (run,) = (RunDirectory(path) for path in (tmp_path / "runs").iterdir())
    (tmp_path / "sitecustomize.py").write_text(IMPATIENT)
    monkeypatch.setattr(upload, "READ_BACK_SECONDS", 0)
    server.fault, server.faulty = 500, ("asset/upload", "visualizations/upload")
    environment = server.environment() | {"COMET_HTTP_SESSION_RETRY_TOTAL": "0", "PYTHONPATH": str(tmp_path)}
    done = command_here("upload", run.key, cwd=tmp_path, **environment)
    assert done.returncode == 1, done.stderr + done.stdout
    assert "not verified" in done.stdout
    server.fault = None
    done = command_here("upload", run.key, cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr + done.stdout
    sent = points(server, run.key)
    assert len(sent) == len(set(sent))
    names = [asset.get("assetId") or asset["imageId"] for asset in server.runs[run.key].assets]
    assert len(names) == len(set(names)) == read_json(run.upload_file)["counts"]["assets"]


def test_an_upload_killed_at_random_moments_is_gone_on_with_and_sends_nothing_twice(run, server, tmp_path):
    seed = random.randrange(2**32)
    print("seed of the moments:", seed)
    moments = random.Random(seed)
    for _ in range(2):
        process = start_upload(run, server, tmp_path)
        while process.poll() is None and run.key not in server.runs:
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.6))
        process.kill()
        process.communicate()
    done = command("upload", run.key, cwd=tmp_path, **server.environment())
    assert done.returncode == 0, done.stderr + done.stdout
    sent = points(server, run.key)
    assert len(sent) == len(set(sent)) == read_json(run.upload_file)["counts"]["points"]
    names = [asset.get("assetId") or asset["imageId"] for asset in server.runs[run.key].assets]
    assert len(names) == len(set(names)) == read_json(run.upload_file)["counts"]["assets"]


def test_uploads_at_the_same_time_send_nothing_twice(run, server, tmp_path):
    processes = [start_upload(run, server, tmp_path) for _ in range(3)]
    ended = [(process.communicate(timeout=120)[1].decode(), process.returncode) for process in processes]
    assert 0 in [code for _, code in ended]
    assert all("a process is working on it" in errors for errors, code in ended if code), ended
    sent = points(server, run.key)
    assert len(sent) == len(set(sent)) == read_json(run.upload_file)["counts"]["points"]


def test_the_shells_project_does_not_redirect_an_old_run(run, server, tmp_path):
    environment = server.environment() | {"COMET_PROJECT_NAME": "elsewhere", "COMET_WORKSPACE": "other"}
    (tmp_path / ".env").write_text("COMET_PROJECT_NAME=elsewhere\n")
    command("upload", run.key, cwd=tmp_path, **environment)
    assert server.runs[run.key].project == "keras-image-classifiers"


def test_a_flag_does_redirect_it(run, server, tmp_path):
    command("upload", run.key, "--project", "new", "--workspace", "w", cwd=tmp_path, **server.environment())
    assert (server.runs[run.key].project, server.runs[run.key].workspace) == ("new", "w")


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (("upload", "{key}"), {}, "in Comet an API key is needed"),
        (("upload", "{key}"), {"COMET_API_KEY": "wrongKey9876543210zyxwv"}, "refuses the API key"),
        (("upload",), {}, "name runs, or give --all"),
        (("upload", "zzz"), {}, "no run 'zzz' in 'runs'"),
        (("show", "zzz"), {}, "no run 'zzz' in 'runs'"),
        (("lsit",), {}, "invalid choice: 'lsit'"),
        (("list", "--jsn"), {}, "unknown argument '--jsn'"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(run, server, tmp_path, arguments, variables, message):
    arguments = [argument.format(key=run.key) for argument in arguments]
    environment = (server.environment() | variables) if variables else {}
    done = command(*arguments, cwd=tmp_path, **environment)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert message in done.stderr


def test_list_and_show_tell_of_a_run_without_importing_the_sdk(run, tmp_path):
    listed = json.loads(command("list", "--json", cwd=tmp_path).stdout)
    assert [row["key"] for row in listed] == [run.key]
    assert listed[0]["changed"]["epochs"] == 2
    assert run.key[:12] in command("list", cwd=tmp_path).stdout
    assert "test accuracy" in command("show", run.key[:8], cwd=tmp_path).stdout
    shown = command("show", run.key[:8], "--all", cwd=tmp_path).stdout
    assert "test_accuracy" in shown
    assert re.search(r"started +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\n", shown)
    script = "import sys, experiment.__main__ as m; m.main(['list']); print('comet_ml' in sys.modules)"
    assert run_python("-c", script, cwd=tmp_path).stdout.splitlines()[-1] == "False"


KILLED_AFTER = [0.3, 4.0, 7.0]


@pytest.mark.parametrize("wait", KILLED_AFTER)
def test_a_run_killed_at_any_moment_is_recovered_with_every_journalled_point(digits_file, tmp_path, wait):
    """The moments count from the run directory's creation: start, training and closing."""
    process = start_train("--dataset", digits_file, "--epochs", "4000", cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("runs/*/run.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = command("recover", "--all", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("runs/*/run.json")
    directory = RunDirectory(path.parent)
    assert read_json(directory.run_file)["status"] == "interrupted"
    assert archive_format.check_archive(directory.archive) == []
    messages = list(archive_format.archived_messages(directory.archive))
    archived = [archive_format.identity(m) for m in messages if m["type"] == "metric_msg"]
    assert len(archived) == len(set(archived))
    journal = list(read_metrics(directory.metrics_file)) if directory.metrics_file.exists() else []
    assert {archive_format.identity(archives._point_message(point)) for point in journal} <= set(archived)
    sent = {m["payload"]["param"]["paramName"] for m in messages if m["type"] == "parameter_msg"}
    assert sent == set(read_json(directory.params_file))


def test_recovering_twice_changes_nothing(run):
    run.update_run(status="running")
    archives.recover(run)
    first, stored = list(archive_format.archived_messages(run.archive)), run.run_file.read_text()
    archives.recover(run)
    second = list(archive_format.archived_messages(run.archive))
    for message in (*first, *second):
        message["payload"].pop("file_path", None)
    assert first == second
    assert run.run_file.read_text() == stored


def test_a_run_that_is_alive_is_not_touched(run, tmp_path):
    run.update_run(status="running")
    with run.exclusive():
        done = command("recover", run.key, cwd=tmp_path)
    assert done.returncode == 2
    assert "is alive" in done.stderr
    assert read_json(run.run_file)["status"] == "running"


def test_a_recovered_archive_names_a_missing_asset(run):
    (segment,) = run.segments.iterdir()
    (stored,) = segment.glob("*.zip")
    journal = segment / "tmpjournal"
    shutil.unpack_archive(stored, journal)
    stored.write_bytes(b"PK\x05\x06" + bytes(18))  # what the SDK leaves of a killed run
    message = next(
        m for m in archive_format.archived_messages(run.archive) if "predictions.npz" in json.dumps(m)
    )
    lines = (journal / "messages.json").read_text().splitlines()
    line = next(json.loads(text) for text in lines if "predictions.npz" in text)
    assert line["type"] == message["type"]
    (journal / line["payload"]["file_path"]).unlink()
    run.update_run(status="running")
    assert archives.recover(run) == ["asset 'predictions.npz' was logged but its file is gone"]
    assert archive_format.check_archive(run.archive) == []


def test_a_torn_last_line_of_the_journal_is_dropped_and_written_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    journal = MetricsJournal(path)
    journal.append([Point("loss", 0.5, step, 1, 0.0) for step in range(3)])
    path.write_bytes(path.read_bytes()[:-7])
    again = MetricsJournal(path)
    assert [point.step for point in again.append([Point("loss", 0.5, s, 1, 0.0) for s in range(3)])] == [2]
    assert [point.step for point in read_metrics(path)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_closes_the_run_in_order_within_5_seconds(digits_file, tmp_path, number, code):
    arguments = ("--dataset", digits_file, "--epochs", "4000", "--runs", "out")
    process = start_train(*arguments, cwd=tmp_path, stderr=subprocess.PIPE)
    assert process.stderr
    for line in process.stderr:
        if line.startswith(b"epoch 2/"):
            break
    began = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert time.monotonic() - began < 5
    (path,) = tmp_path.glob("out/*/run.json")
    name = "Ctrl-C (SIGINT)" if number == signal.SIGINT else signal.Signals(number).name
    again = f"python {ROOT / 'train.py'} --resume {path.parent.name[:12]} --runs out"
    assert errors.decode().splitlines()[-1] == f"train.py: interrupted by {name}; go on with: {again}"
    assert read_json(path)["status"] == "interrupted"
    assert archive_format.check_archive(RunDirectory(path.parent).archive) == []
