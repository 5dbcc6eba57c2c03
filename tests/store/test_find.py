"""Which run a word on a command line means, and what is said where it means none."""

import shutil
from pathlib import Path

import pytest

from experiment.store import archive_writer as archives
from experiment.store.directory import RunDirectory
from experiment.store.find import Runs, UnknownRun
from experiment.store.record import ARCHIVE, DIRECTORY
from tests.support.made_runs import make_run


@pytest.fixture
def runs(tmp_path) -> Path:
    """A folder of three runs; the third was renamed."""
    for name in ("Ada", "mnist mlp adamax 947b8b", "baseline"):
        path = make_run(tmp_path / "runs", name)
    path.rename(tmp_path / "runs" / "kept_for_later")
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("ada", "Ada"),
        ("basline", "baseline"),
        ("adamax", "mnist mlp adamax 947b8b"),
        ("kept-for-latr", "kept_for_later"),
    ],
)
def test_a_name_that_is_near_one_that_is_there_is_suggested(runs, word, meant):
    with pytest.raises(UnknownRun) as caught:
        Runs(runs).find(word)
    assert str(caught.value) == f"no run '{word}' in '{runs}': did you mean '{meant}'?"


@pytest.mark.parametrize("word", ["zzz", "", "x" * 300, "0" * 40])
def test_of_a_name_that_is_near_none_nothing_is_suggested(runs, word):
    with pytest.raises(UnknownRun) as caught:
        Runs(runs).find(word)
    assert str(caught.value) == f"no run '{word}' in '{runs}'"


def test_a_suggested_name_cannot_turn_the_terminal_about(tmp_path):
    make_run(tmp_path, "best\x1b[2J")
    with pytest.raises(UnknownRun, match=r"did you mean 'best\\x1b\[2J'"):
        Runs(tmp_path).find("best")


def test_the_archive_in_a_run_directory_means_that_run(runs):
    directory = Runs(runs).find("Ada")
    archives.recover(directory)
    assert Runs(runs).find(str(directory.archive)).path == directory.path


def test_an_archive_alone_is_read_but_is_no_run_directory(runs, tmp_path):
    directory = Runs(runs).find("Ada")
    archives.recover(directory)
    alone = shutil.copy(directory.archive, tmp_path / "alone.zip")
    assert Runs(runs).read(str(alone)).key == directory.key
    with pytest.raises(ValueError, match="alone.zip' is a file, where a run directory is needed"):
        Runs(runs).find(str(alone))


def test_a_file_that_is_called_as_a_run_does_not_hide_it_from_who_needs_its_directory(runs, monkeypatch):
    (runs.parent / "Ada").write_text("a file")
    monkeypatch.chdir(runs.parent)
    assert Runs(runs).find("Ada").key == RunDirectory(Runs(runs).find("Ada").path).key


def test_directory_and_archive_tell_the_same_of_a_run(runs):
    directory = Runs(runs).find("Ada")
    archives.recover(directory)
    read, archived = Runs(runs).read("Ada"), Runs(runs).read(str(directory.archive))
    assert (read.kind, archived.kind) == (DIRECTORY, ARCHIVE)
    assert (archived.key, archived.params) == (read.key, read.params)
    assert (read.code(), read.patch()) == (archived.code(), archived.patch()) == ({}, "")


def test_where_the_archive_is_damaged_the_run_is_read_without_its_code(runs):
    directory = Runs(runs).find("Ada")
    archives.recover(directory)
    directory.archive.write_bytes(directory.archive.read_bytes()[:100])
    assert (Runs(runs).read("Ada").code(), Runs(runs).read("Ada").patch()) == ({}, "")
