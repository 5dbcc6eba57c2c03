"""A run is repeated: what differs is named, and whether it came out the same, to the bit, is true."""

import contextlib
import dataclasses
import io
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from experiment.comet import upload
from experiment.commands import train
from experiment.rerun import differences as rerun
from experiment.rerun import original, verdict
from experiment.run import provenance
from experiment.store.archive_format import archived_messages
from experiment.store.directory import RunDirectory
from experiment.store.directory_reader import read_record
from experiment.store.files import read_json, write_json
from experiment.store.find import list_runs
from experiment.store.journal import read_metrics
from tests.support.comet_server import CometServer
from tests.support.processes import ROOT, run_python

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def first(digits_file, tmp_path_factory) -> RunDirectory:
    """A finished offline run."""
    runs = tmp_path_factory.mktemp("runs")
    arguments = ("--dataset", digits_file, "--epochs", "2", "--runs", runs, "--mode", "offline", "--quiet")
    assert train.main([str(argument) for argument in arguments]) == 0
    return RunDirectory(list_runs(runs)[0])


@pytest.fixture
def copy(first, tmp_path) -> RunDirectory:
    """A copy of that run, to be spoilt."""
    shutil.copytree(first.path, tmp_path / "copies" / first.key)
    return RunDirectory(tmp_path / "copies" / first.key)


def repeat(run, *arguments) -> tuple[int, dict, str]:
    """Repeat a run in this process; return the exit code, the JSON and what was said."""
    command = ("--rerun", run, "--runs", "again", "--mode", "disabled", "--json", *arguments)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as said:
        code = train.main([str(argument) for argument in command])
    return code, json.loads(out.getvalue()), said.getvalue()


@pytest.fixture(scope="module")
def repeated(first, tmp_path_factory):
    """A rerun of it, tracked offline."""
    return repeat(first.path, "--mode", "offline", "--runs", tmp_path_factory.mktemp("again"))


def refusal(capsys, *arguments) -> str:
    """Return the one sentence with which train.py refuses, having written nothing."""
    with pytest.raises(SystemExit) as caught:
        train.main([str(argument) for argument in arguments])
    assert caught.value.code == 2
    assert not Path("runs").exists()
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    return sentence


def what_differs(result) -> list[str]:
    return [each["what"] for each in result["rerun"]["differences"]]


def test_a_rerun_of_a_run_directory_is_bit_identical(first, repeated):
    code, result, said = repeated
    assert code == 0
    assert (result["rerun"]["verdict"], result["rerun"]["differences"]) == ("bit-identical", [])
    points = sum(point.name != "epoch_seconds" for point in read_metrics(first.metrics_file))
    assert result["rerun"]["points"] == points
    assert "any verdict but bit-identical is a fault" in said
    assert f"{points} points and 100 predictions are equal, bit for bit" in said


def test_a_rerun_has_a_key_of_its_own_and_is_linked_to_its_original(first, repeated):
    assert repeated[1]["key"] != first.key
    again = RunDirectory(Path(repeated[1]["run_dir"]))
    assert read_json(again.run_file)["rerun"]["of"] == first.key
    assert f"rerun-of-{first.key[:12]}" in read_json(again.run_file)["tags"]
    assert read_json(again.results_file)["rerun"]["verdict"] == "bit-identical"
    messages = archived_messages(again.archive)
    others = {m["payload"]["key"]: m["payload"]["value"] for m in messages if m["type"] == "log_other"}
    assert (others["rerun_of"], others["rerun_verdict"]) == (first.key, "bit-identical")


def test_a_rerun_from_an_archive_is_bit_identical(first, digits_file):
    code, result, _ = repeat(first.archive, "--dataset", digits_file)
    assert code == 0
    assert (result["rerun"]["verdict"], result["rerun"]["source"]) == ("bit-identical", "archive")


def test_a_run_from_before_a_parameter_was_there_had_its_default(first):
    record = read_record(first.path)
    older = {name: value for name, value in record.params.items() if name not in ("precision", "ema")}
    older_record = dataclasses.replace(record, params=older)
    assert rerun.differences(older_record, record.params, record.run) == []
    (found,) = rerun.differences(older_record, {**record.params, "ema": 0.9}, record.run)
    assert (found.what, found.now) == ("parameter ema", "0.9")


