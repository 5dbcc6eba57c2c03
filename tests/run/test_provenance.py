"""A run's origin is described."""

import contextlib
import os
import shutil
import subprocess
import time

import psutil
import pytest

from experiment.run import provenance

GITHUB_TOKEN = "ghp_" + "a1" * 18
HUGGING_FACE_TOKEN = "hf_" + "Ab" * 17


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository whose remote and uncommitted change hold tokens."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    (tmp_path / "train.py").write_text("a = 1\n")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    remote = f"https://me:{GITHUB_TOKEN}@example.org/x.git"
    subprocess.run([*git, "remote", "add", "origin", remote], check=True)
    (tmp_path / "train.py").write_text(f"token = '{HUGGING_FACE_TOKEN}'\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return tmp_path


def test_git_facts_name_commit_and_change_but_no_token(repository):
    facts = provenance.git_facts()
    assert len(facts["commit"]) == 40
    assert facts["dirty"]
    assert GITHUB_TOKEN not in str(facts)


def test_the_patch_is_redacted(repository):
    patch = provenance.git_patch()
    assert "+token = '[redacted]'" in patch
    assert HUGGING_FACE_TOKEN not in patch


def test_changed_code_changes_the_fingerprint(repository):
    before = provenance.code_fingerprint()
    (repository / "train.py").write_text("a = 2\n")
    assert provenance.code_fingerprint() != before


def test_without_git_there_are_no_git_facts(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.git_facts() == {}
    assert provenance.git_patch() == ""


@pytest.fixture
def hanging_git(repository, tmp_path, monkeypatch):
    """A git that answers what the file ``answers`` names, and hangs at all else, in a child of its own."""
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\ncase "$3" in $(cat {tmp_path}/answers)) exec {shutil.which("git")} "$@";; esac\n'
        f"echo $$ > {tmp_path}/hanging\nsleep 60\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=os.pathsep)
    monkeypatch.setattr(provenance, "GIT_SECONDS", 1.0)
    monkeypatch.setattr(provenance, "_git_patience", provenance._Patience())
    return tmp_path


@pytest.mark.parametrize("answers", ["none", "rev-parse"])
def test_a_git_that_hangs_is_waited_for_once_and_told_of(answers, hanging_git):
    (hanging_git / "answers").write_text(answers)
    notices: list[str] = []
    began = time.monotonic()
    facts = provenance.describe_run(notify=notices.append)
    assert provenance.git_patch() == ""
    with pytest.raises(ValueError, match="git does not answer"):
        provenance.restored_fingerprint("0" * 40, "")
    assert time.monotonic() - began < 10
    assert notices == [provenance.NO_ANSWER]
    assert ("commit" in facts["git"]) == (answers == "rev-parse")
    assert "dirty" not in facts["git"]
    assert not _left_of(int((hanging_git / "hanging").read_text()))


def _left_of(group: int) -> list[int]:
    """Return the processes of a group that are alive yet, a moment after they were killed."""
    deadline = time.monotonic() + 2
    while True:
        alive = []
        for process in psutil.process_iter():
            with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
                # Where nobody waits for orphans, dead ones stay as zombies.
                if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                    alive.append(process.pid)
        if not alive or time.monotonic() > deadline:
            return alive
