"""What came of a sweep: its points, best first, and how to run the best one again."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiment.sweep.outcomes import DIVERGED, FAILED, FINISHED, Outcome
from experiment.sweep.plan import Plan
from experiment.sweep.points import parameters
from experiment.sweep.trial import Trial
from experiment.system.names import counted, short
from experiment.system.parser import command_in, command_on

UNFINISHED = "unfinished"
_COUNTED = (FINISHED, DIVERGED, FAILED, UNFINISHED)
SHOWN = 10
WIDTH = 240


def summarize(plan: Plan) -> dict[str, Any]:
    """Return what came of a sweep so far; JSON values only."""
    states = plan.states()
    outcomes = [state for state in states if isinstance(state, Outcome)]
    ranking = _ranking(plan, states)
    best = ranking[0] if ranking and ranking[0]["score"] is not None else None
    counts = {status: sum(each.status == status for each in outcomes) for status in _COUNTED[:3]}
    return {
        "sweep": plan.id,
        "folder": str(plan.folder),
        "metric": plan.sweep.spec.metric,
        "objective": plan.sweep.spec.objective,
        "points": len(plan.points),
        "trials": len(states),
        **counts,
        UNFINISHED: len(states) - len(outcomes),
        "errors": sorted({outcome.error for outcome in outcomes if outcome.error}),
        "best": best,
        "rerun": _command(plan, best["point"]) if best else None,
        "ranking": ranking,
    }


def print_ranking(summary: Mapping[str, Any]) -> None:
    """Print the first rows of a sweep's ranking, what went wrong, and what to do next."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Wide, so that each row is one line, which a narrow terminal may break where it likes.
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, width=WIDTH)
    table = Table(
        "rank", summary["metric"], "± sd", "test acc.", "epochs", "run", "point", box=None, pad_edge=False
    )
    for row in summary["ranking"][:SHOWN]:
        table.add_row(
            str(row["rank"] or row["status"]),
            _number(row["score"]),
            _number(row["deviation"]),
            _number(row["test_accuracy"]),
            str(row["epochs"] or ""),
            short((row["keys"] or [""])[0]),
            Text(" ".join(f"{name}={value}" for name, value in row["point"].items())),
        )
    console.print(table)
    counts = ", ".join(f"{summary[name]} {name}" for name in _COUNTED if summary.get(name))
    console.print(f"{counted(summary['trials'], 'trial')} of {counted(summary['points'], 'point')}: {counts}")
    for error in summary["errors"]:
        console.print(f"failed   {error}")
    folder = Path(summary["folder"])
    console.print(f"all      {folder / 'ranking.json'}")
    if best := summary["best"]:
        console.print(f"best     {command_on(folder.parents[1] / best['keys'][0], 'experiment', 'show')}")
        console.print(f"again    {summary['rerun']}")
        page = "pip install -c constraints.txt -e '.[report]', and the same command writes a page"
        console.print(f"compare  {summary['comparison'] or page}")


def _ranking(plan: Plan, states: Sequence[Outcome | Trial]) -> list[dict[str, Any]]:
    """Return a row a point, best mean score first, then what diverged, failed, or has not ended."""
    rows = [
        _row([state for state in states if _trial(state).number == number], point)
        for number, point in enumerate(plan.points, 1)
    ]
    sign = -1 if plan.sweep.spec.objective == "maximize" else 1
    rows.sort(key=lambda row: (row["score"] is None, sign * (row["score"] or 0), row["status"]))
    return [{"rank": rank if row["score"] is not None else None, **row} for rank, row in enumerate(rows, 1)]


def _row(states: Sequence[Outcome | Trial], point: Mapping[str, Any]) -> dict[str, Any]:
    """Summarize the trials of a point; its score is a mean, and none where one of them diverged or failed."""
    outcomes = [state for state in states if isinstance(state, Outcome)]
    scores = [outcome.score for outcome in outcomes if outcome.score is not None]
    worst = next((each.status for each in outcomes if each.status != FINISHED), FINISHED)
    is_whole = len(scores) == len(states)
    return {
        "score": statistics.fmean(scores) if is_whole else None,
        "deviation": statistics.stdev(scores) if is_whole and len(scores) > 1 else None,
        "test_accuracy": _mean(outcome.results.get("test_accuracy") for outcome in outcomes),
        "epochs": max((outcome.epochs for outcome in outcomes), default=0),
        "seconds": _mean(outcome.results.get("process_s") for outcome in outcomes),
        "status": worst if len(outcomes) == len(states) else UNFINISHED,
        "scores": scores,
        "keys": [outcome.trial.key for outcome in outcomes],
        "point": dict(point),
    }


def _trial(state: Outcome | Trial) -> Trial:
    return state.trial if isinstance(state, Outcome) else state


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _command(plan: Plan, point: Mapping[str, Any]) -> str:
    """Return the command that trains with the parameters of a point, apart from any sweep."""
    defaults = type(plan.base)().model_dump(by_alias=True)
    values = parameters(dict(point), plan.base).applicable()
    flags = [
        word
        for name, value in values.items()
        if value != defaults[name]
        for word in (f"--{name}", str(value).lower() if isinstance(value, bool) else str(value))
    ]
    return command_in(plan.runs, "train", *flags)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
