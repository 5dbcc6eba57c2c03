"""Cross-validation: a run for each fold, one after the other; killed, the same command goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from experiment.comet import session
from experiment.compare.comparison import compare_runs
from experiment.compare.tables import finite_or_none, interval_text
from experiment.data.arrays import Arrays
from experiment.data.splits import FOLD
from experiment.run import train_and_evaluate
from experiment.run.lifecycle import RunFailed
from experiment.store.directory import RunDirectory
from experiment.store.files import write_json
from experiment.store.find import read_records
from experiment.sweep import ranking, sweep
from experiment.sweep.outcomes import Outcome, settle
from experiment.sweep.plan import Plan
from experiment.sweep.points import Spec, Sweep, applying, points
from experiment.sweep.settings import Settings
from experiment.sweep.space import Choices
from experiment.sweep.trial import Trial
from experiment.system import machine, process_clock
from experiment.system.console import Console
from experiment.system.names import counted, short
from experiment.system.parser import command_in
from params.load import check_params
from params.spec import Params


def means_all_folds(params: Params) -> bool:
    """Tell whether parameters ask for every fold: they say how many, and not which."""
    return params.folds > 0 and "fold" not in params.given()


def run_folds(base: Params, settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """Train what is left of a run for each fold; return what came of them, with the mean and its interval.

    Args:
        base: the parameters of all of them.
        settings: options of each run, and how many seeds.
        say: called with a line for each fold that has ended.

    Raises:
        UserError: bad input, in one sentence; nothing has run then.
    """
    given = base = sweep.locate(base)
    quiet = dataclasses.replace(settings.options, quiet=True)
    base, arrays, shared = sweep.load(base, dataclasses.replace(settings, options=quiet))
    spec = Spec(metric="val_accuracy" if base.validation == FOLD else "test_accuracy", objective="maximize")
    axes = {"fold": Choices(tuple(range(1, base.folds + 1)), is_ordered=True)}
    search = Sweep("folds", "grid", spec, axes, 1, {})
    for notice in sweep.check_given(given, search, applying(search, base), settings):
        Console().notice(notice)
    mode, runs = session.resolve_mode(settings.options.mode), settings.options.runs.absolute()
    options = dataclasses.replace(settings.options, mode=mode, runs=runs, typed=())
    settings = dataclasses.replace(settings, options=options)
    plan = Plan(search, base, arrays.fingerprint, runs, settings.repeats or 1, None)
    with plan.exclusive():
        plan.points = points(search, base)
        plan.save()
        for outcome in _run_in_turn(plan, arrays if shared else None, settings):
            say(_line(outcome, base.folds))
        summary = _summarize(plan) | {"pictures": not shared}
        write_json(plan.folder / "ranking.json", summary)
    return summary


def _run_in_turn(plan: Plan, arrays: Arrays | None, settings: Settings) -> Iterator[Outcome]:
    """Yield how each trial ended, after beginning or resuming those that have not."""
    for trial in plan.everyone():
        state = settle(plan.runs, trial, plan.sweep.retries)
        while isinstance(state, Trial):
            _attempt(plan, state, arrays, settings)
            state = settle(plan.runs, trial, plan.sweep.retries)
        yield state


def _attempt(plan: Plan, trial: Trial, arrays: Arrays | None, settings: Settings) -> None:
    """Train; a run that fails has its error in its directory, and others are not to suffer for it."""
    directory = RunDirectory(plan.runs / trial.key)
    resume = directory if directory.run_file.exists() else None
    params = check_params(plan.configuration(trial)["params"], type(plan.base))
    process_clock.restart()
    machine.release()
    try:
        train_and_evaluate(params, dataset=arrays, options=settings.options, resume=resume, purpose=trial)
    except RunFailed as failure:
        Console().notice(f"{trial.label}: {failure}")


def _summarize(plan: Plan) -> dict[str, Any]:
    """Return a sweep's summary, and beside it the mean over all folds with its 95 % interval."""
    summary = ranking.summarize(plan)
    keys = [key for row in summary["ranking"] if row["score"] is not None for key in row["keys"]]
    records, problems = read_records(plan.runs / key for key in keys)
    summary["errors"] += problems
    found: dict[str, Any] = {"mean": None, "half_width": None}
    if records:
        (group, *_) = compare_runs(records, metric=plan.sweep.spec.metric).groups
        found = {"mean": finite_or_none(group.mean), "half_width": finite_or_none(group.half_width)}
    return summary | found


def _line(outcome: Outcome, folds: int) -> str:
    trial = outcome.trial
    score = f"{trial.metric} {outcome.score:.4f}" if outcome.score is not None else outcome.status
    seed = f", seed {trial.seed}" if trial.seed else ""
    error = f": {outcome.error}" if outcome.error else ""
    return f"fold {trial.point['fold']} of {folds}{seed}  {score}  run {short(trial.key)}{error}"


def closing_lines(summary: Mapping[str, Any], runs: Path) -> str:
    """Return the closing lines of all folds: the mean and its interval, and what to do next."""
    keys = sorted({key for row in summary["ranking"] for key in row["keys"]})
    lines = []
    if summary["mean"] is not None:
        half_width = summary["half_width"]
        interval = interval_text(summary["mean"], float("nan") if half_width is None else half_width)
        lines.append(f"{summary['metric']} {interval}, 95 % interval over {counted(len(keys), 'run')}")
    if summary["unfinished"] or summary["failed"] or summary["diverged"]:
        lines.append(f"{summary['finished']} of {summary['trials']} finished; all: {summary['folder']}")
    named = [short(key) for key in keys]
    lines.append(f"next     {command_in(runs, 'experiment', 'compare', *named)}")
    if summary["pictures"] and named:
        lines.append(f"or       {command_in(runs, 'experiment', 'suspects', named[0])}")
    return "\n".join(lines)
