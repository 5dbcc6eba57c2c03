"""Processes of this project that are forked where its imports are done: each spares five seconds."""

from __future__ import annotations

import atexit
import contextlib
import functools
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import IO, Any

import pytest

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.support.warm"])
Output = Any  # a connection to write to, the path of a file, or None for /dev/null


class Forked:
    """A process that does what ``python PROGRAM`` does, as ``subprocess.Popen`` as far as tests need it.

    Args:
        program: a script's path, or ``-m`` and a module; then arguments.
        cwd: the folder to be in.
        variables: the whole environment.
        stdout: PIPE, the path of a file, or None to drop it.
        stderr: likewise.
        own_session: whether it begins a session, and so a group, of its own.
    """

    def __init__(
        self,
        program: Sequence[Any],
        cwd: Path,
        variables: Mapping[str, str],
        stdout: Output = None,
        stderr: Output = None,
        own_session: bool = False,
    ) -> None:
        readers: list[Any] = []
        outputs = []
        for output in (stdout, stderr):
            reader, writer = _FORKS.Pipe(duplex=False) if output == subprocess.PIPE else (None, output)
            readers.append(reader)
            outputs.append(writer)
        words = [str(word) for word in program]
        _start_server()
        self._process = _FORKS.Process(
            target=become, args=(words, str(cwd), dict(variables), outputs, own_session)
        )
        self._process.start()
        self.stdout, self.stderr = map(_file_of, readers)
        for writer, reader in zip(outputs, readers, strict=True):
            if reader:
                writer.close()
        assert self._process.pid
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or the number of the signal that ended it, negative; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the ``returncode``."""
        return self.returncode

    def wait(self, timeout: float = 300) -> int:
        """Wait for the end; return the ``returncode``."""
        self._process.join(timeout)
        if (code := self.returncode) is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        return code

    def communicate(self, timeout: float = 300) -> tuple[bytes, bytes]:
        """Read what it writes up to its end; at most one of its outputs is a pipe."""
        deadline = time.monotonic() + timeout
        read = [pipe.read() if pipe else b"" for pipe in (self.stdout, self.stderr)]
        self.wait(max(0.0, deadline - time.monotonic()))
        for pipe in filter(None, (self.stdout, self.stderr)):
            pipe.close()
        return read[0], read[1]

    def send_signal(self, number: int) -> None:
        """Send it a signal; nothing where it has ended, as with ``subprocess``."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


def run(program: Sequence[Any], cwd: Path, variables: Mapping[str, str], timeout: float = 300) -> Any:
    """Run a program to its end; return what ``subprocess.run`` returns, outputs as text."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("stdout", "stderr")]
        process = Forked(program, cwd, variables, str(paths[0]), str(paths[1]))
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        texts = [path.read_text(encoding="utf-8") for path in paths]
    return subprocess.CompletedProcess(list(program), code, *texts)


@functools.cache
def _start_server() -> None:
    """Start the server in the tests' empty home: what its imports read, every process would have read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path.home())
        patch.setenv("PYTHONPATH", str(Path(__file__).parent.parent.parent))
        forkserver.ensure_running()


def become(
    program: list[str], cwd: str, variables: dict[str, str], outputs: list[Output], own_session: bool
) -> None:
    """Do in the process that was forked what the program does, and end as it ends."""
    if own_session:
        os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(variables)
    for number, output in enumerate(outputs, 1):
        if output is None or isinstance(output, str):
            handle = os.open(output or os.devnull, os.O_WRONLY | os.O_CREAT)
            os.dup2(handle, number)
            os.close(handle)
        else:
            os.dup2(output.fileno(), number)
            output.close()
    # As the interpreter opens them when it starts; they do not close what the next owner writes to.
    sys.stdout = sys.__stdout__ = open(  # type: ignore[misc]  # noqa: SIM115
        1, "w", encoding="utf-8", closefd=False
    )
    sys.stderr = sys.__stderr__ = open(  # type: ignore[misc]  # noqa: SIM115
        2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )
    os._exit(_exit_code(program))


def _exit_code(program: list[str]) -> int:
    code: Any = 0
    try:
        if program[0] == "-m":
            sys.argv = program[1:]
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(program)
            runpy.run_path(program[0], run_name="__main__")
    except SystemExit as ending:
        code = ending.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return code


def _file_of(reader: Any) -> IO[bytes] | None:
    if reader is None:
        return None
    file = os.fdopen(os.dup(reader.fileno()), "rb")
    reader.close()
    return file
