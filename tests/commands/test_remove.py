"""Runs go to the trash and come back; nothing that is alive, or that a kill interrupts, is lost."""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiment.comet.settings import import_comet
from experiment.errors import UserError
from experiment.run.resume import check_resumable
from experiment.store import archive_writer, trash
from experiment.store.directory import RunDirectory
from experiment.store.files import write_json
from experiment.store.find import Runs, list_runs, waiting_runs
from params.spec import Params
from tests.support.comet_server import CometServer, as_uploaded
from tests.support.made_runs import make_run
from tests.support.processes import ROOT, tell


@pytest.fixture
def runs(tmp_path) -> Path:
    """Three finished runs with archives and checkpoints, and one that failed."""
    for number in range(3):
        directory = RunDirectory(make_run(tmp_path / "runs", f"run {number}", seed=number))
        directory.checkpoints.mkdir()
        (directory.checkpoints / "weights").write_bytes(bytes(10_000))
        archive_writer.recover(directory)
    make_run(tmp_path / "runs", "failed", run_status="failed", seed=9)
    return tmp_path / "runs"


def names(runs) -> list[str]:
    return sorted(Runs(runs).read(path.name).name for path in list_runs(runs))


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_removed_run_is_seen_by_no_command_and_comes_back_as_it_was(runs, capsys):
    path = Runs(runs).find("run 1").path
    before = contents(path)
    code, out, _ = tell(capsys, "remove", "run 1", "--yes")
    assert code == 0
    assert f"run {path.name[:12]}  run 1  0.0 MB\n  it was not uploaded\n" in out
    assert names(runs) == ["failed", "run 0", "run 2"]
    assert waiting_runs(runs) == []
    assert tell(capsys, "show", path.name)[0] == 2
    assert "run 1" not in tell(capsys, "compare", "--json")[1]
    code, out, _ = tell(capsys, "remove", "--undo")
    assert (code, out) == (0, f"back: {path}\n")
    assert {name: content for name, content in contents(path).items() if name != ".lock"} == {
        name: content for name, content in before.items() if name != ".lock"
    }
    assert names(runs) == ["failed", "run 0", "run 1", "run 2"]


def test_the_last_removal_comes_back_or_the_runs_that_are_named(runs, capsys):
    tell(capsys, "remove", "run 0", "--yes")
    tell(capsys, "remove", "--where", "seed>0 and status=finished", "--yes")
    assert names(runs) == ["failed"]
    tell(capsys, "remove", "--undo", "run 0", "run 2")
    assert names(runs) == ["failed", "run 0", "run 2"]
    tell(capsys, "remove", "--undo")
    assert names(runs) == ["failed", "run 0", "run 1", "run 2"]
    assert tell(capsys, "remove", "--undo")[0] == 2


def test_what_would_overwrite_a_run_is_not_brought_back(runs, capsys):
    path = Runs(runs).find("run 0").path
    tell(capsys, "remove", "run 0", "--yes")
    make_run(runs, "run 0")
    code, _, errors = tell(capsys, "remove", "--undo")
    assert code == 2
    assert f"'{path}' is there already" in errors
    path.rename(runs / "another")
    assert tell(capsys, "remove", "--undo")[0] == 0


def test_what_is_alive_keeps_all_from_being_removed(runs, capsys):
    with Runs(runs).find("run 1").exclusive():
        code, _, errors = tell(capsys, "remove", "run 0", "run 1", "--yes")
        assert (code, len(names(runs))) == (2, 4)
        assert "1 run is alive or being sent, nothing is removed" in errors
        assert 'add "and status!=running"' in tell(capsys, "remove", "--where", "seed<5", "--yes")[2]
        assert tell(capsys, "remove", "--checkpoints-only", "run 1", "--yes")[0] == 2
    with pytest.raises(UserError, match="is alive"), Runs(runs).find("run 2").exclusive():
        list(trash.throw_away([RunDirectory(Runs(runs).find("run 2").path)]))
    assert len(names(runs)) == 4


def test_without_a_terminal_a_run_that_is_nowhere_else_needs_yes(runs, capsys):
    code, out, errors = tell(capsys, "remove", "run 0", "run 1")
    assert code == 2
    assert "of 2 of 2 runs no whole copy was found elsewhere: give --yes to remove all the same" in errors
    assert len(names(runs)) == 4


@pytest.mark.parametrize(("answer", "left"), [("y\n", 3), ("no\n", 4), ("", 4)])
def test_on_a_terminal_a_person_is_asked(runs, capsys, monkeypatch, answer, left):
    monkeypatch.setattr(sys, "stdin", Typed(answer))
    monkeypatch.setattr("experiment.system.streams.is_terminal", lambda: True)
    assert "no whole copy was found elsewhere; remove? [y/N] " in tell(capsys, "remove", "run 0")[2]
    assert len(names(runs)) == left


class Typed:
    """A terminal where somebody types."""

    def __init__(self, answer) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.answer


def test_an_archive_elsewhere_counts_if_it_has_all_of_the_run(runs, capsys, tmp_path):
    directory = Runs(runs).find("run 0")
    (tmp_path / "safe").mkdir()
    shutil.copy(directory.archive, tmp_path / "safe" / "copy.zip")
    code, out, _ = tell(capsys, "remove", "run 0", "--archives", "safe")
    assert code == 0
    assert f"'{tmp_path / 'safe' / 'copy.zip'}' has all of it" in out
    tell(capsys, "remove", "--undo")
    metric = {"name": "later", "value": 1.0, "step": 99, "epoch": 9, "time": 1.7e9}
    with directory.metrics_file.open("a") as journal:
        journal.write(json.dumps(metric) + "\n")
    archive_writer.build_archive(directory)
    code, out, errors = tell(capsys, "remove", "run 0", "--archives", "safe")
    assert code == 2
    assert "copy.zip' is an archive of it, and lacks something" in out


