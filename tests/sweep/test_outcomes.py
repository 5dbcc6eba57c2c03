"""What run directories say of a trial."""

import dataclasses
import json
import math

import pytest

from experiment.store.directory import RunDirectory
from experiment.store.files import read_json, write_json
from experiment.store.record import FAILED, FINISHED, INTERRUPTED, RUNNING
from experiment.sweep.outcomes import DIVERGED, Outcome, note_death, settle
from experiment.sweep.trial import Trial

TRIAL = Trial("sweep", "name", 1, {"initial-lr": 0.1}, 0, "val_accuracy", "maximize")


def write_run(runs, trial, status, losses=(0.5, 0.4), accuracies=(0.7, 0.6), **fields) -> RunDirectory:
    """Write what a run leaves behind, as far as a trial's state depends on it."""
    directory = RunDirectory(runs / trial.key)
    directory.create()
    process = {"pid": 1, "host": "h", "since": 100.0}
    run = {
        "key": trial.key,
        "status": status,
        "error": None,
        "process": process,
        **trial.facts({}, {}, print),
    }
    run |= {
        "name": "n",
        "mode": "offline",
        "project": "p",
        "workspace": None,
        "tags": [],
        "started": 100.0,
        "ended": None,
    }
    write_json(directory.run_file, run | fields)
    write_json(directory.params_file, {})
    lines = []
    for epoch, values in enumerate(zip(losses, accuracies, strict=True), 1):
        for name, value in zip(("loss", "val_accuracy"), values, strict=True):
            shown = value if math.isfinite(value) else "NaN"
            point = {"name": name, "value": shown, "step": epoch, "epoch": epoch, "time": 0.0}
            lines.append(json.dumps(point) + "\n")
    directory.metrics_file.write_text("".join(lines))
    return directory


def attempt(number) -> Trial:
    return dataclasses.replace(TRIAL, attempt=number)


def test_a_trial_that_never_ran_is_to_be_begun(tmp_path):
    assert settle(tmp_path, TRIAL, retries=1) == TRIAL


@pytest.mark.parametrize("status", [RUNNING, INTERRUPTED])
def test_a_trial_that_did_not_end_is_to_be_resumed_under_its_key(tmp_path, status):
    write_run(tmp_path, TRIAL, status)
    assert settle(tmp_path, TRIAL, retries=0) == TRIAL


def test_a_finished_trials_score_is_the_best_of_its_epochs(tmp_path):
    write_run(tmp_path, TRIAL, FINISHED)
    outcome = settle(tmp_path, TRIAL, retries=0)
    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.score, outcome.epochs) == (FINISHED, 0.7, 2)


@pytest.mark.parametrize("status", [FINISHED, FAILED])
def test_a_loss_that_is_not_finite_is_a_result_without_a_score(tmp_path, status):
    write_run(tmp_path, TRIAL, status, losses=(0.5, math.nan), error="it diverged")
    outcome = settle(tmp_path, TRIAL, retries=5)
    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.score) == (DIVERGED, None)


def test_a_failed_trial_is_tried_again_so_often_and_then_failed_with_its_error(tmp_path):
    write_run(tmp_path, TRIAL, FAILED, error="Traceback …\nOSError: no space")
    assert settle(tmp_path, TRIAL, retries=1) == attempt(2)
    write_run(tmp_path, attempt(2), FAILED, error="Traceback …\nOSError: no space again")
    outcome = settle(tmp_path, TRIAL, retries=1)
    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.error) == (FAILED, "OSError: no space again")
    assert settle(tmp_path, TRIAL, retries=2) == attempt(3)


def test_a_death_of_the_whole_sweep_is_not_the_runs_fault(tmp_path):
    directory = write_run(tmp_path, TRIAL, RUNNING)
    note_death(directory, session_began=200.0, retries=0)
    assert "deaths" not in read_json(directory.run_file)
    assert settle(tmp_path, TRIAL, retries=0) == TRIAL


def test_a_run_whose_workers_keep_dying_is_given_up_and_archived(tmp_path):
    directory = write_run(tmp_path, TRIAL, RUNNING)
    note_death(directory, session_began=50.0, retries=1)
    assert settle(tmp_path, TRIAL, retries=1) == TRIAL
    note_death(directory, session_began=50.0, retries=1)
    outcome = settle(tmp_path, TRIAL, retries=1)
    assert isinstance(outcome, Outcome)
    assert outcome.status == FAILED
    assert "its worker process died 2 times" in (outcome.error or "")
    assert directory.archive.exists()


@pytest.mark.parametrize(
    "change", [{"sweep": "other"}, {"point": {"initial-lr": 0.2}}, {"seed": 1}, {"attempt": 2}]
)
def test_a_key_belongs_to_one_attempt_of_one_trial(change):
    key = dataclasses.replace(TRIAL, **change).key
    assert key != TRIAL.key
    assert len(key) == 40
    assert key.isalnum()


def test_a_key_does_not_depend_on_the_order_of_parameters():
    one, other = ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert dataclasses.replace(TRIAL, point=one).key == dataclasses.replace(TRIAL, point=other).key


def test_a_score_ignores_what_is_not_finite():
    assert TRIAL.score([math.nan, 0.3, math.inf, 0.5]) == 0.5
    assert dataclasses.replace(TRIAL, objective="minimize").score([math.nan, 0.3, 0.5]) == 0.3
    assert TRIAL.score([math.nan]) is None
