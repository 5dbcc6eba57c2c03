#!/usr/bin/env python
"""Launch a tracked training run.

python train.py                                    the tutorial's network on MNIST, 50 epochs
python train.py --epochs 5 --optimizer adam        any parameter is a flag
python train.py --params mnist-cnn                 a parameter file, or one of params/ by its name
python train.py --sweep tutorial --epochs 5        many runs: a sweep file, or one of params/sweeps/
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiment.command_line import Parser, leave
from params.load import NAMES, check_params, load_params
from params.spec import Params, condition

if TYPE_CHECKING:
    from experiment.rundir import RunDirectory

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_SECONDS = 30.0  # for a sweep's workers to close their runs after a signal
MODES = ("auto", "online", "offline", "disabled")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 failed, 2 bad input, 128 + signal interrupted."""
    parser = build_parser()
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    flags = {name: getattr(options, name) for name in NAMES if getattr(options, name) is not None}
    try:
        _check_together(options)
        if options.resume:
            return _resume(options, flags)
        if options.sweep:
            return _sweep(load_params(options.params, flags), options)
        return _train(load_params(options.params, flags), options)
    except ValueError as error:
        parser.error(str(error))


def build_parser() -> argparse.ArgumentParser:
    """Build the parser: options by hand, one flag for each parameter from its declaration."""
    parser = Parser(
        prog="train.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", metavar="FILE", help="TOML file, or the name of one in params/")
    parser.add_argument("--mode", choices=MODES, default="auto", help="auto: online if an API key is set")
    parser.add_argument("--name", help="name of the run (default: dataset, model, optimizer, key)")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="tag; may be repeated")
    parser.add_argument("--workspace", help="Comet workspace (default: COMET_WORKSPACE)")
    parser.add_argument("--project", help="Comet project (default: COMET_PROJECT_NAME)")
    parser.add_argument("--register", metavar="NAME", help="make the model a version of NAME in the registry")
    parser.add_argument("--resume", metavar="RUN", help="go on with a run from its last checkpoint")
    parser.add_argument("--runs", default="runs", metavar="DIR", help="folder of run directories")
    parser.add_argument("--quiet", action="store_true", help="say nothing but notices and errors")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object, last line")
    sweeps = parser.add_argument_group("sweeps")
    sweeps.add_argument(
        "--sweep", metavar="FILE", help="Comet Optimizer file, or the name of one in params/sweeps/"
    )
    sweeps.add_argument(
        "--seeds", type=_count, metavar="N", help="run each point N times, each with the next seed"
    )
    sweeps.add_argument(
        "--workers", type=_count, metavar="N", help="runs side by side (default: one a core or GPU)"
    )
    sweeps.add_argument("--scheduler", choices=("asha",), help="asha: end hopeless runs early")
    sweeps.add_argument("--ray-address", metavar="ADDRESS", help="of a Ray cluster (default: this machine)")
    group = parser.add_argument_group("parameters (logged; also the names in TOML files)")
    for name in NAMES:
        field = Params.model_fields[name.replace("-", "_")]
        when = condition(name.replace("-", "_"))
        help_text = (
            f"{field.description} (default: {_shown(field.default)}{f'; with {when.text}' if when else ''})"
        )
        group.add_argument(f"--{name}", dest=name, metavar=_metavar(field.annotation), help=help_text)
    return parser


def _resume(options: argparse.Namespace, flags: dict[str, str]) -> int:
    """Go on with a run; its parameters are its own, but for more epochs."""
    from experiment.rundir import find_run, read_json

    directory = find_run(Path(options.runs), options.resume)
    if changed := sorted({*flags, *(["params"] if options.params else [])} - {"epochs"}):
        raise ValueError(f"--{changed[0]}: a resumed run keeps its parameters; only more --epochs is allowed")
    run, stored = read_json(directory.run_file), read_json(directory.params_file)
    epochs = load_params(flags={"epochs": flags["epochs"]}).epochs if flags else stored["epochs"]
    params = check_params(stored | {"dataset": run["dataset"]["source"], "epochs": epochs})
    return _train(params, options, directory)


def _check_together(options: argparse.Namespace) -> None:
    """Refuse options that say nothing together."""
    if options.sweep:
        alone = ("resume", "name", "register")
        if given := [name for name in alone if getattr(options, name)]:
            raise ValueError(f"--{given[0]}: not with --sweep, which makes many runs")
    elif given := [
        name for name in ("seeds", "workers", "scheduler", "ray_address") if getattr(options, name)
    ]:
        raise ValueError(f"--{given[0].replace('_', '-')}: only with --sweep")


