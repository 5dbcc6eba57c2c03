"""Which network of the user's own a command line means: its parameters are flags of that command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from experiment.errors import UserError
from experiment.store.find import Runs
from experiment.system.parser import RUNS
from params.checks import OWN_MODEL
from params.load import read_params


def model_of(arguments: Sequence[str]) -> str | None:
    """Return the FILE.py:FUNCTION that arguments name: by a flag, a parameter file, or a run to go on from.

    Raises:
        UserError: a run's own network is not where it was.
    """
    parser = _Quiet(add_help=False, allow_abbrev=False)
    for flag in ("--model", "--params", "--resume", "--rerun"):
        parser.add_argument(flag)
    parser.add_argument("--runs", default=RUNS)
    try:
        found, _ = parser.parse_known_args(arguments)
        named = found.model or (read_params(found.params).get("model") if found.params else None)
    except UserError:
        return None  # told by the parser of the whole
    if found.resume or found.rerun:
        named = _of_run(Path(found.runs), found.resume or found.rerun, named)
    return named if isinstance(named, str) and OWN_MODEL.fullmatch(named) else None


class _Quiet(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def _of_run(runs: Path, run: str, named: str | None) -> str | None:
    """Return the network of a run that lies here; of one in Comet, what was named beside it."""
    try:
        record = Runs(runs).read(run)
    except UserError:
        return named
    model = str(record.params.get("model") or "")
    if named or not (matched := OWN_MODEL.fullmatch(model)):
        return named
    source: str = record.run.get("model", {}).get("source") or model
    place = source.rpartition(":")[0]
    if matched["place"].endswith(".py") and not Path(place).is_file():
        raise UserError(
            f"the network of run {run} is not in '{place}' any more: give --model FILE.py:FUNCTION"
        )
    return source
