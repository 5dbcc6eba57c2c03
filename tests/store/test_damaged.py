"""A file that is cut, foreign or edited by hand costs one sentence, or that run alone; never a traceback."""

import contextlib
import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from experiment import __main__ as command_line
from experiment.comet import upload
from experiment.commands import train
from experiment.run import provenance
from experiment.run import story as run
from experiment.store import archive_writer as archives
from experiment.store.archive_reader import read_archive
from experiment.store.directory import RunDirectory
from experiment.sweep.file import read_sweep
from experiment.sweep.outcomes import Outcome, settle
from experiment.sweep.plan import Plan
from experiment.sweep.trial import Trial
from experiment.training import checkpoints
from params.spec import Params
from tests.support.damage import as_bytes, damaged_bytes, damaged_json
from tests.support.made_runs import make_run, with_mistakes

FUZZ = settings(
    phases=(Phase.explicit, Phase.generate),  # shrinking whole commands takes minutes
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FILES = ("run.json", "params.json", "results.json", "metrics.jsonl", "predictions.npz", "comet/upload.json")


class Reached(Exception):
    """A command came to where it would begin to train or to send."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory, digits_file):
    """A run that can be resumed and rerun, with its archive, a checkpoint aside; and a neighbour of it."""
    runs = tmp_path_factory.mktemp("whole") / "runs"
    params = Params(dataset=str(digits_file), epochs=3).applicable() | {"dataset": digits_file.name}
    changed = {name.replace("-", "_"): value for name, value in params.items()}
    facts = provenance.describe_run() | {"process": {"pid": 1, "host": "h", "since": 1.0}, "note": None}
    facts |= {"workspace": None, "project": "p", "error": None, "deaths": 0}
    named = {f"run_{name}": value for name, value in facts.items()}
    prints = {f"{part}fingerprint": "d" * 64 for part in ("", "split_", "test_")}
    dataset = {"name": digits_file.name, "source": str(digits_file), "classes": list("0123456789"), **prints}
    path = make_run(runs, "one", predicted=with_mistakes(3), run_dataset=dataset, **changed, **named)
    directory = RunDirectory(path)
    archives.recover(directory)
    upload._write_ledger(directory, [], [], None)
    make_run(runs, "two", predicted=with_mistakes(5))
    return directory


@pytest.fixture(autouse=True)
def _stop_before_training(monkeypatch):
    def stop(*_, **__):
        raise Reached

    monkeypatch.setattr(run, "recorded", stop)
    monkeypatch.setattr(upload, "Server", stop)
    monkeypatch.setattr(provenance, "git_facts", lambda *_: {})
    monkeypatch.setattr(provenance, "restored_fingerprint", lambda *_: "")


def tell(main, *arguments) -> tuple[int | None, str, str]:
    """Run a command line in this process; return its exit code, None if it came to where it trains."""
    out, errors = io.StringIO(), io.StringIO()
    code: int | None = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), contextlib.suppress(Reached):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
            assert len(errors.getvalue().splitlines()) == 1, errors.getvalue()
    return code, out.getvalue(), errors.getvalue()


def check_commands(directory: RunDirectory) -> None:
    """Run every command that reads a run directory; that of a neighbour must not suffer."""
    runs, path = directory.path.parent, directory.path
    assert "two" in tell(command_line.main, "list", "--runs", runs)[1]
    assert '"two"' in tell(command_line.main, "list", "--json", "--runs", runs)[1]
    tell(command_line.main, "compare", "--runs", runs)
    assert tell(command_line.main, "show", "two", "--runs", runs)[0] == 0
    for command in (("show", path), ("show", "--json", path), ("compare", path, "two"), ("upload", path)):
        tell(command_line.main, *command, "--runs", runs)
    for arguments in (("--rerun", path), ("--resume", path), ("--resume", path, "--epochs", "4")):
        tell(train.main, *arguments, "--mode", "offline", "--runs", runs, "--quiet")
    tell(command_line.main, "upload", "--all", "--runs", runs)
    tell(command_line.main, "recover", "--all", "--runs", runs)
    tell(command_line.main, "recover", path, "--runs", runs)


@pytest.mark.parametrize("name", FILES)
@FUZZ
@given(data=st.data())
def test_whatever_a_file_of_a_run_holds_every_command_answers_in_a_sentence(whole, name, data):
    file = whole.path / name
    kept = {each: each.read_bytes() for each in whole.path.rglob("*") if each.is_file()}
    damage = damaged_json(json.loads(kept[file])) if file.suffix == ".json" else damaged_bytes(kept[file])
    try:
        file.write_bytes(data.draw(damage))
        check_commands(whole)
    finally:
        for each, content in kept.items():
            each.write_bytes(content)


@FUZZ
@given(data=st.data())
def test_whatever_an_archive_holds_every_command_answers_in_a_sentence(whole, tmp_path, data):
    member = data.draw(st.sampled_from([None, "experiment.json", "messages.json"]))
    path = tmp_path / "some.zip"
    if member is None:
        path.write_bytes(data.draw(damaged_bytes(whole.archive.read_bytes())))
    else:
        with zipfile.ZipFile(whole.archive) as source, zipfile.ZipFile(path, "w") as target:
            for name in source.namelist():
                content = source.read(name)
                if name == "experiment.json" == member:
                    content = data.draw(damaged_json(json.loads(content)))
                elif name == member:
                    lines = content.splitlines()
                    place = data.draw(st.integers(0, len(lines) - 1))
                    lines[place] = data.draw(damaged_json(json.loads(lines[place]))).replace(b"\n", b"")
                    content = b"\n".join(lines)
                target.writestr(name, content)
    for command in (("show", path), ("compare", path, "two")):
        tell(command_line.main, *command, "--runs", whole.path.parent)
    tell(train.main, "--rerun", path, "--mode", "offline", "--quiet", "--runs", tmp_path / "runs")


def test_a_list_that_the_sdk_logged_as_a_parameter_is_read(tmp_path):
    path = tmp_path / "other.zip"
    params = {"payload": {"params": {"paramName": "sizes", "paramValue": [1, 2]}}, "type": "parameter_msg"}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("experiment.json", "{}")
        archive.writestr("messages.json", json.dumps(params) + "\n")
    assert read_archive(path).params == {"sizes": "[1, 2]"}


@FUZZ
@given(data=st.data())
def test_a_damaged_checkpoint_is_passed_over_with_a_notice(tmp_path, data):
    state = {"history": {"loss": [0.5]}, "stopping": {}, "stopped": False}
    for epochs in (1, 2):
        weights = [np.zeros(3, np.float32)]
        checkpoints.write_checkpoint(tmp_path, checkpoints.Checkpoint(epochs, weights, weights, [], state))
    path = tmp_path / "000002.npz"
    path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))
    notices: list[str] = []
    found = checkpoints.read_checkpoint(tmp_path, notices.append)
    assert found
    assert (found.epochs == 2) == (not notices)
    assert all(str(path) in notice for notice in notices)


SWEEP = {
    "algorithm": "bayes",
    "parameters": {"initial-lr": {"type": "float", "min": 0.1, "max": 0.2}},
    "spec": {"metric": "loss", "objective": "minimize", "maxCombo": 2},
}


@FUZZ
@given(content=damaged_json(SWEEP))
def test_whatever_a_sweep_file_holds_reading_it_says_so_with_its_name(tmp_path, content):
    path = tmp_path / "sweep.json"
    path.write_bytes(content)
    sentence = str(path)
    try:
        read_sweep(str(path), Params())
    except ValueError as error:
        sentence = str(error)
    assert str(path) in sentence


@FUZZ
@given(data=st.data())
def test_whatever_a_sweeps_own_file_holds_it_is_refused_with_its_path_or_read(tmp_path, data):
    source = tmp_path / "sweep.json"
    source.write_bytes(as_bytes(SWEEP))
    sweep = read_sweep(str(source), Params())

    def plan() -> Plan:
        return Plan(sweep, Params(), "f", tmp_path, 1, None)

    made = plan()
    made.points, made.asked = [{"initial-lr": 0.15}], [{"initial-lr": 0.5}]
    made.folder.mkdir(parents=True, exist_ok=True)
    made.save()
    kept = json.loads(made.file.read_bytes()) | {"created": 1.7e9}  # the same each time
    made.file.write_bytes(data.draw(damaged_json(kept)))
    states: list[Trial | Outcome] = []
    sentence = str(made.file)
    try:
        states = plan().states()
    except ValueError as error:
        sentence = str(error)
    made.file.unlink()
    assert all(isinstance(state, Trial) for state in states)
    assert str(made.file) in sentence


@FUZZ
@given(data=st.data())
def test_an_attempt_whose_file_is_damaged_has_failed_and_the_trial_is_tried_again(tmp_path, data):
    trial = Trial("sweep", "name", 1, {"initial-lr": 0.1}, 0, "loss", "minimize")
    directory = RunDirectory(tmp_path / trial.key)
    directory.path.mkdir(exist_ok=True)
    directory.run_file.write_bytes(data.draw(damaged_bytes(b'{"key": "')))
    state = settle(tmp_path, trial, retries=1)
    assert isinstance(state, Trial)
    assert state.attempt == 2
    outcome = settle(tmp_path, trial, retries=0)
    assert isinstance(outcome, Outcome)
    assert str(directory.run_file) in str(outcome.error)
