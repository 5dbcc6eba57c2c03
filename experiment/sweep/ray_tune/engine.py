"""Run the trials of a sweep on Ray Tune: its queue, its placement, its retries, its schedulers."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from experiment.comet.session import ONLINE
from experiment.comet.settings import api_key
from experiment.data.arrays import Arrays
from experiment.errors import UserError
from experiment.run import provenance
from experiment.sweep.outcomes import Outcome
from experiment.sweep.plan import Plan
from experiment.sweep.ray_tune.progress import Progress
from experiment.sweep.ray_tune.search import Asha, BayesSearch
from experiment.sweep.ray_tune.worker import Session, TrialRunner
from experiment.sweep.settings import Settings
from experiment.sweep.trial import Trial
from experiment.system import machine
from params.conditions import is_set_of_pictures

# For what Ray itself puts there; by default it would take a third of the memory.
OBJECT_STORE_BYTES = 128 << 20
SCRATCH = "keras-sweep"
# TensorFlow never frees what XLA compiled, some 17 MB a network: a worker makes room for a new one in time.
TRIALS_A_PROCESS = 20
_SHORT = Path("/tmp") if os.access("/tmp", os.W_OK) else Path(tempfile.gettempdir())


def run(plan: Plan, arrays: Arrays | None, settings: Settings) -> None:
    """Run the trials that have not ended yet; what comes of them is in their run directories.

    Raises:
        UserError: the cluster cannot be reached, or one of its machines lacks something.
    """
    with _ray(settings, arrays):
        resources, workers = _resources(settings)
        session = _session(plan, settings, workers, threads=None if "gpu" in resources else 1)
        if settings.address:
            _check_machines(plan, session)
        states = plan.states()
        outcomes = [state for state in states if isinstance(state, Outcome)]
        # ASHA compares a trial with all that went before: those are told again from their journals.
        trials = plan.everyone() if session.waits else [state for state in states if isinstance(state, Trial)]
        trainable = tune.with_parameters(TrialRunner, session=session, arrays=arrays)
        progress = Progress(plan, [] if session.waits else outcomes, settings.options.quiet)
        grid = tune.grid_search([plan.configuration(trial) for trial in trials])
        try:
            tune.Tuner(
                tune.with_resources(trainable, _in_turn(resources, workers)),
                param_space={} if plan.sweep.algorithm == "bayes" else {"run": grid},
                tune_config=_tune_config(plan, session, workers),
                run_config=tune.RunConfig(
                    name=SCRATCH,
                    storage_path=str(plan.folder),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # runs write their own
                    # One more than ours: a worker's death over the last attempt is noted by its successor.
                    failure_config=tune.FailureConfig(max_failures=plan.sweep.retries + 1),
                    callbacks=[progress],
                    stop=_WhenTold(settings),
                    verbose=0,
                ),
            ).fit()
        finally:
            progress.stop()
            # Tune's own state, which nothing here reads: the run directories say all.
            shutil.rmtree(plan.folder / SCRATCH, ignore_errors=True)


def _tune_config(plan: Plan, session: Session, workers: int) -> tune.TuneConfig:
    is_bayes = plan.sweep.algorithm == "bayes"
    return tune.TuneConfig(
        search_alg=BayesSearch(plan) if is_bayes else None,
        num_samples=-1 if is_bayes else 1,
        scheduler=_asha(plan) if session.waits else None,
        # Else each trial would import TensorFlow again, and compile again.
        reuse_actors=True,
        max_concurrent_trials=workers,
        # The default would spell out the trial and all its parameters.
        trial_dirname_creator=lambda trial: trial.trial_id,
    )


def _session(plan: Plan, settings: Settings, workers: int, threads: int | None) -> Session:
    return Session(
        # Figures can be drawn when somebody asks for them: `show RUN --figures`.
        options=dataclasses.replace(settings.options, quiet=True, typed=(), figures=False),
        command=sys.argv,
        retries=plan.sweep.retries,
        workers=workers,
        began=time.time(),
        threads=threads,
        waits=settings.scheduler == "asha",
        ours=not plan.base.own and "model" not in plan.sweep.axes,
    )


class _WhenTold(tune.Stopper):
    """Ends a sweep when it is told to: Tune then lets each worker close its run in order."""

    def __init__(self, settings: Settings) -> None:
        self._stop = settings.stop

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as Progress does

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002
        return False

    def stop_all(self) -> bool:
        return self._stop.is_set()


@contextlib.contextmanager
def _ray(settings: Settings, arrays: Arrays | None) -> Iterator[None]:
    """Connect to a cluster, or start Ray on this machine and leave nothing of it behind."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if settings.address:
        try:
            ray.init(settings.address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"--ray-address {settings.address}: {_last_line(error)}") from None
        try:
            yield
        finally:
            ray.shutdown()
        return
    _remove_left_scratch()
    # A socket's path has 107 characters at most, and Ray adds 70: so not below the runs' folder.
    with tempfile.TemporaryDirectory(
        prefix=f"{SCRATCH}-{os.getpid()}-", dir=_SHORT, ignore_cleanup_errors=True
    ) as scratch:
        parts = (arrays.train, arrays.validation, arrays.test) if arrays else ()
        size = sum(part.images.nbytes + part.labels.nbytes for part in parts if part)
        paths = [str(provenance.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))  # of the workers
        ray.init(
            # Never a cluster that happens to run on this machine, which RAY_ADDRESS may name.
            "local",
            num_cpus=settings.workers or machine.cores(),
            include_dashboard=False,
            object_store_memory=size + OBJECT_STORE_BYTES,
            _temp_dir=scratch,
            **quiet,
        )
        for number, handler in handlers.items():
            signal.signal(number, handler)  # Ray has put its own there, which end this process at once
        try:
            yield
        finally:
            ray.shutdown()


