"""A sweep: many ordinary runs over a space of parameters. Killed at any moment, the same command goes on."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from experiment.comet import session
from experiment.compare.comparison import compare_runs
from experiment.compare.report import page
from experiment.data import image_folder
from experiment.data.arrays import Arrays
from experiment.data.splits import splits_by_chance
from experiment.errors import UserError
from experiment.run.inputs import open_data, resolve
from experiment.store.files import write_json
from experiment.store.find import read_records
from experiment.sweep import ranking
from experiment.sweep.file import contradictions, idle, read_sweep
from experiment.sweep.plan import Plan
from experiment.sweep.points import EPOCH_METRICS, Sweep, applying, corners, points
from experiment.sweep.settings import Settings
from experiment.system.console import Console
from params.conditions import PICTURES, is_set_of_pictures
from params.load import without_effect
from params.spec import Params

# Read when Ray is imported or started: it reports nothing to anyone, writes no second record of the runs,
# leaves signals to us, keeps its logs small, and its workers are no nicer than any other run.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_worker_niceness": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ROTATION_MAX_BYTES": str(5 << 20),
    "RAY_ROTATION_BACKUP_COUNT": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}


def run_sweep(file: str, base: Params, settings: Settings) -> dict[str, Any]:
    """Run what is left of a sweep; return what came of it: id, counts, ranking, best, how to run it again.

    Args:
        file: the sweep file, or the name of one in ``params/sweeps/``.
        base: the parameters that it doesn't vary.
        settings: how it runs.

    Raises:
        UserError: bad input, in one sentence; nothing has run then.
    """
    # Workers run in folders of their own.
    base = locate(base)
    sweep = read_sweep(file, base)
    repeats = settings.repeats or sweep.repeats
    _check(sweep, base, repeats, settings)
    given = base
    check_given(given, sweep, applying(sweep, base) | _of_data(), settings)
    base, arrays, shared = load(base, settings)
    used = _used(sweep, base, arrays)
    for name in sorted(set(sweep.axes) & _of_data() - used):
        raise UserError(f"sweep file '{file}': {idle(name)}")
    for notice in [*contradictions(sweep.spec), *check_given(given, sweep, used, settings)]:
        Console().notice(notice)
    mode, runs = session.resolve_mode(settings.options.mode), settings.options.runs.absolute()
    settings = dataclasses.replace(
        settings, options=dataclasses.replace(settings.options, mode=mode, runs=runs)
    )
    plan = Plan(sweep, base, arrays.fingerprint, runs, repeats, settings.scheduler)
    with plan.exclusive():
        if sweep.algorithm != "bayes":
            plan.points = points(sweep, base)
        plan.save()
        if not plan.is_settled():
            # Before the import: Ray reads them then.
            os.environ.update(_QUIET)
            from experiment.sweep.ray_tune import engine

            engine.run(plan, arrays if shared else None, settings)
        summary = ranking.summarize(plan)
        summary["comparison"] = _write_comparison(plan, summary)
        write_json(plan.folder / "ranking.json", summary)
    return summary


def _write_comparison(plan: Plan, summary: dict[str, Any]) -> str | None:
    """Write the page that compares a sweep's runs, best first; return its path, None without the extra.

    A run of which a file is damaged is left out, and that is among the summary's errors.
    """
    keys = [key for row in summary["ranking"] if row["score"] is not None for key in row["keys"]]
    path = plan.folder / "comparison.html"
    try:
        page.check_installed()
        records, problems = read_records(plan.runs / key for key in keys)
        summary["errors"] += problems
        page.write_report(compare_runs(records, metric=plan.sweep.spec.metric), path)
    except UserError:
        return None
    return str(path)


def _check(sweep: Sweep, base: Params, repeats: int, settings: Settings) -> None:
    """Refuse what doesn't go together."""
    for module in ("ray", "optuna"):
        if importlib.util.find_spec(module) is None:
            raise UserError(f"a sweep needs {module}: pip install -c constraints.txt -e '.[sweep]'")
    if base.folds and "fold" not in {*sweep.axes, *base.given()}:
        raise UserError(
            f"folds = {base.folds}: each run of a sweep holds out one fold: choose it by --fold, or let the "
            "sweep file vary fold"
        )
    if repeats > 1 and "seed" in sweep.axes:
        raise UserError(f"--seeds {repeats}: the sweep file varies seed itself")
    if settings.options.memory_gb and not is_set_of_pictures(base.dataset):
        raise UserError(
            f"--memory-gb {settings.options.memory_gb:g} has no effect: it applies with {PICTURES.text}"
        )
    if settings.scheduler and sweep.spec.metric not in EPOCH_METRICS:
        raise UserError(f"--scheduler asha needs a metric of every epoch, not {sweep.spec.metric}")


def _of_data() -> set[str]:
    """Return the names of the parameters of which the data tells whether they apply."""
    return Params().may_apply() - set(Params().applicable())


def _used(sweep: Sweep, base: Params, arrays: Arrays) -> set[str]:
    """Return the names of the parameters that act on any run of a sweep over a set, varied or not."""
    used = applying(sweep, base)
    if not any(splits_by_chance(arrays, params.validation, params.folds) for params in corners(sweep, base)):
        used.discard("split-seed")
    return used


def check_given(given: Params, sweep: Sweep, used: Collection[str], settings: Settings) -> list[str]:
    """Refuse what was typed and acts on no run; return sentences about other parameters that act on none."""
    found = {
        name: f"{name} = {getattr(given, name.replace('-', '_'))!r} has no effect: the sweep file sets {name}"
        for name in sweep.axes
        if name in given.given()
    } | without_effect(given, used)
    for name, sentence in found.items():
        if name in settings.options.typed:
            raise UserError(sentence)
    return list(found.values())


def locate(base: Params) -> Params:
    """Return the parameters with where the data lies, absolute; a folder of pictures ends in a slash."""
    if base.own:
        base = base.model_copy(update={"model": base.own.source})
    path = os.path.expanduser(base.dataset)
    if not os.path.exists(path):
        return base
    slash = "/" if image_folder.is_image_folder(base.dataset) else ""
    return base.model_copy(update={"dataset": f"{Path(path).absolute()}{slash}"})


def load(base: Params, settings: Settings) -> tuple[Params, Arrays, bool]:
    """Check the data; return the parameters with what it calls for, the set, and if runs may share it.

    Pictures are not shared: their size may vary, so each run takes them from the cache on disk.
    """
    console = Console(settings.options.quiet)
    opened = open_data(base, None, console)
    for notice in opened.arrays.notices:
        console.notice(notice)
    named = resolve(base, opened.arrays)
    opened.split(named.applicable().__getitem__)
    found = {"dataset": named.dataset} if base.dataset == "auto" else {}
    base = base.model_copy(update={"validation": named.validation, **found})
    told = dataclasses.replace(opened.arrays, notices=())  # each run would tell them again
    return base, told, opened.inspection is None
