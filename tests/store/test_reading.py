"""Runs are found and read wherever they lie: renamed, read-only, under impossible names, before 1980."""

import shutil
import subprocess
import sys
import time

import pytest

from experiment import __main__ as command_line
from experiment.commands import train
from experiment.store import archive_format, find
from experiment.store import archive_writer as archives
from experiment.store.directory import RunDirectory
from experiment.store.find import Runs
from tests.support.made_runs import make_run

LONG = "x" * 300


def tell(capsys, *arguments) -> tuple[int, str]:
    """Run a command; return its exit code and what it printed."""
    try:
        code = command_line.main([str(argument) for argument in arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out + said.err


def test_many_runs_are_found_in_one_listing(tmp_path, monkeypatch, capsys):
    keys = [make_run(tmp_path / "runs", f"run {number}").name for number in range(20)]
    listings, list_runs = [], find.list_runs

    def count(runs):
        listings.append(runs)
        return list_runs(runs)

    monkeypatch.setattr(find, "list_runs", count)
    assert tell(capsys, "compare", *keys)[0] == 0
    assert len(listings) == 1


def test_a_renamed_run_is_found_by_its_key_and_by_the_folders_name(tmp_path):
    path = make_run(tmp_path, "one")
    renamed = path.rename(tmp_path / "best")
    for word in ("best", path.name, path.name[:8], "one", str(renamed)):
        assert Runs(tmp_path).find(word).path == renamed
    directory = Runs(tmp_path).find("best")
    assert archives.recover(directory) == []
    assert directory.archive.name == f"{path.name}.zip"


def test_of_two_copies_of_a_run_neither_is_taken_for_the_other(tmp_path):
    path = make_run(tmp_path, "one")
    shutil.copytree(path, tmp_path / "copy")
    with pytest.raises(ValueError, match="is not unique in .*copy"):
        Runs(tmp_path).find(path.name[:8])
    assert Runs(tmp_path).find("copy").key == path.name


READ_ONLY = """
set -e
mount --bind runs runs; mount -o remount,bind,ro runs
for command in "list" "show $1" "compare $1" "recover $1" "upload $1" "tag $1 x"; do
  "$2" -m experiment $command 2>&1 >/dev/null; echo "$?"
done
"""


def test_runs_that_cannot_be_written_to_are_read_and_writing_says_so(tmp_path):
    key = make_run(tmp_path / "runs", "one", run_status="running").name
    (tmp_path / "runs" / key / ".lock").touch()
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no mounts here")
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-c", READ_ONLY.replace("set -e\n", ""), "-", key, sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    said = done.stdout.splitlines()
    codes = [line for line in said if line.isdigit()]
    assert codes == ["0", "0", "0", "2", "2", "2"], done.stdout + done.stderr
    refused = [line for line in said if not line.isdigit() and "warning" not in line]
    assert len(refused) == 3
    assert all("cannot be written to: Read-only file system" in line for line in refused)


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", LONG),
        ("compare", LONG),
        ("recover", LONG),
        ("predict", LONG, "x.png"),
        ("inspect", LONG),
        ("show", "x", "--runs", LONG),
    ],
)
def test_a_name_longer_than_any_files_is_one_sentence(capsys, arguments):
    code, said = tell(capsys, *arguments)
    assert code == 2
    assert len(said.splitlines()) == 1
    assert LONG in said


@pytest.mark.parametrize("flag", ["--dataset", "--params", "--sweep", "--resume", "--rerun", "--runs"])
def test_training_answers_a_name_longer_than_any_files_in_one_sentence(capsys, monkeypatch, flag):
    monkeypatch.setenv("MNIST_NPZ", "")
    with pytest.raises(SystemExit) as end:
        train.main([flag, LONG, "--mode", "offline", *(("--dataset", "mnist-5k") * (flag == "--runs"))])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert LONG in line


def test_an_archive_is_built_while_the_clock_is_before_1980(tmp_path, monkeypatch):
    directory = RunDirectory(make_run(tmp_path, "one", run_started=100.0, run_ended=200.0))
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(100.0))
    assert archives.recover(directory) == []
    assert archive_format.check_archive(directory.archive) == []
