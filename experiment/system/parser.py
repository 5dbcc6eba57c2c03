"""Command lines: one that says what is wrong in one sentence, and those that are printed as the next ones."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from experiment.system.names import short
from params.words import nearest

RUNS = "runs"  # the folder of run directories, where nothing else is said


def leave(code: int) -> NoReturn:
    """End the process now: threads of the SDK that wait for a dead server could hold it for minutes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # none, full or closed
            stream.flush()
    os._exit(code)


def end(main: Callable[[], int]) -> NoReturn:
    """Run a command and end the process with its exit code; what it printed is out before."""
    try:
        code: Any = main()
    except SystemExit as ending:
        code = ending.code
    # Here, where a full disk or a reader that left still has an exit code.
    sys.stdout.flush()
    sys.exit(code)


def command_in(runs: Path, *words: str) -> str:
    """Return a command that works as printed: quoted for a shell, with ``--runs`` where it is needed.

    Args:
        runs: the folder of run directories that the command is about.
        words: of it, the first ``train`` or ``experiment``.
    """
    script = sys.argv[0] if os.path.basename(sys.argv[0]) == "train.py" else "train.py"
    program = ["python", script] if words[0] == "train" else ["python", "-m", "experiment"]
    return shlex.join([*program, *words[1:], *_runs_flag(runs)])


def command_on(run: Path, *words: str) -> str:
    """Return a command that works as printed on one run, given its directory; as ``command_in`` else."""
    try:
        others = set(os.listdir(run.parent)) - {run.name}
    except OSError:
        others = set()
    starts = [run.name[:length] for length in range(len(short(run.name)), len(run.name) + 1)]
    unique = (start for start in starts if not any(other.startswith(start) for other in others))
    return command_in(run.parent, *words, next(unique, str(run)))


def _runs_flag(runs: Path) -> list[str]:
    try:
        below = os.path.relpath(runs)
    except OSError:  # the current folder is gone
        return ["--runs", str(runs)]
    if below == RUNS:
        return []
    return ["--runs", str(Path(runs).absolute()) if below.startswith("..") else below]


def with_signs(arguments: Sequence[str], flag: str) -> list[str]:
    """Return arguments with a flag's value joined to it: argparse takes ``-name`` for a flag of its own."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == flag and argument.startswith("-") and not argument.startswith("--"):
            joined[-1] = f"{flag}={argument}"
        else:
            joined.append(argument)
    return joined


class Parser(argparse.ArgumentParser):
    """Ends with exit code 2 and one sentence, with the nearest known name for an unknown one.

    ``synonyms`` are names of other tools' flags, without hyphens before them, and what they are here:
    a flag's name, or a hint.
    """

    def __init__(self, synonyms: Mapping[str, str] | None = None, **named: Any) -> None:
        # An abbreviation that works today is ambiguous with tomorrow's flags.
        super().__init__(allow_abbrev=False, **named)
        self._synonyms = synonyms or {}

    def parse_args(self, arguments: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; an unknown one is an error that names the nearest."""
        known, unknown = self.parse_known_args(arguments, namespace)
        if unknown:
            word = unknown[0].partition("=")[0]
            flags = [flag[2:] for action in self._actions for flag in action.option_strings if flag[2:]]
            near = nearest(word.lstrip("-"), flags, self._synonyms) if word.startswith("-") else None
            hint = f"did you mean '--{near}'?" if near in flags else near
            self.error(f"unknown argument '{word}'" + (f": {hint}" if hint else ""))
        return known

    def error(self, message: str) -> NoReturn:
        """Print one sentence, or one and its reasons in lines that begin with two spaces; exit code 2."""
        # A value that was typed may hold line breaks; lines of reasons are ours.
        first, *reasons = message.split("\n  ")
        # Of a reason the spaces count: a mark may stand below a place in the line before.
        lines = [" ".join(first.split()), *(" ".join(reason.splitlines()) for reason in reasons)]
        print(f"{self.prog}: error: " + "\n  ".join(lines), file=sys.stderr)
        raise SystemExit(2)
