"""``train.py``: one run, a run gone on with, a run repeated, or a sweep."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiment.commands import many
from experiment.commands.own_model import model_of
from experiment.commands.signals import on_first_signal
from experiment.commands.train_options import build_parser, check_together, given_flags, run_options
from experiment.errors import UserError
from experiment.system import streams
from experiment.system.environment import read_environment
from experiment.system.names import counted, short
from experiment.system.parser import command_in
from params.load import check_params, load_params
from params.spec import Params

if TYPE_CHECKING:
    from experiment.run.lifecycle import RunFailed
    from experiment.run.purpose import Purpose
    from experiment.store.directory import RunDirectory

# What of a run's own record it takes to go on with it.
RESUMABLE = (
    *("dataset.source", "dataset.fingerprint", "dataset.split_fingerprint", "code_fingerprint"),
    *("packages", "python", "workspace", "project", "tags"),
)


# What a run imports only once its directory is there.
NEEDED = ("keras", "matplotlib", "rich", "tensorflow")


def main(arguments: Sequence[str] | None = None, description: str = "") -> int:
    """Run the command line.

    Returns:
        The exit code: 0 done, 1 failed or a rerun is different, 2 bad input, 128 + signal interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = build_parser(description)
    try:
        if own := model_of(arguments):
            # Its parameters are flags, so it is imported before the command line can be understood.
            from experiment.run.own_model import spec_of

            spec = spec_of(own)
            parser = build_parser(description, spec)
        else:
            spec = Params
        options = parser.parse_args(arguments)
        flags = given_flags(options)
        check_together(options)
        _check_installed()
        if options.resume:
            return _resume(options, flags, spec)
        if options.rerun:
            return _rerun(options, flags, spec)
        params = load_params(options.params, flags, spec)
        if options.sweep:
            return many.sweep(params, options)
        if params.folds and "fold" not in params.given():
            return many.each_fold(params, options)
        return _train(params, options)
    except UserError as error:
        parser.error(str(error))


def _check_installed() -> None:
    """Raise ModuleNotFoundError for a package that a run would miss later."""
    for package in NEEDED:
        if not importlib.util.find_spec(package):
            raise ModuleNotFoundError(f"No module named '{package}'", name=package)


def _resume(options: argparse.Namespace, flags: dict[str, str], spec: type[Params]) -> int:
    """Go on with a run; its parameters are its own, but for more epochs."""
    from experiment.store.directory_reader import read_record
    from experiment.store.find import find_run
    from experiment.store.record import demand

    directory = find_run(Path(options.runs), options.resume)
    if changed := sorted({*flags, *(["params"] if options.params else [])} - {"epochs"}):
        raise UserError(f"--{changed[0]}: a resumed run keeps its parameters; only more --epochs is allowed")
    record = read_record(directory.path)
    demand(record.run, f"'{directory.run_file}'", *RESUMABLE)
    demand(record.params, f"'{directory.params_file}'", "epochs")
    if "model" not in record.params or record.params.get("dataset") == "arrays":
        raise UserError(
            f"run {short(directory.key)} cannot go on from here: a program gave it its own model or arrays; "
            "there, train_and_evaluate(…, resume=RunDirectory(Path(…))) goes on"
        )
    modes = ("auto", "disabled") if record.mode == "disabled" else ("auto", "online", "offline")
    if options.mode not in modes:
        raise UserError(
            f"--mode {options.mode}: this run began {record.mode}; it goes on with {' or '.join(modes)}"
        )
    try:
        own = {"model": spec.own.source} if spec.own else {}
        params = check_params({**record.params, **own, "dataset": record.run["dataset"]["source"]}, spec)
    except UserError as error:
        raise UserError(f"'{directory.params_file}': {error}") from None
    if flags:
        epochs = load_params(flags={"epochs": flags["epochs"]}).epochs
        # Only what was set: defaults of today's code must not count as given.
        values = params.model_dump(by_alias=True, exclude_unset=True)
        params = check_params(values | {"epochs": epochs}, spec)
    return _train(params, options, directory, _purpose_of(record.run))


def _purpose_of(run: Mapping[str, Any]) -> Purpose | None:
    """Return the purpose of a run that is gone on with; an original that it repeats may be gone meanwhile."""
    if "place" not in run.get("rerun", {}):
        return None
    from experiment.rerun.original import find_original
    from experiment.rerun.repetition import Repetition

    try:
        # By its absolute path or key: `--runs` may be another folder today.
        return Repetition(find_original(Path(), run["rerun"]["place"]))
    except UserError as error:
        # The training that is left has its worth without a verdict.
        print(f"this rerun ends without a verdict: {error}", file=sys.stderr)
        return None


def _rerun(options: argparse.Namespace, flags: dict[str, str], spec: type[Params]) -> int:
    """Repeat a run with its own parameters, but for those given as flags."""
    read_environment()
    from experiment.rerun import differences as rerun
    from experiment.rerun import original
    from experiment.rerun.repetition import Repetition

    if options.params:
        raise UserError("--params: a rerun has the parameters of its original; change some by their flags")
    found = original.find_original(Path(options.runs), options.rerun)
    return _train(rerun.parameters(found, flags, spec), options, purpose=Repetition(found))


def _train(
    params: Params,
    options: argparse.Namespace,
    resume: RunDirectory | None = None,
    purpose: Purpose | None = None,
) -> int:
    """Train once, with signals turned into an orderly end."""
    read_environment()
    from experiment.rerun import verdict
    from experiment.run import train_and_evaluate
    from experiment.run.lifecycle import Interrupted, RunFailed
    from experiment.run.summary import closing_lines, summary

    chosen = run_options(options)

    def interrupt(number: int) -> None:
        raise Interrupted(number)

    try:
        with on_first_signal(interrupt):
            finished = train_and_evaluate(params, options=chosen, resume=resume, purpose=purpose)
    except Interrupted as interruption:
        print(f"train.py: {interruption}", file=sys.stderr)
        return 128 + interruption.signal_number
    except RunFailed as failure:
        return _tell_failure(failure)
    _tell_waiting(chosen.runs)
    facts = summary(finished)
    rerun = facts.get("rerun")
    if not options.quiet:
        judged = verdict.rerun_text(rerun) if rerun else None
        print(closing_lines(facts, params.model_file, judged), file=sys.stderr)
    if options.json:
        streams.print_json(facts)
    return 1 if rerun and rerun["verdict"] == verdict.DIFFERENT else 0


def _tell_waiting(runs: Path) -> None:
    """Say which runs of a folder were killed: after a run, whose first line is its own address."""
    from experiment.store.find import waiting_runs

    if waiting := waiting_runs(runs):
        recover = command_in(runs, "experiment", "recover", "--all")
        print(f"{counted(len(waiting), 'killed run waits', 'killed runs wait')}: {recover}", file=sys.stderr)


def _tell_failure(failure: RunFailed) -> int:
    """Say why a run failed: in a sentence where that is all there is to say, else with the traceback."""
    from experiment.run.lifecycle import PLAIN_ERRORS
    from experiment.run.own_model import OwnCodeError, own_traceback

    if isinstance(failure.__cause__, OwnCodeError):
        print(own_traceback(failure.__cause__), end="", file=sys.stderr)
    elif not isinstance(failure.__cause__, (*PLAIN_ERRORS, UserError)):
        # Of the cause: the frames that recorded the run say nothing of the fault.
        traceback.print_exception(failure.__cause__)
    print(f"train.py: {failure}", file=sys.stderr)
    return 1
