"""The command lines run from a test: in processes of their own, or in this one where that will do."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import forked

ROOT = Path(__file__).parent.parent.parent
TRAIN = ROOT / "train.py"


def run_python(*arguments, cwd, timeout=300, **variables) -> subprocess.CompletedProcess:
    """Run a Python process of this project in a folder, with the isolated environment and more variables."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def run_train(*arguments, cwd, timeout=300, **variables) -> subprocess.CompletedProcess:
    """Run train.py."""
    return run_python(TRAIN, *arguments, cwd=cwd, timeout=timeout, **variables)


def run_forked(*arguments, cwd, timeout=300, **variables) -> subprocess.CompletedProcess:
    """Run what ``run_python`` runs, a script or ``-m`` and a module, in one that has done its imports."""
    return forked.run(arguments, cwd, {**os.environ, "PYTHONPATH": str(ROOT), **variables}, timeout)


def start_train(*arguments, cwd, stderr=None) -> forked.Forked:
    """Start train.py, its imports done, in a session of its own; ``stderr`` is PIPE, or dropped."""
    program = (TRAIN, *arguments)
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return forked.Forked(program, cwd, variables, stderr=stderr, own_session=True)


def train_here(*arguments, cwd, **variables) -> subprocess.CompletedProcess:
    """Run what train.py runs in this process, which has imported TensorFlow already or does so once."""
    from experiment.commands import train

    return _here(train.main, arguments, cwd, variables)


def command_here(*arguments, cwd, **variables) -> subprocess.CompletedProcess:
    """Run ``python -m experiment`` in this process."""
    from experiment.__main__ import main

    return _here(main, arguments, cwd, variables)


def tell(capsys, *arguments) -> tuple[int, str, str]:
    """Run ``python -m experiment`` in this process and folder; return exit code, stdout and stderr."""
    from experiment.__main__ import main

    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    return code, *capsys.readouterr()


def _here(main, arguments, cwd, variables) -> subprocess.CompletedProcess:
    words = [str(argument) for argument in arguments]
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as errors,
    ):
        patch.chdir(cwd)
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess(words, code, out.getvalue(), errors.getvalue())