def test_another_seed_is_named_and_diverges_at_the_first_step(first):
    code, result, said = repeat(first.path, "--seed", "1")
    assert what_differs(result) == ["parameter seed"]
    assert "parameter seed: 0 → 1" in said
    assert "this is another experiment" in said
    where = result["rerun"]["first_divergence"]
    assert (where["epoch"], where["step"], where["metric"]) == (1, 1, "batch_loss")
    assert code == (1 if result["rerun"]["verdict"] == "different" else 0)


def test_a_changed_pixel_is_named_and_the_runs_diverge(first, digits, tmp_path):
    changed = digits | {"x_train": digits["x_train"].copy()}
    changed["x_train"][7, 14, 14] ^= 255
    np.savez(tmp_path / "digits.npz", **changed)
    _, result, said = repeat(first.path, "--dataset", tmp_path / "digits.npz")
    assert what_differs(result) == ["data digits.npz, training part (SHA-256)"]
    assert result["rerun"]["verdict"] != "bit-identical"
    where = result["rerun"]["first_divergence"]
    assert where["epoch"] == 1
    assert where["then"] != where["now"]
    assert f"diverged epoch 1, step {where['step']}: {where['metric']}" in said


@pytest.fixture(scope="module")
def edited(first, tmp_path_factory):
    """A rerun, by code whose first layer is twice as wide, of a run that says that it took one thread."""
    folder = tmp_path_factory.mktemp("edited")
    for part in ("experiment", "params"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", folder)
    models = folder / "experiment" / "training" / "models.py"
    models.write_text(
        models.read_text().replace('get_parameter("layer-1-size")', '2 * get_parameter("layer-1-size")')
    )
    shutil.copytree(first.path, folder / "runs" / first.key)
    RunDirectory(folder / "runs" / first.key).update_run(threads=1)
    arguments = ("train.py", "--rerun", first.key, "--mode", "disabled", "--json")
    done = run_python(*arguments, cwd=folder, PYTHONPATH=str(folder))
    return done, json.loads(done.stdout)


@pytest.mark.slow
def test_a_local_edit_is_named_by_its_file_and_the_runs_diverge(edited):
    done, result = edited
    assert done.returncode == (1 if result["rerun"]["verdict"] == "different" else 0)
    assert "code experiment/training/models.py" in what_differs(result)
    where = result["rerun"]["first_divergence"]
    assert (where["epoch"], where["step"], where["metric"]) == (1, 1, "batch_loss")
    assert "verdict other than bit-identical may come of what differs" in done.stderr


@pytest.mark.slow
def test_a_rerun_takes_as_many_threads_as_its_original(edited):
    assert read_json(Path(edited[1]["run_dir"]) / "run.json")["threads"] == 1


def test_a_broken_off_original_is_compared_as_far_as_it_came(first, copy):
    lines = copy.metrics_file.read_bytes().splitlines(keepends=True)
    copy.metrics_file.write_bytes(b"".join(line for line in lines if json.loads(line)["epoch"] == 1))
    copy.update_run(status="interrupted")
    for path in (copy.predictions_file, copy.results_file, copy.archive):
        path.unlink()
    broken = original.find_original(Path("runs"), str(copy.path))
    found = verdict.judge(broken, first)
    said: list[str] = []
    assert found["verdict"] == "bit-identical"
    assert found["points"] == sum(point.name != "epoch_seconds" for point in broken.points())
    rerun.announce(broken, broken.params, broken.run, said.append)
    assert "the original is interrupted: it is compared as far as it came" in said[-1]


def test_data_that_is_gone_is_said_before_anything_is_written(copy, capsys):
    dataset = read_json(copy.run_file)["dataset"]
    copy.update_run(dataset=dataset | {"source": "/nowhere/digits.npz"})
    sentence = refusal(capsys, "--rerun", copy.path)
    assert "cannot be repeated without its data: '/nowhere/digits.npz' is gone; give --dataset" in sentence


def test_an_archive_of_a_file_needs_to_be_told_where_the_data_is(first, capsys):
    sentence = refusal(capsys, "--rerun", first.archive)
    assert "of 'digits.npz' the archive has no path; give --dataset PATH" in sentence


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"inertia": 0.9}, "there is no parameter 'inertia' any more"),
        ({"dataset": "arrays"}, "a program gave it its own model or arrays"),
        ({"optimizer": "adagrad"}, "optimizer = 'adagrad': "),
    ],
)
def test_a_run_that_cannot_be_repeated_is_refused(copy, capsys, params, message):
    write_json(copy.params_file, read_json(copy.params_file) | params)
    assert message in refusal(capsys, "--rerun", copy.path)