def test_comet_is_asked_where_a_key_is_configured_and_else_its_ledger(runs, capsys, monkeypatch):
    directory = Runs(runs).find("run 0")
    monkeypatch.setenv("COMET_HTTP_SESSION_RETRY_TOTAL", "0")
    import_comet()
    with CometServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        assert "Comet does not have it" in tell(capsys, "remove", "run 0")[1]
        there = server.runs[directory.key] = as_uploaded(directory.archive)
        lost = there.metrics.pop()
        assert (
            f"Comet lacks metric {lost['context']}_{lost['metricName']}" in tell(capsys, "remove", "run 0")[1]
        )
        there.metrics.append(lost)
        code, out, _ = tell(capsys, "remove", "run 0")
        assert code == 0
        assert "Comet has all of it, read back now: " in out
        tell(capsys, "remove", "--undo")
        write_json(directory.upload_file, {"verified": True, "uploaded": time.time(), "url": None})
        server.fault, server.faulty = 500, ("",)
        code, out, _ = tell(capsys, "remove", "run 0")
        assert code == 0
        assert "by upload.json; not read back now: " in out
    tell(capsys, "remove", "--undo")
    monkeypatch.delenv("COMET_API_KEY")
    assert "Comet had all of it on 20" in tell(capsys, "remove", "run 0")[1]


def test_runs_that_repeat_it_and_the_sweep_that_it_is_part_of_are_named(runs, capsys):
    original = Runs(runs).find("run 0")
    original.update_run(sweep={"sweep": "0123456789-abcdef01", "number": 3, "attempt": 1})
    again = make_run(runs, "again", run_rerun={"of": original.key, "place": str(original.path)})
    said = tell(capsys, "remove", "run 0", "--yes")[1]
    assert f"\n  repeated by {again.name[:12]}\n" in said
    assert "\n  trial 3 of sweep 0123456789-abcdef01: that trains it anew\n" in said


def test_checkpoints_of_finished_runs_alone_are_deleted_and_their_size_is_said(runs, capsys):
    code, out, _ = tell(capsys, "remove", "--checkpoints-only", "--where", "seed>=0", "--yes")
    assert (code, out) == (0, "freed 0.0 MB; 1 run not finished, left as they are\n")
    for name in ("run 0", "run 1", "run 2"):
        assert list(Runs(runs).find(name).checkpoints.iterdir()) == []
    assert "its checkpoints" in tell(capsys, "remove", "--checkpoints-only", "failed", "--yes")[2]
    facts = {"dataset": {"fingerprint": "d" * 64, "split_fingerprint": "e" * 64}}
    directory = Runs(runs).find("run 0")
    write_json(directory.params_file, {"epochs": 3})
    with pytest.raises(UserError, match="cannot be trained further: it has no checkpoint any more"):
        check_resumable(directory, Params(epochs=9), facts, print)


def test_the_trash_is_deleted_for_good_and_only_when_told_so(runs, capsys):
    tell(capsys, "remove", "run 0", "--yes")
    assert "give --yes" in tell(capsys, "remove", "--empty-trash")[2]
    code, out, _ = tell(capsys, "remove", "--empty-trash", "--yes")
    assert out.startswith("freed ")
    assert "is empty" in tell(capsys, "remove", "--undo")[2]
    assert names(runs) == ["failed", "run 1", "run 2"]


REMOVE = """
import sys
from pathlib import Path
from experiment.store import trash
from experiment.store.directory import RunDirectory
from experiment.store.find import list_runs
runs = Path(sys.argv[1])
print("ready", flush=True)
while True:
    directories = [RunDirectory(path) for path in list_runs(runs)]
    for directory in directories:
        trash.remove_checkpoints(directory)
    list(trash.throw_away(directories))
    trash.bring_back(runs)
"""


def test_a_kill_at_any_moment_leaves_each_run_whole_in_one_place(tmp_path):
    runs = tmp_path / "runs"
    for number in range(12):
        make_run(runs, f"run {number}")
        (runs / list_runs(runs)[0].name / "checkpoints").mkdir(exist_ok=True)
    seed = random.randrange(2**32)
    print("seed of the moments:", seed)
    moments = random.Random(seed)
    for _ in range(2):
        command = [sys.executable, "-c", REMOVE, str(runs)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        process.communicate()
        here = {path.name for path in list_runs(runs)}
        there = {path.parent.name for path in (runs / trash.TRASH).glob("*/*/run.json")}
        assert (len(here | there), here & there) == (12, set())
        while there:
            there -= {path.name for path in trash.bring_back(runs)}
        assert len(list_runs(runs)) == 12
        assert all(Runs(runs).read(path.name).results for path in list_runs(runs))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--undo", "--where", "seed=0"), "--where does not see the trash"),
        (("--undo", "run 0"), "nothing to bring back"),
        (("--empty-trash", "run 0"), "--empty-trash takes no runs"),
        (("run 0", "--archives", "nowhere"), "--archives 'nowhere' is no folder"),
        (("run 0", "--where", "seed=0"), "not both"),
        ((), "name runs, or say which"),
        (("--where", "seed>90"), "no run in runs is so"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_removed(runs, capsys, arguments, message):
    code, out, errors = tell(capsys, "remove", *arguments, "--yes")
    assert (code, out, len(names(runs))) == (2, "", 4)
    assert message in errors