def _remove_left_scratch() -> None:
    """Remove what a sweep left that was killed with SIGKILL."""
    for path in _SHORT.glob(f"{SCRATCH}-*"):
        process = path.name.removeprefix(f"{SCRATCH}-").partition("-")[0]
        if not Path("/proc", process).exists():
            shutil.rmtree(path, ignore_errors=True)


def _resources(settings: Settings) -> tuple[dict[str, float], int]:
    """Return what each trial takes, and how many run side by side: a core each, or a GPU or a part of one."""
    total = ray.cluster_resources()
    cores, gpus = int(total.get("CPU", 1)), total.get("GPU", 0)
    if not gpus:
        return {"cpu": 1}, settings.workers or cores
    workers = settings.workers or int(gpus)
    return {"cpu": min(1, cores / workers), "gpu": min(1, gpus / workers)}, workers


def _in_turn(
    resources: dict[str, float], workers: int
) -> Callable[[dict[str, Any]], tune.PlacementGroupFactory]:
    """Return what a trial takes: a byte more every so many trials, so that Tune ends processes of before."""

    def take(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        turn = (config["run"]["trial"].number - 1) // (TRIALS_A_PROCESS * workers)
        bundle = {name.upper(): share for name, share in resources.items()}
        return tune.PlacementGroupFactory([bundle | {"memory": 1 + turn}])

    return take


def _check_machines(plan: Plan, session: Session) -> None:
    """Refuse a cluster one of whose machines does not see the runs' folder, or the key.

    Raises:
        UserError: one sentence for the first such machine.
    """

    def lack(file: str, pictures: str, mode: str) -> str | None:
        if not Path(file).is_file():
            return f"does not see {file}: --runs must be a folder that all machines share"
        if pictures and not Path(pictures).exists():
            return f"does not see {pictures}: all machines must share the pictures"
        if mode == ONLINE and not api_key():
            return "has no Comet API key: set COMET_API_KEY there, or take --mode offline"
        return None

    pictures = plan.base.dataset if is_set_of_pictures(plan.base.dataset) else ""
    for node in ray.nodes():
        if node["Alive"]:
            where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(num_cpus=0, scheduling_strategy=where)(lack)
            try:
                missing = ray.get(task.remote(str(plan.file), pictures, session.options.mode))
            except ray.exceptions.RayError as error:
                missing = f"cannot run this project: {_last_line(error)}"
            if missing:
                raise UserError(f"machine {node['NodeManagerHostname']} of the Ray cluster {missing}")


def _asha(plan: Plan) -> Asha:
    axis = plan.sweep.axes.get("epochs")
    epochs = max(axis.grid(2)) if axis else plan.base.epochs
    mode = "max" if plan.sweep.spec.objective == "maximize" else "min"
    return Asha("epoch", "score", mode, max_t=epochs)


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
