"""What a run was made of: git, packages, machine, command line; finding and redacting secrets."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REDACTED = "[redacted]"
PATCH_BYTES = 5_000_000

# Shapes that GitHub's and GitLab's secret scanners look for, and credentials inside URLs.
_TOKENS = re.compile(
    r"""gh[pousr]_[A-Za-z0-9]{30,} | github_pat_[A-Za-z0-9_]{40,} | glpat-[A-Za-z0-9_-]{20,}
    | (?:AKIA|ASIA)[A-Z0-9]{16} | hf_[A-Za-z0-9]{30,} | sk-[A-Za-z0-9_-]{20,} | xox[abpors]-[A-Za-z0-9-]{10,}
    | AIza[A-Za-z0-9_-]{35} | eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----[\s\S]*?-----END\ [A-Z ]*PRIVATE\ KEY-----
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@) | (?<=://)[^/\s:@]{20,}(?=@)""",
    re.VERBOSE,
)
_ASSIGNMENTS = re.compile(
    r"""((?:api[_-]?key|secret|token|passw(?:or)?d)["']?\s*[:=]\s*["']?)([A-Za-z0-9_/+.~-]{16,})""",
    re.IGNORECASE,
)


def redact(text: str, secrets: Iterable[str | None] = ()) -> str:
    """Replace known secrets, and what has the shape of one, by ``[redacted]``."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, REDACTED)
    return _ASSIGNMENTS.sub(rf"\1{REDACTED}", _TOKENS.sub(REDACTED, text))


def describe_run(secrets: Iterable[str | None] = ()) -> dict[str, Any]:
    """Describe the code, packages, machine and command line of this process, redacted."""
    secrets = tuple(secrets)
    return {
        "command": [redact(part, secrets) for part in _command_line()],
        "git": git_facts(secrets),
        "code_fingerprint": code_fingerprint(),
        "packages": packages(),
        "python": platform.python_version(),
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processor": _processor(),
            "cores": cores(),
        },
    }


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def git_facts(secrets: Iterable[str | None] = ()) -> dict[str, Any]:
    """Return commit, branch, remote (redacted) and whether tracked files were changed; {} without git."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {}
    return {
        "commit": commit.strip(),
        "branch": (_git("rev-parse", "--abbrev-ref", "HEAD") or "").strip(),
        "origin": redact((_git("config", "--get", "remote.origin.url") or "").strip(), secrets),
        "dirty": bool((_git("status", "--porcelain", "--untracked-files=no") or "").strip()),
    }


def git_patch(secrets: Iterable[str | None] = ()) -> str:
    """Return the uncommitted changes of tracked files, redacted; empty without git or changes."""
    patch = _git("diff", "HEAD", "--no-color", "--no-ext-diff") or ""
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
        if path.suffix == ".py":
            digest.update(f"{path.relative_to(root)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def restored_fingerprint(commit: str, patch: str) -> str:
    """Return the ``code_fingerprint`` of a commit and a patch on it; the working tree is not touched.

    Raises:
        ValueError: a clause that says why they cannot be had.
    """
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        if _git("read-tree", commit, **index) is None:
            raise ValueError(f"commit {commit[:12]} is not in this repository")
        if patch and _git("apply", "--cached", "-", text=patch, **index) is None:
            raise ValueError(f"its uncommitted changes no longer apply to commit {commit[:12]}")
        tree = Path(folder) / "tree"
        _git("checkout-index", "--all", f"--prefix={tree}/", **index)
        return code_fingerprint(tree)


def packages() -> dict[str, str]:
    """Return the versions of the packages that a result can depend on."""
    names = ("comet-ml", "keras", "matplotlib", "numpy", "pillow", "pydantic", "scikit-learn", "tensorflow")
    return {name: importlib.metadata.version(name) for name in names if _installed(name)}


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _command_line() -> list[str]:
    """Return the command as it was typed, the interpreter and the script by their names."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _git(*arguments: str, text: str | None = None, **variables: str) -> str | None:
    """Run git where the code lies; None where that is no repository or git is missing."""
    if not (ROOT / ".git").exists():
        return None  # or git would describe a repository that happens to lie around the installed package
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            input=text,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
