"""``train.py`` where it makes many runs: a sweep, or a run for each fold."""

from __future__ import annotations

import argparse
import os
import sys
import threading

from experiment.commands.signals import on_first_signal
from experiment.commands.train_options import check_many, run_options
from experiment.system import streams
from experiment.system.environment import read_environment
from params.spec import Params

PATIENCE_SECONDS = 30.0  # for a sweep's workers to close their runs after a signal


def sweep(params: Params, options: argparse.Namespace) -> int:
    """Run a sweep, or what is left of it; a signal ends it in order."""
    read_environment()
    from experiment.run.lifecycle import signal_name
    from experiment.sweep import ranking as sweep_ranking
    from experiment.sweep import sweep as sweeps

    received: list[int] = []
    settings = sweeps.Settings(
        options=run_options(options),
        repeats=options.seeds,
        workers=options.workers,
        scheduler=options.scheduler,
        address=options.ray_address,
    )

    def end(number: int) -> None:
        received.append(number)
        settings.stop.set()
        # Where the signal reached Ray's own processes too, there may be nobody left to end in order.
        cut = threading.Timer(PATIENCE_SECONDS, os._exit, [128 + number])
        cut.daemon = True
        cut.start()

    with on_first_signal(end):
        summary = sweeps.run_sweep(options.sweep, params, settings)
    if not options.quiet:
        sweep_ranking.print_ranking(summary)
    if options.json:
        streams.print_json(summary)
    if received:
        print(
            f"train.py: interrupted by {signal_name(received[0])}; the same command goes on", file=sys.stderr
        )
        return 128 + received[0]
    return 0 if summary["best"] and not summary["unfinished"] else 1


def each_fold(params: Params, options: argparse.Namespace) -> int:
    """Train a run for each fold, or what is left of them; a signal ends the one that is running in order."""
    read_environment()
    from experiment.run.lifecycle import Interrupted
    from experiment.sweep import folds
    from experiment.sweep.settings import Settings

    check_many(options, "--folds without --fold")
    settings = Settings(options=run_options(options), repeats=options.seeds)

    def interrupt(number: int) -> None:
        raise Interrupted(number)

    def say(line: str) -> None:
        if not options.quiet:
            print(line, file=sys.stderr)

    try:
        with on_first_signal(interrupt):
            summary = folds.run_folds(params, settings, say)
    except Interrupted as interruption:
        print(f"train.py: {interruption}; the same command goes on", file=sys.stderr)
        return 128 + interruption.signal_number
    say(folds.closing_lines(summary, settings.options.runs))
    if options.json:
        streams.print_json(summary)
    return 0 if summary["finished"] == summary["trials"] else 1
