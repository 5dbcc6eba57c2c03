"""A command line that says what is wrong in one sentence."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from params.words import nearest


def leave(code: int) -> NoReturn:
    """End the process now: threads of the SDK that wait for a dead server could hold it for minutes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


class Parser(argparse.ArgumentParser):
    """Ends with exit code 2 and one sentence, with the nearest known name for an unknown one.

    ``synonyms`` are names of other tools' flags, without hyphens before them, and what they are here:
    a flag's name, or a hint.
    """

    def __init__(self, synonyms: Mapping[str, str] | None = None, **named: Any) -> None:
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
        first, *reasons = message.split("\n  ")
        lines = [" ".join(line.split()) for line in (first, *reasons)]
        print(f"{self.prog}: error: " + "\n  ".join(lines), file=sys.stderr)
        raise SystemExit(2)
