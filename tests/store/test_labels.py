"""Tags, notes and names: kept in run.json, carried to the archive and to Comet."""

import json
import subprocess
import sys
import time

import pytest

from experiment.comet import upload
from experiment.comet.settings import import_comet
from experiment.errors import UserError
from experiment.store import archive_writer
from experiment.store.archive_format import archived_messages, check_archive
from experiment.store.archive_reader import read_archive
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json, write_json
from experiment.store.find import Runs
from experiment.store.labels import Change, change_labels
from experiment.system.names import counted
from tests.support.comet_server import CometServer, as_uploaded
from tests.support.made_runs import make_run
from tests.support.processes import ROOT, tell


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    """A finished run with its archive."""
    directory = RunDirectory(make_run(tmp_path / "runs", "a run", run_tags=["first"]))
    archive_writer.recover(directory)
    return directory


def test_labels_are_kept_and_seen_in_list_show_and_archive(run, capsys):
    assert tell(capsys, "tag", "a run", "best", "for the paper", "best")[0] == 0
    assert tell(capsys, "tag", run.key[:8], "--remove", "first")[0] == 0
    assert tell(capsys, "note", run.key, " Keep:\nsee mail ")[0] == 0
    assert tell(capsys, "rename", "a run", "baseline")[0] == 0
    (row,) = json.loads(tell(capsys, "list", "--where", "tag:best and note~mail", "--json")[1])
    assert (row["name"], row["tags"], row["note"]) == (
        "baseline",
        ["best", "for the paper"],
        "Keep:\nsee mail",
    )
    page = tell(capsys, "show", "baseline")[1]
    assert page.startswith("baseline\n")
    assert "\ntags  best for the paper\nnote  Keep:\nnote  see mail\n" in page
    archived = read_archive(run.archive)
    assert (archived.name, archived.run["tags"], archived.run["note"]) == (
        *("baseline", ["best", "for the paper"]),
        "Keep:\nsee mail",
    )


def test_the_rest_of_the_archive_stays_as_it_was_and_one_that_is_built_anew_says_the_same(run):
    before = [message for message in archived_messages(run.archive) if message["type"] != "log_other"]
    change_labels(run, Change(name="new", note="noted"))
    after = list(archived_messages(run.archive))
    assert check_archive(run.archive) == []
    assert [message for message in after if message["type"] != "log_other"] == before
    assert [message["payload"]["message_id"] for message in after] == list(range(1, len(after) + 1))
    others = [m["payload"]["key"] for m in after if m["type"] == "log_other"]
    assert sorted(others) == ["Name", "note", "run_status"]
    archive_writer.build_archive(run)
    assert read_archive(run.archive).name == "new"
    assert read_archive(run.archive).run["note"] == "noted"


def test_without_a_text_what_is_there_is_printed_and_an_empty_note_clears_it(run, capsys):
    assert tell(capsys, "tag", "a run")[1] == f"run {run.key[:12]}  tags: first\n"
    tell(capsys, "note", "a run", "text")
    assert tell(capsys, "note", "a run")[1] == f"run {run.key[:12]}  note: text\n"
    tell(capsys, "note", "a run", "")
    assert tell(capsys, "note", "a run")[1] == f"run {run.key[:12]}  note: none\n"
    assert "note" not in read_archive(run.archive).run


def test_tags_are_given_to_all_runs_that_an_expression_means(run, capsys, tmp_path):
    for number in range(3):
        make_run(tmp_path / "runs", f"run {number}", seed=number)
    assert tell(capsys, "tag", "--where", "seed>0", "chosen", "--remove", "first")[0] == 0
    names = [row["name"] for row in json.loads(tell(capsys, "list", "--where", "tag:chosen", "--json")[1])]
    assert sorted(names) == ["run 1", "run 2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rename", "a run", " "), "name = '': should not be empty"),
        (("rename", "a run", "x" * 101), "name = 'xxxxxxxxxxxxxxxxxxxx…' has 101 characters; at most 100"),
        (("rename", "a run", "a\nb"), r"name = 'a\nb': should be one line of text"),
        (("note", "a run", "x" * 1001), "the note has 1,001 characters; at most 1,000"),
        (("note", "a run", "ghp_" + "a1" * 20), "leave out the password, token or key"),
        (("note", "a run", "my standInKey0123456789ABCDE"), "leave out the password, token or key"),
        (("tag", "a run", ""), "tag = '': should not be empty"),
        (("tag", "a run", "--remove", "no"), "run 'a run' has no tag 'no': it has 'first'"),
        (("tag", "a run", "x", "--remove", "x"), "tag 'x' is to be added and removed"),
        (("tag",), "name runs, or say which"),
        (("tag", "--where", "tag:first"), "name tags to add, or --remove one"),
        (("tag", "b run", "x"), "no run 'b run' in 'runs': did you mean 'a run'?"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(run, capsys, monkeypatch, arguments, message):
    monkeypatch.setenv("COMET_API_KEY", "standInKey0123456789ABCDE")
    before = run.run_file.read_bytes(), run.archive.read_bytes()
    code, out, errors = tell(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in errors
    assert "standInKey" not in errors
    assert (run.run_file.read_bytes(), run.archive.read_bytes()) == before


EDITS = """
import sys
from pathlib import Path
from experiment.store.directory import RunDirectory
from experiment.store.labels import Change, change_labels
run = RunDirectory(Path(sys.argv[1]))
for number in range(20):
    change_labels(run, Change(add=[str(number)]))
"""


def test_what_another_process_and_training_change_at_once_is_all_kept(tmp_path):
    run = RunDirectory(make_run(tmp_path / "runs", "alive", run_status="running"))
    with run.exclusive():  # as a run that trains
        process = subprocess.Popen([sys.executable, "-c", EDITS, str(run.path)], cwd=ROOT)
        count = 0
        while process.poll() is None:
            count += 1
            run.update_run(written=count)
            time.sleep(0.001)
    assert process.returncode == 0
    stored = read_json(run.run_file)
    assert stored["tags"] == [str(number) for number in range(20)]
    assert stored["written"] == count


def test_a_run_on_a_disk_that_cannot_be_written_to_says_so(run, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("experiment.store.directory.write_json", refuse)
    with pytest.raises(UserError, match="cannot be written to: Read-only file system"):
        change_labels(run, Change(name="x"))


def test_an_upload_brings_later_labels_to_comet_and_leaves_tags_that_were_added_there(run, monkeypatch):
    import_comet()
    with CometServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        there = server.runs[run.key] = as_uploaded(run.archive, tags=["first"])
        there.tags.append("added in Comet")
        change_labels(run, Change(name="renamed", note="noted", add=["best"], remove=["first"]))
        said: list[str] = []
        assert upload.upload(run, said.append)["verified"]
        assert (there.others["Name"], there.others["note"]) == ("renamed", "noted")
        assert there.tags == ["added in Comet", "best"]
        assert said[0].endswith(
            f"sending 2 of {counted(len(list(archived_messages(run.archive))), 'message')}"
        )
    assert upload.is_verified(run)
    change_labels(run, Change(note=""))
    assert not upload.is_verified(run)


def test_a_run_of_an_older_version_takes_labels_too(tmp_path, capsys):
    path = make_run(tmp_path / "runs", "old")
    stored = read_json(path / "run.json")
    write_json(path / "run.json", {name: stored[name] for name in ("key", "name", "status", "mode")})
    assert tell(capsys, "tag", "old", "x")[0] == 0
    assert Runs(tmp_path / "runs").read("old").run["tags"] == ["x"]
