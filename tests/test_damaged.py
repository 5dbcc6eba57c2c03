"""A file that is cut, foreign, older or edited by hand costs one sentence, or that run alone; never a traceback."""

import contextlib
import io
import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import train
from experiment import __main__ as command_line
from experiment import archives, provenance, run, upload
from experiment.rundir import RunDirectory
from params.spec import Params
from tests.damage import damaged_bytes, damaged_json
from tests.made_runs import make_run, with_mistakes

FUZZ = settings(
    phases=(Phase.explicit, Phase.generate),
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
    upload._write_ledger(directory, [], [])
    make_run(runs, "two", predicted=with_mistakes(5))
    return directory


@pytest.fixture(autouse=True)
def _stop_before_training(monkeypatch):
    def stop(*_, **__):
        raise Reached

    monkeypatch.setattr(run, "recorded", stop)
    monkeypatch.setattr(upload, "_fetch", stop)
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