def test_a_run_without_a_finished_epoch_is_refused(copy, capsys):
    copy.metrics_file.write_bytes(b"")
    assert "has no finished epoch that a rerun could be compared with" in refusal(
        capsys, "--rerun", copy.path
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rerun", "nowhere"), "no run 'nowhere' in 'runs'"),
        (("--rerun", "0" * 40), f"to look for '{'0' * 40}' in Comet an API key is needed"),
        (("--rerun", "a", "--resume", "b"), "give one of them"),
        (("--rerun", "a", "--params", "mnist-cnn"), "change some by their flags"),
        (("--rerun", __file__), "is not a whole Comet archive"),
    ],
)
def test_bad_input_is_one_sentence(capsys, arguments, message):
    assert message in refusal(capsys, *arguments)


def test_a_run_that_is_alive_is_not_repeated(copy, capsys):
    copy.update_run(status="running")
    with copy.exclusive():
        assert "is alive: wait for its end" in refusal(capsys, "--rerun", copy.path)


def test_comet_tells_the_same_of_a_run_as_its_archive(copy, monkeypatch):
    with CometServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        assert upload.upload(copy, print)["verified"]
        places = (copy.key, str(copy.archive))
        fetched, read = (original.find_original(Path("runs"), place) for place in places)
    assert fetched.kind == "Comet"
    assert fetched.params == read.params
    assert sorted(fetched.points(), key=str) == sorted(read.points(), key=str)
    for field in ("key", "name", "status"):
        assert getattr(fetched, field) == getattr(read, field), field
    for field in ("dataset", "git", "machine", "packages", "code_fingerprint", "python", "threads"):
        assert fetched.run[field] == read.run[field], field
    assert (fetched.code(), fetched.patch()) == (read.code(), read.patch())
    one, other = fetched.predictions(), read.predictions()
    assert one
    assert other
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    flags = {"dataset": read_json(copy.run_file)["dataset"]["source"]}
    assert rerun.parameters(fetched, flags) == rerun.parameters(read, flags)


def test_a_run_is_asked_for_again_when_comet_refuses_for_its_rate(copy, monkeypatch, capsys):
    with CometServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        assert upload.upload(copy, print)["verified"]
        server.fault, server.faulty = 429, ("experiment/parameters",)
        threading.Timer(0.5, lambda: setattr(server, "fault", None)).start()
        assert original.find_original(Path("runs"), copy.key).params
    assert "Comet asks to wait 1 s" in capsys.readouterr().err


def test_a_run_that_comet_does_not_have_is_refused(monkeypatch):
    with CometServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ValueError, match="is neither here nor in Comet"):
            original.find_original(Path("runs"), "0" * 40)


# The verdict, on two runs of which one was spoilt


def judged(first, copy):
    return verdict.judge(original.find_original(Path("runs"), str(first.path)), copy)


def change(copy, name, epoch, function):
    points = [dataclasses.asdict(point) for point in read_metrics(copy.metrics_file)]
    for point in points:
        if (point["name"], point["epoch"]) == (name, epoch):
            point["value"] = function(point["value"])
    copy.metrics_file.write_text("".join(json.dumps(point) + "\n" for point in points))


def test_the_last_bit_of_one_value_is_found_and_is_within_noise(first, copy):
    change(copy, "val_loss", 2, lambda value: float(np.nextafter(value, 9)))
    found = judged(first, copy)
    assert (found["verdict"], found["points_differ"]) == ("same within noise", 1)
    where = found["first_divergence"]
    assert (where["epoch"], where["metric"]) == (2, "val_loss")
    assert 0 < where["difference"] < 1e-15


def test_timings_are_left_out(first, copy):
    change(copy, "epoch_seconds", 1, lambda value: value + 1)
    assert judged(first, copy)["verdict"] == "bit-identical"


