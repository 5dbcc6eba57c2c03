"""What a run was made of: git, packages, machine, command line."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from experiment.errors import UserError
from experiment.system import machine
from experiment.system.gpu import find_gpus
from experiment.system.names import short
from experiment.system.secrets import redact

ROOT = Path(__file__).resolve().parents[2]
# A data file that is tracked and was changed would make a patch of gigabytes.
PATCH_BYTES = 5_000_000
GIT_SECONDS = 5.0  # for all that a run asks of git together
NO_ANSWER = f"git does not answer within {GIT_SECONDS:.0f} s: the run's record lacks what it did not tell"


def describe_run(
    secrets: Iterable[str | None] = (), notify: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Describe the code, packages, machine and command line of this process, redacted.

    ``notify`` is called with a sentence where git, or a GPU's driver, does not answer.
    """
    secrets = tuple(secrets)
    git, gpus = git_facts(secrets), find_gpus(notify)
    if notify and git_hangs():
        notify(NO_ANSWER)
    return {
        "command": [redact(part, secrets) for part in _command_line()],
        "git": git,
        "code_fingerprint": code_fingerprint(),
        "packages": machine.packages(),
        "python": platform.python_version(),
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processor": machine.processor(),
            "cores": machine.cores(),
            "memory_gb": round(machine.memory_gb(), 1),
            **(gpus.facts() if gpus else {}),
        },
    }


def git_facts(secrets: Iterable[str | None] = (), folder: Path | None = None) -> dict[str, Any]:
    """Return commit, branch, remote (redacted) and whether tracked files were changed.

    Of this project, or of the repository that a folder lies in. {} without git; what it does not tell in time
    is left out.
    """
    if folder is None:
        _git_patience.begin()
    commit = _git("rev-parse", "HEAD", folder=folder)
    if commit is None:
        return {}
    facts = {
        "commit": commit.strip(),
        "branch": (_git("rev-parse", "--abbrev-ref", "HEAD", folder=folder) or "").strip(),
        "origin": redact(
            (_git("config", "--get", "remote.origin.url", folder=folder) or "").strip(), secrets
        ),
    }
    # Untracked files are no part of a run's code, and looking for them takes long in a large tree.
    changes = _git("status", "--porcelain", "--untracked-files=no", folder=folder)
    return facts if changes is None else facts | {"dirty": bool(changes.strip())}


def git_hangs() -> bool:
    """Tell whether git did not answer in time; this process does not ask it again then."""
    return _git_patience.is_over


def repository(folder: Path) -> Path | None:
    """Return the top of the repository that a folder lies in, None where there is none."""
    top = _git("rev-parse", "--show-toplevel", folder=folder)
    return Path(top.rstrip("\n")) if top else None


def tracks(folder: Path) -> bool:
    """Tell whether a repository tracks anything in a folder."""
    return bool(_git("ls-files", "--", ".", folder=folder))


def git_patch(secrets: Iterable[str | None] = (), folder: Path | None = None) -> str:
    """Return the uncommitted changes of tracked files, redacted; empty without git or changes."""
    # No colours and no viewer of the user's own: the patch must apply again.
    patch = _git("diff", "HEAD", "--no-color", "--no-ext-diff", folder=folder) or ""
    return redact(patch[:PATCH_BYTES], secrets)


def code_files(root: Path | None = None) -> list[Path]:
    """Return the files that make up a run's code (train.py, experiment/, params/), by default this one's."""
    root = root or ROOT
    folders = (root / "experiment", root / "params")
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".toml")]
    return sorted([*found, root / "train.py"] if (root / "train.py").is_file() else found)


def code_fingerprint(root: Path | None = None) -> str:
    """Return the SHA-256 of the Python files of ``code_files``, names and contents, in hexadecimal."""
    root = root or ROOT
    digest = hashlib.sha256()
    for path in code_files(root):
        # TOML files are left out: what they say is among the parameters.
        if path.suffix == ".py":
            digest.update(f"{path.relative_to(root)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def restored_fingerprint(commit: str, patch: str) -> str:
    """Return the ``code_fingerprint`` of a commit and a patch on it; the working tree is not touched.

    Raises:
        UserError: a clause that says why they cannot be had.
    """
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        tree = Path(folder) / "tree"
        for reason, text, arguments in (
            (f"commit {short(commit)} is not in this repository", None, ["read-tree", commit]),
            (
                f"its uncommitted changes no longer apply to commit {short(commit)}",
                patch,
                ["apply", "--cached", "-"],
            ),
            ("there is no space for its files", None, ["checkout-index", "--all", f"--prefix={tree}/"]),
        ):
            if text != "" and _git(*arguments, text=text, variables=index) is None:
                raise UserError("git does not answer" if git_hangs() else reason)
        return code_fingerprint(tree)


def _command_line() -> list[str]:
    """Return the command as it was typed, the interpreter and the script by their names."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


class _Patience:
    """How long git may still take: GIT_SECONDS for a run, and nothing more once it was too slow."""

    def __init__(self) -> None:
        self.seconds = GIT_SECONDS
        self.is_over = False

    def begin(self) -> None:
        """Begin with another run."""
        self.seconds = GIT_SECONDS


_git_patience = _Patience()


def _git(
    *arguments: str,
    text: str | None = None,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> str | None:
    """Run git where the code lies; None where that is no repository, git is missing or does not answer."""
    if _git_patience.is_over or (folder is None and not (ROOT / ".git").exists()):
        return None  # or git would describe a repository that happens to lie around the installed package
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            ["git", "-C", str(folder or ROOT), *arguments],
            # Without locks: `status` would otherwise write the index under a commit that a person makes now.
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"} | dict(variables or {}),
            stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            # Names of files may be no UTF-8.
            encoding="utf-8",
            errors="replace",
            # A group of its own, so that git's children can be killed with it.
            start_new_session=True,
        )
    except OSError:
        return None
    try:
        output, _ = process.communicate(text, _git_patience.seconds)
    except subprocess.TimeoutExpired:
        _git_patience.is_over = True
        return None
    finally:
        _git_patience.seconds -= time.monotonic() - began
        if process.poll() is None:
            _end(process)
    return output if process.returncode == 0 else None


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a process and its children; one that waits for a dead disk is left to itself."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.5)
    for pipe in filter(None, (process.stdin, process.stdout)):
        with contextlib.suppress(OSError):
            pipe.close()
