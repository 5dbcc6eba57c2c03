"""What runs inside a Ray worker process: ordinary runs, one after the other, told about epoch by epoch.

Ray Tune calls ``step`` until a trial says that it's done. The run itself is on a thread, so that ``step`` can
return after each epoch, and each second without one: only between two steps can Tune stop a trial.
"""

from __future__ import annotations

import dataclasses
import queue
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ray import tune

from experiment.data.arrays import Arrays
from experiment.run import Options, train_and_evaluate
from experiment.run.own_model import spec_of
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json
from experiment.store.record import INTERRUPTED, RUNNING
from experiment.sweep import outcomes as attempts
from experiment.sweep.outcomes import Outcome
from experiment.sweep.trial import Trial
from experiment.system import imports, process_clock
from experiment.system import machine as memory
from experiment.system.keras_settings import import_keras
from params.load import check_params

# How long Tune may have to wait until it can stop a trial.
HEARTBEAT_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Session:
    """What all trials of one start of a sweep share.

    ``options`` are those of each run; ``began`` is in seconds since 1970; ``waits`` says that a run waits
    after each epoch until it is told whether to go on; ``ours`` that no trial has a network of a user's.
    """

    options: Options
    command: Sequence[str]
    retries: int
    workers: int
    began: float
    threads: int | None
    waits: bool
    ours: bool


class TrialRunner(tune.Trainable):
    """Runs trials; one process takes one after the other, so that TensorFlow is imported once."""

    def setup(self, config: dict[str, Any], session: Session, arrays: Arrays | None) -> None:
        """Prepare the process, before TensorFlow starts its threads."""
        self._session = session
        self._arrays = arrays
        sys.argv = list(session.command)  # what each run records as the command that made it
        memory.grow_heaps_in_large_steps()
        if session.ours:
            imports.let_optional_wait()
        if session.threads:
            _limit_threads(session.threads)
        memory.set_imports_aside()
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Get ready for a trial, once the one before has ended."""
        self._end()
        # Models and callbacks of the trial before, or memory would grow with each trial.
        memory.release()
        self._run = _Run(self._session, self._arrays, **new_config["run"])
        return True

    def step(self) -> dict[str, Any]:
        """Return what the run tells next; {} if it has nothing to tell for a second."""
        return self._run.next_report()

    def finish_early(self) -> None:
        """Let the run end in order after the epoch that it's in."""
        self._run.finish_early.set()

    def cleanup(self) -> None:
        """Interrupt the run, unless it has ended, and see it closed in order."""
        self._end()

    def _end(self) -> None:
        if run := self.__dict__.pop("_run", None):
            run.interrupt()


class _Run:
    """A trial's run on its thread, and the queue of what it tells."""

    def __init__(
        self, session: Session, arrays: Arrays | None, trial: Trial, params: Mapping[str, Any]
    ) -> None:
        self._session = session
        self._arrays = arrays
        self._trial = trial
        self._params = params
        self._reports: queue.Queue[dict[str, Any] | BaseException] = queue.Queue()
        self._notices: list[str] = []
        self._asked = threading.Event()
        self._interrupted = threading.Event()
        self.finish_early = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def next_report(self) -> dict[str, Any]:
        if self._thread.ident is None:
            self._thread.start()
        self._asked.set()
        try:
            report = self._reports.get(timeout=HEARTBEAT_SECONDS)
        except queue.Empty:
            return {}
        if isinstance(report, BaseException):
            raise report
        return report

    def interrupt(self) -> None:
        if self._thread.ident is not None:
            self._interrupted.set()
            self._asked.set()
            self._thread.join()

    def _work(self) -> None:
        from experiment.run.lifecycle import Interrupted

        try:
            found = self._settle()
            if isinstance(found, Trial):
                found = self._attempt(found)
            elif self._session.waits:
                self._tell_again(found)
            self._reports.put(self._last_report(found))
        except Interrupted:
            pass
        except BaseException as error:  # raised again in `step`, for Tune to see
            self._reports.put(error)

    def _attempt(self, trial: Trial) -> Outcome:
        """Train; return the trial's outcome, or raise so that Tune tries again."""
        from experiment.run.lifecycle import RunFailed

        problem = ""
        try:
            self._train(trial)
        except RunFailed as failure:
            problem = f"{type(failure.__cause__).__name__}: {failure.__cause__}"
        found = self._settle()
        if isinstance(found, Trial):
            # Tune counts failures by exceptions; what failed is in the run directory already.
            raise RuntimeError(problem)
        return found

    def _settle(self) -> Outcome | Trial:
        return attempts.settle(self._session.options.runs, self._trial, self._session.retries)

    def _train(self, trial: Trial) -> None:
        directory = RunDirectory(self._session.options.runs / trial.key)
        resume = None
        if directory.run_file.exists():
            attempts.wait_for_lock(directory)
            attempts.note_death(directory, self._session.began, self._session.retries)
            if read_json(directory.run_file)["status"] not in (RUNNING, INTERRUPTED):
                return
            resume = directory
        process_clock.restart()
        options = dataclasses.replace(
            self._session.options,
            memory_gb=self._session.options.memory_gb or memory.half_gb() / self._session.workers,
            callbacks=[self._callback()],
            on_notice=self._notices.append,
        )
        params = check_params(self._params, spec_of(self._params.get("model", "")))
        train_and_evaluate(params, dataset=self._arrays, options=options, resume=resume, purpose=trial)

    def _tell_again(self, outcome: Outcome) -> None:
        """Tell the epochs of a trial that an earlier start of the sweep ran: others are compared with it."""
        directory = RunDirectory(self._session.options.runs / outcome.trial.key)
        for epoch, value in enumerate(attempts.epoch_values(directory, self._trial.metric), 1):
            self._tell_epoch(epoch, value)

    def _tell_epoch(self, epoch: int, value: float | None) -> None:
        self._asked.clear()
        self._reports.put(self._report(epoch, value))
        if self._session.waits:
            self._asked.wait()

    def _last_report(self, outcome: Outcome) -> dict[str, Any]:
        report = self._report(outcome.epochs, outcome.score)
        return report | {"done": True, "outcome": outcome, "notices": self._notices}

    def _report(self, epoch: int, value: float | None) -> dict[str, Any]:
        return {"epoch": epoch, "score": attempts.rankable(self._trial, value), "value": value}

    def _callback(self) -> Any:
        from experiment.run.lifecycle import Interrupted

        import_keras()
        import keras

        run = self

        class Reports(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                run._tell_epoch(epoch + 1, (logs or {}).get(run._trial.metric))
                if run.finish_early.is_set():
                    self.model.stop_training = True
                self.on_train_batch_end(0)

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
                if run._interrupted.is_set():
                    raise Interrupted(signal.SIGTERM)

        return Reports()


def _limit_threads(threads: int) -> None:
    """Let TensorFlow compute on so many threads: several runs side by side are faster on one each."""
    import_keras()  # before TensorFlow, which imports Keras too
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
