"""How Ray Tune comes by the next trial of a bayes search, and how it ends a hopeless trial early."""

from __future__ import annotations

from collections import deque
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search import Searcher

from experiment.sweep.outcomes import FAILED, Outcome, settle
from experiment.sweep.plan import Plan
from experiment.sweep.points import applicable, spelled
from experiment.sweep.space import Choices, Range
from experiment.sweep.trial import Trial

DRAWS_A_POINT = 50  # Optuna may suggest what it has suggested before, in a small space above all


class BayesSearch(Searcher):
    """Asks Optuna for points, writes them into the plan, and gives Ray Tune their trials one by one.

    Ray's own OptunaSearch can neither run a point under several seeds nor leave out one that was suggested
    before: its runs would have the same keys. With trials side by side, what is suggested depends on which of
    them ends first, whatever the seed.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(metric="score", mode="max")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        spec = plan.sweep.spec
        self._study = optuna.create_study(
            direction=spec.objective, sampler=optuna.samplers.TPESampler(seed=spec.seed or 0)
        )
        self._distributions = {name: _distribution(axis) for name, axis in plan.sweep.axes.items()}
        self._plan = plan
        self._waiting: deque[Trial] = deque()
        self._running: dict[str, Trial] = {}
        self._asked: dict[int, int] = {}  # number of a point to number of Optuna's trial
        self._scores: dict[int, list[float | None]] = {}
        for number, asked in enumerate(plan.asked, 1):
            # What was asked for before the sweep stopped is asked for again: Optuna then knows what it knew.
            self._study.enqueue_trial(dict(asked))
            self._open(number, self._study.ask(self._distributions))

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """Return the configuration of the next trial, or FINISHED."""
        limit = self._plan.sweep.limit or 0
        while not self._waiting:
            if len(self._plan.points) >= limit or not self._ask():
                return Searcher.FINISHED
        self._running[trial_id] = trial = self._waiting.popleft()
        return {"run": self._plan.configuration(trial)}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note a trial's score, and tell Optuna a point's once all its trials have ended."""
        trial = self._running.pop(trial_id)
        outcome = (result or {}).get("outcome")
        is_usable = outcome and not error and outcome.status != FAILED
        self._end(trial.number, result["score"] if result and is_usable else None)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: a sweep goes on from its own file and its run directories."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""

    def _ask(self) -> bool:
        """Add a new point to the plan; tell whether there was one."""
        plan = self._plan
        known = {spelled(point) for point in plan.points}
        for _ in range(DRAWS_A_POINT):
            asked = self._study.ask(self._distributions)
            axes = plan.sweep.axes.items()
            point = applicable(
                {name: axis.at(_share(axis, asked.params[name])) for name, axis in axes}, plan.base
            )
            if spelled(point) not in known:
                plan.points.append(point)
                plan.asked.append(asked.params)
                plan.save()  # before any of its runs, whose keys come from it
                self._open(len(plan.points), asked)
                return True
            # Told, or Optuna would think that it still runs.
            self._study.tell(asked, state=TrialState.FAIL)
        return False

    def _open(self, number: int, asked: optuna.trial.Trial) -> None:
        self._asked[number], self._scores[number] = asked.number, []
        for trial in self._plan.trials(number):
            state = settle(self._plan.runs, trial, self._plan.sweep.retries)
            if isinstance(state, Outcome):
                self._end(number, None if state.status == FAILED else state.rankable)
            else:
                self._waiting.append(trial)

    def _end(self, number: int, score: float | None) -> None:
        self._scores[number].append(score)
        if len(self._scores[number]) < self._plan.repeats:
            return
        known = [score for score in self._scores.pop(number) if score is not None]
        if known:
            self._study.tell(self._asked[number], sum(known) / len(known))
        else:
            self._study.tell(self._asked[number], state=TrialState.FAIL)


class Asha(AsyncHyperBandScheduler):
    """Ray's ASHA, except that a trial it stops ends in order: evaluated, saved and archived as any run is."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Tell the run to end after this epoch, where ASHA would have Tune end its process."""
        decision = super().on_trial_result(tune_controller, trial, result)
        if decision == TrialScheduler.STOP and not result.get("done"):
            trial.temporary_state.ray_actor.finish_early.remote()
        return TrialScheduler.CONTINUE


def _distribution(axis: Choices | Range) -> BaseDistribution:
    if isinstance(axis, Range):
        # A share of the way, as in the other searches: scalings and bounds are in one place, `Range.at`.
        return FloatDistribution(0, 1)
    count = len(axis.values)
    return IntDistribution(0, count - 1) if axis.is_ordered else CategoricalDistribution(range(count))


def _share(axis: Choices | Range, asked: float) -> float:
    return asked if isinstance(axis, Range) else (asked + 0.5) / len(axis.values)
