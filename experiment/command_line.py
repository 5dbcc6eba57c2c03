"""A command line that says what is wrong in one sentence."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn


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
    sys.stdout.flush()
    sys.exit(code)


class Parser(argparse.ArgumentParser):
    """Ends with exit code 2 and one sentence, with the nearest known name for an unknown one."""

    def __init__(self, **named: Any) -> None:
        super().__init__(allow_abbrev=False, **named)

    def parse_args(self, arguments: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; an unknown one is an error that names the nearest."""
        known, unknown = self.parse_known_args(arguments, namespace)
        if unknown:
            word = unknown[0].partition("=")[0]
            flags = [flag for action in self._actions for flag in action.option_strings]
            near = difflib.get_close_matches(word.lower().replace("_", "-"), flags, n=1)
            self.error(f"unknown argument '{word}'" + (f": did you mean '{near[0]}'?" if near else ""))
        return known

    def error(self, message: str) -> NoReturn:
        """Print one sentence, or one and its reasons in lines that begin with two spaces; exit code 2."""
        first, *reasons = message.split("\n  ")
        lines = [" ".join(line.split()) for line in (first, *reasons)]
        print(f"{self.prog}: error: " + "\n  ".join(lines), file=sys.stderr)
        raise SystemExit(2)