def _sweep(params: Params, options: argparse.Namespace) -> int:
    """Run a sweep, or what is left of it; a signal ends it in order."""
    from dotenv import find_dotenv, load_dotenv

    load_dotenv(find_dotenv(usecwd=True))
    from experiment import sweep, sweep_ranking

    received: list[int] = []
    settings = sweep.Settings(
        runs=Path(options.runs),
        mode=options.mode,
        tags=options.tag,
        workspace=options.workspace,
        project=options.project,
        repeats=options.seeds,
        workers=options.workers,
        scheduler=options.scheduler,
        address=options.ray_address,
        quiet=options.quiet,
    )

    def end(number: int) -> None:
        received.append(number)
        settings.stop.set()
        # Where the signal reached Ray's own processes too, there may be nobody left to end in order.
        cut = threading.Timer(PATIENCE_SECONDS, os._exit, [128 + number])
        cut.daemon = True
        cut.start()

    with _on_first_signal(end):
        summary = sweep.run_sweep(options.sweep, params, settings)
    if not options.quiet:
        sweep_ranking.describe(summary)
    if options.json:
        print(json.dumps(summary, ensure_ascii=False), flush=True)
    if received:
        print(f"train.py: signal {received[0]}; the same command goes on", file=sys.stderr)
        return 128 + received[0]
    return 0 if summary["best"] and not summary["unfinished"] else 1


def _train(params: Params, options: argparse.Namespace, resume: RunDirectory | None = None) -> int:
    """Train once, with signals turned into an orderly end."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read by TensorFlow when it is imported
    from dotenv import find_dotenv, load_dotenv

    load_dotenv(find_dotenv(usecwd=True))
    from experiment import record, run
    from experiment.lifecycle import Interrupted, RunFailed
    from experiment.rundir import waiting_runs

    run_options = run.Options(
        mode=options.mode,
        runs=Path(options.runs),
        name=options.name,
        tags=options.tag,
        workspace=options.workspace,
        project=options.project,
        register=options.register,
        quiet=options.quiet,
    )
    if waiting := waiting_runs(run_options.runs):
        print(f"{len(waiting)} killed run(s) wait: python -m experiment recover --all", file=sys.stderr)

    def interrupt(number: int) -> None:
        raise Interrupted(number)

    try:
        with _on_first_signal(interrupt):
            finished = run.train_and_evaluate(params, options=run_options, resume=resume)
    except Interrupted as interruption:
        print(f"train.py: {interruption}", file=sys.stderr)
        return 128 + interruption.signal_number
    except RunFailed as failure:
        return _tell_failure(str(failure), failure.__cause__)
    summary = record.summary(finished)
    if not options.quiet:
        print(record.describe(summary, params.model_file), file=sys.stderr)
    if options.json:
        print(json.dumps(summary, ensure_ascii=False), flush=True)
    return 0


def _tell_failure(key: str, error: BaseException | None) -> int:
    """Say why a run failed: in a sentence where that is all there is to say, else with the traceback."""
    reason = ""
    if isinstance(error, (OSError, FloatingPointError)):
        reason = f": {error}"
    else:
        traceback.print_exception(error)
    again = f"go on from its last checkpoint by --resume {key[:12]}"
    print(
        f"train.py: run {key} failed{reason}; it is recorded all the same, and can {again}", file=sys.stderr
    )
    return 1


@contextlib.contextmanager
def _on_first_signal(act: Callable[[int], None]) -> Iterator[None]:
    """Let the first SIGINT, SIGTERM or SIGHUP call ``act(number)``, and a second one end the process."""

    def handle(number: int, frame: types.FrameType | None) -> None:  # noqa: ARG001
        for each in SIGNALS:
            signal.signal(each, lambda number, frame: os._exit(128 + number))  # noqa: ARG005
        act(number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"'{text}': should be an integer from 1 to 10,000")
    return int(text)


def _shown(value: object) -> object:
    return "off" if value is False else "on" if value is True else value


def _metavar(annotation: Any) -> str:
    choices = getattr(annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return "|".join(choices)
    return {int: "INT", float: "FLOAT", bool: "BOOL"}.get(annotation, "VALUE")


if __name__ == "__main__":
    leave(main())