def test_not_a_number_equals_not_a_number(copy):
    change(copy, "val_loss", 2, lambda value: value * float("nan"))
    assert judged(copy, copy)["verdict"] == "bit-identical"


def test_one_predicted_probability_that_differs_is_not_bit_identical(first, copy):
    spoil_predictions(copy, lambda probabilities: np.nextafter(probabilities, 1, dtype=np.float32))
    found = judged(first, copy)
    assert (found["verdict"], found["points_differ"]) == ("same within noise", 0)
    assert found["predictions"]["probabilities_differ"] == 100


def test_more_lost_images_than_chance_explains_is_different(first, copy):
    change(copy, "test_accuracy", 2, lambda value: value - 0.3)
    spoil_predictions(copy, lambda probabilities: np.roll(probabilities, 1, -1))
    found = judged(first, copy)
    assert found["verdict"] == "different"
    assert found["predictions"]["mcnemar_p"] < 0.05
    assert found["predictions"]["right_only_then"] > found["predictions"]["right_only_now"]


def test_a_loss_that_moved_by_more_than_a_tenth_is_different(first, copy):
    change(copy, "test_loss", 2, lambda value: value * 1.11)
    assert judged(first, copy)["verdict"] == "different"


def test_an_epoch_that_only_one_run_has_is_a_divergence(first, copy):
    lines = copy.metrics_file.read_bytes().splitlines(keepends=True)
    copy.metrics_file.write_bytes(b"".join(line for line in lines if json.loads(line)["name"] != "val_loss"))
    where = judged(first, copy)["first_divergence"]
    assert (where["metric"], where["epoch"], where["now"], where["difference"]) == ("val_loss", 1, None, None)


def spoil_predictions(copy, function):
    with np.load(copy.predictions_file) as stored:
        arrays = dict(stored)
    np.savez(copy.predictions_file, **arrays | {"probabilities": function(arrays["probabilities"])})


# Whether other code can be had again


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with a train.py of two lines, and the project's functions looking there."""
    root = tmp_path / "repository"
    root.mkdir()
    monkeypatch.setattr(provenance, "ROOT", root)
    (root / "train.py").write_text("a = 1\nb = 2\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "-c", "user.name=n", "-c", "user.email=e@e", "commit", "-qm", "one")
    return root


def git(root, *arguments):
    subprocess.run(["git", "-C", root, *arguments], check=True)


def test_a_commit_and_a_patch_give_the_code_again_without_touching_the_working_tree(repository):
    facts = provenance.git_facts()
    (repository / "train.py").write_text("a = 1\nb = 3\n")
    fingerprint, patch = provenance.code_fingerprint(), provenance.git_patch()
    (repository / "train.py").write_text("something else\n")
    assert provenance.restored_fingerprint(facts["commit"], patch) == fingerprint
    assert (repository / "train.py").read_text() == "something else\n"


def test_a_patch_that_does_not_apply_and_a_commit_that_is_not_there_are_said(repository):
    commit = provenance.git_facts()["commit"]
    (repository / "train.py").write_text("a = 1\nb = 3\n")
    patch = provenance.git_patch().replace("b = 2", "b = 7")
    with pytest.raises(ValueError, match="no longer apply to commit"):
        provenance.restored_fingerprint(commit, patch)
    with pytest.raises(ValueError, match="commit 000000000000 is not in this repository"):
        provenance.restored_fingerprint("0" * 40, "")


@pytest.mark.parametrize(
    ("patch", "note"),
    [
        ("{patch}", "would give the original's exactly"),
        ("", "uncommitted changes were not kept"),
        ("garbage", "no longer apply"),
    ],
)
def test_what_will_become_of_changed_code_is_said(first, repository, patch, note):
    (repository / "train.py").write_text("a = 1\nb = 3\n")
    facts = {"git": provenance.git_facts(), "code_fingerprint": provenance.code_fingerprint()}
    read = original.find_original(Path("runs"), str(first.path))
    patch = patch.format(patch=provenance.git_patch())
    read = dataclasses.replace(read, run={**read.run, **facts}, patch=lambda: patch, code=dict)
    (repository / "train.py").write_text("c = 4\n")
    said: list[str] = []
    values = {name: value for name, value in read.params.items()}
    rerun.announce(read, values, {**read.run, "code_fingerprint": "other"}, said.append)
    assert re.search(note, "\n".join(said)), said
