"""Standard streams that are full, closed, narrow or read by nobody: no run ends for what it prints."""

import contextlib
import io
import json
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from experiment.store.files import read_json
from experiment.store.journal import read_metrics
from experiment.system import streams
from experiment.system.console import Console, without_stderr
from tests.support.forked import Forked
from tests.support.made_runs import make_run
from tests.support.processes import ROOT, TRAIN, run_python

NAME = "Katzen, Hündchen, 猫 \U0001f600 …"
FULL = "stdout cannot be written to: No space left on device"


def run_with(folder, stdout, stderr, *arguments, **variables):
    """Run Python with each stream "kept", "full", "closed", or "unread": a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    full = os.open("/dev/full", os.O_WRONLY)
    to = {"kept": subprocess.PIPE, "full": full, "unread": write, "closed": None}
    redirections = f"{'>&-' if stdout == 'closed' else ''} {'2>&-' if stderr == 'closed' else ''}"
    try:
        return subprocess.run(
            ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            stdout=to[stdout],
            stderr=to[stderr],
            text=True,
            timeout=300,
        )
    finally:
        os.close(write)
        os.close(full)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a run whose name few encodings have, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("streams")
    make_run(folder / "runs", NAME)
    torn = make_run(folder / "runs", "torn")
    (torn / "run.json").write_text("{")
    return folder


@pytest.mark.parametrize(
    "command", ["list", "list --json", "show Katz", "compare --json", "--help", "list -h"]
)
def test_a_command_that_nobody_reads_ends_quietly(command, folder):
    command = command.replace("Katz", NAME).split(" ", 1) if command.startswith("show") else command.split()
    done = run_with(folder, "unread", "kept", "-m", "experiment", *command)
    said = [line for line in done.stderr.splitlines() if not line.startswith("left out: ")]
    assert (done.returncode, said) == (streams.CLOSED_PIPE, [])


@pytest.mark.parametrize("command", ["list", "list --json", "--help"])
def test_a_command_that_cannot_say_what_it_is_for_fails_in_one_sentence(command, folder):
    done = run_with(folder, "full", "kept", "-m", "experiment", *command.split())
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"python -m experiment: error: {FULL}"
    assert "Traceback" not in done.stderr


def test_a_command_without_stdout_does_its_work(folder):
    done = run_with(folder, "closed", "kept", "-m", "experiment", "list")
    assert done.returncode == 0
    assert "Error" not in done.stderr


@pytest.mark.parametrize("stderr", ["full", "closed", "unread"])
def test_what_belongs_to_stderr_is_dropped_and_not_printed_elsewhere(stderr, folder):
    done = run_with(folder, "kept", stderr, "-m", "experiment", "list", "--json")
    assert done.returncode == 0
    assert [row["name"] for row in json.loads(done.stdout)] == [NAME]


@pytest.mark.parametrize("stderr", ["full", "closed", "unread"])
@pytest.mark.parametrize("program", [[ROOT / "train.py", "--epochs", "x"], ["-m", "experiment", "show", "x"]])
def test_bad_input_is_exit_code_2_even_where_it_cannot_be_said(stderr, program, folder):
    done = run_with(folder, "kept", stderr, *program)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_whole_in_any_encoding(encoding, folder):
    done = run_python("-m", "experiment", "list", "--json", cwd=folder, PYTHONIOENCODING=encoding)
    assert [row["name"] for row in json.loads(done.stdout)] == [NAME]


def test_text_has_escapes_for_what_its_encoding_lacks(folder):
    done = run_python("-m", "experiment", "list", cwd=folder, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "Katzen, H\\xfcndchen, \\u732b" in done.stdout


def test_a_name_of_bytes_that_are_no_text_is_printed(folder, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    make_run(tmp_path / "runs", "other", run_tags=[]).rename(tmp_path / "runs" / "x")
    done = run_python("-m", "experiment", "show", name, cwd=tmp_path)
    assert done.returncode == 2
    done = run_python(
        "-c", f"from experiment.system import streams; streams.print_json({name!r})", cwd=tmp_path
    )
    assert json.loads(done.stdout) == name


@pytest.mark.parametrize("stderr", ["full", "closed", "unread"])
def test_a_program_around_a_run_need_not_settle_its_streams(stderr, tmp_path):
    nobody = {"COMET_API_KEY": "k" * 25, "COMET_URL_OVERRIDE": "http://127.0.0.1:9/clientlib"}
    done = run_with(
        tmp_path, "kept", stderr, "-m", "tests.support.writer", "runs", "online", "2", "0", **nobody
    )
    assert done.returncode == 0
    (path,) = (tmp_path / "runs").iterdir()
    assert read_json(path / "run.json")["status"] == "finished"
    assert [json.loads(line)["what"] for line in done.stdout.splitlines()][-1] == "done"


def unread() -> Any:
    """Return the end to write to of a pipe that nobody reads."""
    reader, writer = multiprocessing.Pipe(duplex=False)
    reader.close()
    return writer


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["full and closed", "unread"])
def test_a_run_is_finished_whatever_becomes_of_its_streams(streams, digits_file, tmp_path):
    command = (TRAIN, "--dataset", digits_file, "--epochs", "1", "--mode", "offline", "--json")
    if streams == "unread":
        variables = {**os.environ, "PYTHONPATH": str(ROOT)}
        code = Forked(command, tmp_path, variables, unread(), unread()).wait()
    else:  # what Python makes of a stream that is closed when it starts, a process of its own alone shows
        code = run_with(tmp_path, "full", "closed", *command).returncode
    assert code == 0
    (path,) = (tmp_path / "runs").iterdir()
    assert read_json(path / "run.json")["status"] == "finished"
    assert "test_accuracy" in read_json(path / "results.json")
    lines = (path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len([*read_metrics(path / "metrics.jsonl")])  # and nothing of what TensorFlow prints


def test_a_run_says_that_its_json_is_lost(tmp_path):
    script = (
        "from experiment.system import streams\nstreams.settle_for_run('train.py')\n"
        "streams.print_json({})\nstreams.print_json({})"
    )
    done = run_with(tmp_path, "full", "kept", "-c", script)
    sentence = "train.py: stdout cannot be written to (No space left on device): its text is lost\n"
    assert (done.returncode, done.stderr) == (0, sentence)


@contextlib.contextmanager
def terminal(monkeypatch):
    """Make a terminal of 80 columns stderr; give a function that returns the lines written to it."""
    master, slave = os.openpty()
    os.set_blocking(master, False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = io.TextIOWrapper(io.FileIO(slave, "w", closefd=False), write_through=True)
    monkeypatch.setattr(sys, "stderr", stream)

    def read() -> list[str]:
        content = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(master, 1 << 16):
                content += part
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", content.decode())
        return [line.strip() for line in re.split(r"[\r\n]+", text)]

    yield read
    os.close(master)
    os.close(slave)


def test_on_a_terminal_the_bar_moves_within_an_epoch_and_each_epochs_line_stays(monkeypatch):
    metrics = {"loss": 0.5, "accuracy": 0.8, "val_loss": 0.4, "val_accuracy": 0.9, "epoch_seconds": 12.3}
    with terminal(monkeypatch) as read:
        console = Console()
        console.start(2, 0)
        console.compiled()
        for epoch in (1, 2):
            console.within_epoch(epoch, 0.25)
            time.sleep(0.15)  # until the bar is drawn anew
            console.within_epoch(epoch, 1.0)
            console.epoch(epoch, 2, metrics)
        console.notice("above the bar")
        console.stop()
        seen = read()
    rest = "2  loss 0.5000  val_loss 0.4000  val_accuracy 0.9000  12.30 s"
    assert [line for line in seen if "loss" in line] == [f"epoch 1/{rest}", f"epoch 2/{rest}"]
    assert any(line.startswith("epoch 1/2") and "25%" in line for line in seen)
    assert "notice: above the bar" in seen


def test_what_happens_before_the_first_epoch_is_shown_with_its_seconds(monkeypatch):
    monkeypatch.setattr("experiment.system.console.NOTICED", 0.0)
    with terminal(monkeypatch) as read:
        console = Console()
        with console.doing("import TensorFlow"), without_stderr():
            console.notice("meanwhile")
        console.start(1, 0)
        console.compiled()
        console.stop()
        seen = read()
    assert any(re.fullmatch(r"\S import TensorFlow 0:00:00", line) for line in seen)
    assert "import TensorFlow  0.0 s" in seen
    assert "compile the epochs  0.0 s" in seen
    assert "notice: meanwhile" in seen


def test_a_terminal_that_goes_away_does_not_end_a_run(monkeypatch):
    master, slave = os.openpty()
    terminal = io.TextIOWrapper(io.FileIO(slave, "w", closefd=False), write_through=True)
    monkeypatch.setattr(sys, "stderr", terminal)
    console = Console()
    console.start(3, 0)
    console.epoch(1, 3, {"loss": 1.0, "epoch_seconds": 1.0})
    os.close(master)
    console.within_epoch(2, 0.5)
    console.epoch(2, 3, {"loss": 0.5, "epoch_seconds": 1.0})
    console.notice("the terminal is gone")
    console.stop()
    console.say("still going")
    with pytest.raises(OSError, match="Input/output error"):
        print("as it would be", file=terminal)
    os.close(slave)
    assert console.notices == ["the terminal is gone"]


@pytest.mark.parametrize("state", ["none", "closed", "full"])
def test_a_console_needs_no_stderr(state, monkeypatch, capfd):
    with open("/dev/full", "wb", buffering=0) as file:
        stream = io.TextIOWrapper(file, write_through=True)
        if state == "closed":
            file.close()
        monkeypatch.setattr(sys, "stderr", None if state == "none" else stream)
        console = Console()
        console.start(1, 0)
        with without_stderr(), console.counting() as count:
            count("some", 1, 1)
        console.notice("something")
        monkeypatch.undo()
    assert capfd.readouterr().out == ""


def test_a_full_folder_for_temporary_files_does_not_end_what_is_kept_quiet(monkeypatch):
    def refuse():
        raise OSError("No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with without_stderr():
        done = True
    assert done


def test_a_pipe_that_does_not_block_gets_everything():
    read, write = os.pipe()
    os.set_blocking(write, False)
    got: list[bytes] = []

    def take() -> None:
        with open(read, "rb") as pipe:
            got.append(pipe.read())

    reader = threading.Thread(target=take)
    stream = streams.forgiving(None, write)
    reader.start()
    stream.write("x" * 1_000_000)
    stream.flush()
    os.close(write)
    reader.join()
    assert len(got[0]) == 1_000_000
