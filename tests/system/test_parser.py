"""Commands that are printed as the next ones work as printed."""

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experiment.commands.train_options import build_parser
from experiment.run import summary as record
from experiment.run.lifecycle import Interrupted
from experiment.store.directory import RunDirectory
from experiment.store.files import write_json
from experiment.store.find import find_run
from experiment.system.parser import command_in, command_on

KEY = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def _as_train(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py"])


def make_run(path):
    path.mkdir(parents=True)
    write_json(path / "run.json", {"key": path.name, "name": "a name", "status": "finished"})
    return path


def test_where_runs_are_where_they_are_by_default_nothing_is_added(tmp_path):
    assert command_on(tmp_path / "runs" / KEY, "experiment", "show") == (
        "python -m experiment show 0123456789ab"
    )
    assert command_in(tmp_path / "runs", "train", "--epochs", "5") == "python train.py --epochs 5"


@pytest.mark.parametrize(
    "folder", ["out", "a folder/of 'runs'", "数字", "../beside", "$HOME;ls", "runs/inner"]
)
def test_a_printed_command_finds_its_run(tmp_path, monkeypatch, folder):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = make_run((tmp_path / "here" / folder / KEY).resolve())
    printed = command_on(path, "train", "--resume")
    shell = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {printed}"], capture_output=True, text=True, check=True
    ).stdout
    words = shell.splitlines()
    assert words[:2] == ["python", "train.py"]
    options = build_parser("").parse_args(words[2:])
    assert find_run(Path(options.runs), options.resume).path == path


def test_the_run_is_named_by_as_much_as_tells_it_from_others(tmp_path):
    path = make_run(tmp_path / "runs" / KEY)
    other = make_run(tmp_path / "runs" / f"{KEY[:20]}ffffffffffff")
    short = make_run(tmp_path / "runs" / KEY[:14])
    for each, shown in ((path, KEY[:21]), (other, f"{KEY[:20]}f"), (short, str(short))):
        assert command_on(each, "experiment", "show").split()[-1] == shown
        assert find_run(tmp_path / "runs", shown).path == each


def test_a_folder_that_is_gone_ends_nothing(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert command_on(gone / "runs" / KEY, "experiment", "show").endswith(f"--runs {gone / 'runs'}")


def test_the_script_is_printed_as_it_was_called(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["../project/train.py", "--epochs", "5"])
    assert command_in(tmp_path / "runs", "train").startswith("python ../project/train.py")


@pytest.mark.parametrize("url", [None, "https://comet.invalid/a/b"])
def test_the_closing_lines_begin_with_the_link_and_end_with_what_can_be_done_next(tmp_path, url):
    path = tmp_path / "out" / KEY
    facts = {"run_dir": str(path), "key": KEY, "url": url, "archive": str(path / "comet" / f"{KEY}.zip")}
    numbers = {"test_accuracy": 0.9, "test_loss": 0.1, "epochs": 2, "epoch_s": 1.0, "process_s": 9.0}
    lines = record.closing_lines(facts | numbers | {"dataset": "mnist"}, "model.h5").splitlines()
    assert (lines[0] == f"Comet    {url}") == bool(url)
    show, upload = (f"python -m experiment {name} 0123456789ab --runs out" for name in ("show", "upload"))
    assert f"next     {show}" in lines
    assert (f"or       {upload}" in lines) != bool(url)
    for line in lines:
        if line.startswith(("next", "or")):
            assert shlex.split(line[9:])[:3] == ["python", "-m", "experiment"]


def test_an_interruption_says_by_what_and_how_to_go_on(tmp_path):
    interruption = Interrupted(signal.SIGINT)
    assert str(interruption) == "interrupted by Ctrl-C (SIGINT) before a run began"
    interruption.directory = RunDirectory(tmp_path / "out" / KEY)
    assert str(interruption) == (
        "interrupted by Ctrl-C (SIGINT); go on with: python train.py --resume 0123456789ab --runs out"
    )
    assert "interrupted by SIGTERM" in str(Interrupted(signal.SIGTERM))


def test_killed_runs_are_told_of_with_a_command_that_finds_them(tmp_path):
    assert command_in(tmp_path / "out", "experiment", "recover", "--all") == (
        "python -m experiment recover --all --runs out"
    )
