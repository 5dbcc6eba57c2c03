#!/usr/bin/env python
"""Launch a tracked training run.

python train.py                                    the tutorial's network on MNIST, 50 epochs
python train.py --epochs 5 --optimizer adam        any parameter is a flag
python train.py --params mnist-cnn                 a parameter file, or one of params/ by its name
python train.py --rerun RUN                        repeat a run, and say whether it came out the same
python train.py --sweep tutorial --epochs 5        many runs: a sweep file, or one of params/sweeps/
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiment import streams
from experiment.command_line import leave
from experiment.environment import read_environment
from experiment.train_options import build_parser, check_together
from params.load import NAMES, check_params, load_params
from params.spec import Params

if TYPE_CHECKING:
    from experiment.original import Original
    from experiment.rundir import RunDirectory

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_SECONDS = 30.0  # for a sweep's workers to close their runs after a signal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0 done, 1 failed or a rerun is different, 2 bad input, 128 + signal interrupted.
    """
    parser = build_parser(__doc__ or "")
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    flags = {name: getattr(options, name) for name in NAMES if getattr(options, name) is not None}
    try:
        check_together(options)
        if options.resume:
            return _resume(options, flags)
        if options.rerun:
            return _rerun(options, flags)
        if options.sweep:
            return _sweep(load_params(options.params, flags), options)
        return _train(load_params(options.params, flags), options)
    except ValueError as error:
        parser.error(str(error))


def _resume(options: argparse.Namespace, flags: dict[str, str]) -> int:
    """Go on with a run; its parameters are its own, but for more epochs."""
    from experiment.rundir import find_run, read_json

    directory = find_run(Path(options.runs), options.resume)
    if changed := sorted({*flags, *(["params"] if options.params else [])} - {"epochs"}):
        raise ValueError(f"--{changed[0]}: a resumed run keeps its parameters; only more --epochs is allowed")
    run, stored = read_json(directory.run_file), read_json(directory.params_file)
    epochs = load_params(flags={"epochs": flags["epochs"]}).epochs if flags else stored["epochs"]
    params = check_params(stored | {"dataset": run["dataset"]["source"], "epochs": epochs})
    return _train(params, options, directory, _original_of(run))


def _original_of(run: Mapping[str, Any]) -> Original | None:
    """Find what a run that is gone on with repeats, if it is a rerun; it may be gone meanwhile."""
    if "rerun" not in run:
        return None
    from experiment.original import find_original

    try:
        return find_original(Path(), run["rerun"]["place"])
    except ValueError as error:
        print(f"this rerun ends without a verdict: {error}", file=sys.stderr)
        return None


def _rerun(options: argparse.Namespace, flags: dict[str, str]) -> int:
    """Repeat a run with its own parameters, but for those given as flags."""
    read_environment()
    from experiment import original, rerun

    if options.params:
        raise ValueError("--params: a rerun has the parameters of its original; change some by their flags")
    found = original.find_original(Path(options.runs), options.rerun)
    options.tag.append(f"rerun-of-{found.key[:12]}")
    return _train(rerun.parameters(found, flags), options, original=found)


def _sweep(params: Params, options: argparse.Namespace) -> int:
    """Run a sweep, or what is left of it; a signal ends it in order."""
    read_environment()
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
        memory_gb=options.memory_gb,
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
        streams.print_json(summary)
    if received:
        print(f"train.py: signal {received[0]}; the same command goes on", file=sys.stderr)
        return 128 + received[0]
    return 0 if summary["best"] and not summary["unfinished"] else 1


def _train(
    params: Params,
    options: argparse.Namespace,
    resume: RunDirectory | None = None,
    original: Original | None = None,
) -> int:
    """Train once, with signals turned into an orderly end."""
    read_environment()
    from experiment import record, run
    from experiment.lifecycle import Interrupted, RunFailed
    from experiment.rundir import waiting_runs
    from experiment.verdict import DIFFERENT

    run_options = run.Options(
        mode=options.mode,
        runs=Path(options.runs),
        name=options.name,
        tags=options.tag,
        workspace=options.workspace,
        project=options.project,
        register=options.register,
        quiet=options.quiet,
        memory_gb=options.memory_gb,
    )
    if waiting := waiting_runs(run_options.runs):
        print(f"{len(waiting)} killed run(s) wait: python -m experiment recover --all", file=sys.stderr)

    def interrupt(number: int) -> None:
        raise Interrupted(number)

    try:
        with _on_first_signal(interrupt):
            finished = run.train_and_evaluate(params, options=run_options, resume=resume, original=original)
    except Interrupted as interruption:
        print(f"train.py: {interruption}", file=sys.stderr)
        return 128 + interruption.signal_number
    except RunFailed as failure:
        return _tell_failure(str(failure), failure.__cause__)
    summary = record.summary(finished)
    if not options.quiet:
        print(record.describe(summary, params.model_file), file=sys.stderr)
    if options.json:
        streams.print_json(summary)
    return 1 if summary.get("rerun", {}).get("verdict") == DIFFERENT else 0


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


if __name__ == "__main__":
    streams.settle_for_run("train.py")
    leave(main())
