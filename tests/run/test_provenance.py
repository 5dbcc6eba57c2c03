"""Secrets are found; a run's origin is described."""

import contextlib
import os
import shutil
import subprocess
import time

import psutil
import pytest

from experiment.system import provenance

SECRETS = [
    "ghp_" + "a1" * 18,
    "github_pat_" + "a1" * 30,
    "glpat-" + "x" * 20,
    "AKIA" + "ABCDEFGH12345678",
    "hf_" + "Ab" * 17,
    "sk-" + "Ab1" * 10,
    "xoxb-1234567890-abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_token_is_found_by_its_shape(secret):
    assert provenance.redact(f"before {secret} after") == "before [redacted] after"


def test_a_known_secret_of_any_shape_is_redacted():
    assert provenance.redact("x=plain y", ["plain", None, ""]) == "x=[redacted] y"


def test_credentials_in_an_url_are_redacted():
    url = "https://someone:secretword@example.org/repo.git"
    assert provenance.redact(url) == "https://[redacted]@example.org/repo.git"


def test_an_assigned_secret_is_redacted_and_its_name_kept():
    text = "COMET_API_KEY=abcdefghij0123456789xyz"
    assert provenance.redact(text) == "COMET_API_KEY=[redacted]"


@pytest.mark.parametrize(
    "text", ["layer-1-size = 128", "runs/0123456789abcdef0123456789abcdef01234567", "https://example.org/a@b"]
)
def test_ordinary_text_stays_as_it_is(text):
    assert provenance.redact(text) == text


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository whose remote and uncommitted change hold tokens."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    (tmp_path / "train.py").write_text("a = 1\n")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    remote = f"https://me:{SECRETS[0]}@example.org/x.git"
    subprocess.run([*git, "remote", "add", "origin", remote], check=True)
    (tmp_path / "train.py").write_text(f"token = '{SECRETS[4]}'\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return tmp_path


def test_git_facts_name_commit_and_change_but_no_token(repository):
    facts = provenance.git_facts()
    assert len(facts["commit"]) == 40
    assert facts["dirty"]
    assert SECRETS[0] not in str(facts)


def test_the_patch_is_redacted(repository):
    patch = provenance.git_patch()
    assert "+token = '[redacted]'" in patch
    assert SECRETS[4] not in patch


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
