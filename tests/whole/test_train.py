"""Whole runs through the command line: real processes, real SDK, real TensorFlow, a few real digits."""

import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from experiment.commands import train
from experiment.commands.train_options import build_parser
from experiment.store.archive_format import archived_messages, check_archive
from experiment.store.files import read_json
from tests.support.forked import Forked
from tests.support.processes import ROOT, TRAIN, run_forked, run_python, run_train, train_here

TUTORIAL = {
    "dropout": 0.25,
    "batch-size": 128,
    "epochs": 2,
    "layer-1-size": 128,
    "layer-2-size": 128,
    "initial-lr": 0.01,
    "decay-steps": 2000,
    "decay-rate": 0.9,
    "optimizer": "adamax",
}
KEY = "aB3dE6gH9jK2mN5pQ8sT1vW4y"
NETWORK_CLOSED = """
import socket, sys
def refuse(*arguments, **named):
    print("NETWORK", arguments, file=sys.stderr)
    raise OSError("the network is closed")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="session")
def finished(digits_file, tmp_path_factory):
    """One finished offline run, with a closed network, and a key that stays unused in two places."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / ".comet.config").write_text(f"[comet]\napi_key = {KEY}\n")
    (folder / "sitecustomize.py").write_text(NETWORK_CLOSED)
    done = run_train(
        *("--dataset", digits_file, "--epochs", "2", "--mode", "offline", "--json", "--tag", "数字"),
        *("--name", f"with {KEY} in it"),
        cwd=folder,
        HOME=str(folder),
        PYTHONPATH=f"{folder}{os.pathsep}{ROOT}",
        COMET_API_KEY=KEY,
    )
    assert done.returncode == 0, done.stderr
    return done, json.loads(done.stdout.splitlines()[-1]), folder


def test_json_is_the_last_line_and_tells_what_scripts_want(finished):
    done, result, _ = finished
    assert len(done.stdout.splitlines()) == 1
    fields = (
        "key status mode run_dir archive url dataset epochs test_loss test_accuracy epoch_s fit_s process_s"
    )
    assert set(fields.split()) <= set(result)
    assert (result["status"], result["mode"], result["epochs"]) == ("finished", "offline", 2)
    assert result["dataset"] == "digits.npz"
    assert result["process_s"] > result["fit_s"] > result["epoch_s"] > 0


def test_the_run_directory_is_complete(finished):
    run = Path(finished[1]["run_dir"])
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert {
        *("run.json", "params.json", "metrics.jsonl", "predictions.npz", "results.json"),
        *("model/tf-mnist-comet.h5", "figures/samples.png", "figures/curves.png", "figures/mistakes.png"),
        f"comet/{run.name}.zip",
    } <= names
    assert json.loads((run / "run.json").read_text())["status"] == "finished"


def test_no_machine_path_is_in_what_comet_gets(finished, digits_file):
    for message in archived_messages(Path(finished[1]["archive"])):
        if message["type"] in ("parameter_msg", "metric_msg"):
            assert str(digits_file.parent) not in json.dumps(message)


def test_the_archive_is_sound(finished):
    assert check_archive(Path(finished[1]["archive"])) == []


def test_the_archives_parameters_are_the_pipelines_and_no_others(finished):
    messages = archived_messages(Path(finished[1]["archive"]))
    sent = [message["payload"]["param"] for message in messages if message["type"] == "parameter_msg"]
    values = {param["paramName"]: param["paramValue"] for param in sent}
    assert len(sent) == len(values)
    assert values == json.loads((Path(finished[1]["run_dir"]) / "params.json").read_text())
    assert values.items() >= TUTORIAL.items()
    assert {param["source"] for param in sent} == {"manual"}


def test_comets_own_tool_lists_parameters_metrics_and_the_model(finished):
    listing = subprocess.run(
        [Path(sys.executable).with_name("comet"), "offline", "--csv", finished[1]["archive"]],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert not [name for name in TUTORIAL if name not in listing]
    for metric in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "epoch_seconds"):
        assert metric in listing
    assert "tf-mnist-comet.h5" in listing


def test_every_epoch_is_logged_at_its_true_step_and_the_test_result_in_the_test_context(finished):
    messages = [m for m in archived_messages(Path(finished[1]["archive"])) if m["type"] == "metric_msg"]
    points = [
        (m["payload"].get("context"), m["payload"]["metric"]["step"], m["payload"]["metric"]["epoch"])
        for m in messages
        if m["payload"]["metric"]["metricName"] == "accuracy"
    ]
    assert points == [(None, 4, 1), (None, 8, 2), ("test", 8, 2)]


@pytest.mark.parametrize("name", ["git.patch", "params.toml", "predictions.npz", "class-scores.csv"])
def test_what_belongs_in_the_dashboard_is_an_asset(finished, name):
    if name == "git.patch" and not dirty():
        pytest.skip("the working tree has no uncommitted change")
    assert name in assets(finished)


def test_figures_confusion_matrix_histograms_model_and_code_are_logged(finished):
    logged = assets(finished)
    for name in ("samples.png", "curves.png", "mistakes.png", "confusion-matrix.json", "train.py"):
        assert name in logged
    assert logged["tf-mnist-comet.h5"] == "model-element"
    assert logged["experiment/run/story.py"] == "source_code"
    assert sum(kind == "histogram3d" for kind in logged.values()) == 6


def test_the_key_is_nowhere(finished):
    done, result, folder = finished
    assert KEY not in done.stdout + done.stderr
    run = Path(result["run_dir"])
    assert [path for path in run.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []
    with zipfile.ZipFile(result["archive"]) as archive:
        assert [name for name in archive.namelist() if KEY.encode() in archive.read(name)] == []
    assert "[redacted]" in result["name"]


@pytest.fixture(scope="module")
def quiet(digits_file, tmp_path_factory):
    """A quiet run without tracking that saves Keras' own format, and its directory."""
    folder = tmp_path_factory.mktemp("quiet")
    arguments = ("--dataset", digits_file, "--epochs", "2", "--mode", "disabled", "--quiet")
    done = run_forked(TRAIN, *arguments, "--model-file", "again.keras", cwd=folder)
    (run,) = (folder / "runs").iterdir()
    return done, run


@pytest.fixture(scope="module")
def in_plain_keras(finished, quiet, digits_file, tmp_path_factory):
    """Loss and accuracy of both runs' saved models in a process that knows nothing of this project."""
    script = """
import sys, keras, numpy as np
arrays = np.load(sys.argv[1])
pixels = arrays["x_test"].reshape(-1, 784).astype("float32") / 255
for path in sys.argv[2:]:
    model = keras.saving.load_model(path)
    loss, accuracy = model.evaluate(pixels, keras.utils.to_categorical(arrays["y_test"], 10), verbose=0)
    assert int(model.optimizer.iterations) == 8, model.optimizer.iterations
    assert "experiment" not in sys.modules
    print(loss, accuracy)
"""
    runs = (Path(finished[1]["run_dir"]), quiet[1])
    paths = [path for run in runs for path in (run / "model").iterdir() if path.suffix in (".h5", ".keras")]
    done = run_python("-c", script, digits_file, *paths, cwd=tmp_path_factory.mktemp("plain"), PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    told = [tuple(map(float, line.split())) for line in done.stdout.splitlines()[-2:]]
    return dict(zip((path.name for path in paths), zip(runs, told, strict=True), strict=True))


@pytest.mark.parametrize("model_file", ["tf-mnist-comet.h5", "again.keras"])
def test_the_saved_model_gives_the_logged_accuracy_in_plain_keras(in_plain_keras, model_file):
    run, (loss, accuracy) = in_plain_keras[model_file]
    results = read_json(run / "results.json")
    assert accuracy == pytest.approx(results["test_accuracy"], abs=1e-6)
    assert loss == pytest.approx(results["test_loss"], rel=1e-5)


def test_an_untracked_run_leaves_no_archive(quiet):
    assert not list(quiet[1].rglob("*.zip"))


def test_the_stored_predictions_give_the_logged_accuracy(finished):
    with np.load(Path(finished[1]["run_dir"]) / "predictions.npz") as stored:
        accuracy = np.mean(stored["probabilities"].argmax(-1) == stored["labels"])
    assert accuracy == pytest.approx(finished[1]["test_accuracy"])


def test_offline_never_touches_the_network(finished):
    assert "NETWORK" not in finished[0].stderr


def test_quiet_says_nothing(quiet):
    assert (quiet[0].returncode, quiet[0].stdout, quiet[0].stderr) == (0, "", "")


def test_without_a_terminal_each_epoch_is_a_plain_line(finished):
    lines = [line for line in finished[0].stderr.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2
    assert "\x1b" not in finished[0].stderr


def test_on_a_terminal_a_progress_bar_shows_live_metrics(digits_file, tmp_path):
    leader, follower = pty.openpty()
    command = (TRAIN, "--dataset", digits_file, "--epochs", "1", "--mode", "disabled")
    process = Forked(command, tmp_path, os.environ, stderr=os.ttyname(follower))

    def close() -> None:  # once nobody has the other side open, reading ends
        process.wait(60)
        os.close(follower)

    threading.Thread(target=close).start()
    seen = b""
    try:
        while chunk := os.read(leader, 65536):
            seen += chunk
    except OSError:
        pass  # how Linux says that the other side was closed
    os.close(leader)
    assert process.returncode == 0
    assert "val_accuracy" in seen.decode()
    assert re.search("━.*1.*/.*1|1/1", seen.decode())


BAD_INPUT = {
    "an unknown flag": (["--batchsize", "64"], "did you mean '--batch-size'"),
    "an underscore": (["--batch_size", "64"], "did you mean '--batch-size'"),
    "another tool's flag": (["--lr", "0.1"], "'--lr': did you mean '--initial-lr'"),
    "another tool's flag spelled out": (["--learning-rate=0.1"], "did you mean '--initial-lr'"),
    "another tool's option": (["--output-dir", "x"], "did you mean '--runs'"),
    "a flag for devices": (["--gpu", "0"], "CUDA_VISIBLE_DEVICES"),
    "scientific notation for an integer": (
        ["--epochs", "1e9"],
        "epochs = '1e9': should be an integer from 1 to 100,000",
    ),
    "a word for a switch": (["--early-stopping", "maybe"], "'maybe': should be true or false"),
    "memory that is no number": (["--memory-gb", "x"], "'x': should be a number greater than 0"),
    "filters of an mlp": (["--filters", "64"], "filters = 64 has no effect: it applies with model cnn"),
    "layers of a cnn": (
        ["--model", "cnn", "--layer-1-size", "8"],
        "has no effect: it applies with model mlp",
    ),
    "patience alone": (["--patience", "3"], "patience = 3 has no effect: it applies with early-stopping"),
    "what has no effect beside a file": (
        ["--params", "mnist-cnn", "--layer-2-size", "128"],
        "layer-2-size = 128 has no effect: it applies with model mlp",
    ),
    "a size of no pictures": (
        ["--dataset", "mnist-5k", "--image-size", "32"],
        "image-size = 32 has no effect: it applies with a folder of pictures or a CSV",
    ),
    "memory of no pictures": (
        ["--dataset", "mnist-5k", "--memory-gb", "4"],
        "memory-gb = 4 has no effect: it applies with a folder of pictures or a CSV",
    ),
    "a registry offline": (["--register", "x"], "register = 'x' needs mode online; this run's is offline"),
    "a project for nobody": (["--mode", "disabled", "--project", "x"], "--project: not with --mode disabled"),
    "a new name for an old run": (
        ["--resume", "x", "--name", "y"],
        "--name: not with --resume, as a run keeps",
    ),
    "a set nearly named": (["--dataset", "mnist5k"], "nor one of .*: did you mean 'mnist-5k'"),
    "a stray word": (["mnist"], "unknown argument 'mnist'"),
    "a flag without its value": (["--epochs"], "--epochs: expected one argument"),
    "a wrong type": (["--epochs", "ten"], "epochs = 'ten': should be an integer from 1"),
    "a fraction for an integer": (["--epochs", "1.5"], "epochs = '1.5': should be an integer from 1"),
    "below the range": (["--epochs", "0"], "epochs = 0: should be an integer from 1 to 100,000"),
    "above the range": (
        ["--dropout", "1"],
        "dropout = 1.0: should be a number of at least 0 and less than 1",
    ),
    "not a number": (["--initial-lr", "nan"], "initial-lr = nan: should be"),
    "an unknown choice": (
        ["--optimizer", "adagrad"],
        "should be 'adamax', 'adam', 'adamw', 'lion', 'rmsprop' or 'sgd'",
    ),
    "an unknown model": (["--model", "vgg"], "model = 'vgg': should be 'mlp', 'cnn', 'pretrained', or"),
    "an unknown mode": (["--mode", "on-line"], "invalid choice: 'on-line'"),
    "a validation fraction of 1": (["--validation", "1"], "validation = '1': should be 'test' or a fraction"),
    "a model file with a folder": (
        ["--model-file", "a/b.h5"],
        "without a folder, of 200 bytes at most, ending in",
    ),
    "a model file of another kind": (["--model-file", "b.pt"], "ending in .h5 or .keras"),
    "a missing parameter file": (["--params", "none.toml"], "'none.toml' does not exist"),
    "an unknown parameter set": (["--params", "mnist"], "or one of fashion-cnn, mnist-cnn, mnist-mlp"),
    "a broken parameter file": (["--params", "broken.toml"], "'broken.toml' is not valid TOML"),
    "an unknown name in a file": (["--params", "typo.toml"], "'epoch': did you mean 'epochs'?"),
    "a wrong type in a file": (["--params", "type.toml"], "epochs = '5': should be an integer from 1"),
    "a dataset that is not there": (["--dataset", "nowhere.npz"], "no file or folder here, nor one of"),
    "a dataset that is no array file": (["--dataset", "broken.toml"], "not a readable .npz file"),
    "runs in a place that is a file": (
        ["--dataset", "mnist-5k", "--runs", "broken.toml"],
        "runs = .* cannot be written to",
    ),
    "a model file with a long name": (["--model-file", "网" * 70 + ".h5"], "of 200 bytes at most"),
    "a long name": (
        ["--dataset", "mnist-5k", "--name", "x" * 101],
        "name = 'x*…' has 101 characters; at most",
    ),
    "a long tag": (
        ["--dataset", "mnist-5k", "--tag", "y" * 101],
        "tag = 'y*…' has 101 characters; at most 100",
    ),
    "online without a key": (["--mode", "online"], "needs a Comet API key .* put COMET_API_KEY=… into .env"),
}


@pytest.mark.parametrize("kind", BAD_INPUT)
def test_bad_input_is_one_sentence_exit_code_2_and_nothing_written(tmp_path, kind, capsys):
    (tmp_path / "broken.toml").write_text("epochs = \n")
    (tmp_path / "typo.toml").write_text("epoch = 5\n")
    (tmp_path / "type.toml").write_text('epochs = "5"\n')
    before = sorted(tmp_path.rglob("*"))
    arguments, message = BAD_INPUT[kind]
    with pytest.raises(SystemExit) as ended:
        train.main(arguments)
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert len(printed.err.strip().splitlines()) == 1
    assert re.search(message, printed.err), printed.err
    assert printed.out == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "value"), [([], "true"), (["false"], "false"), (["--quiet"], "true"), (["true"], "true")]
)
def test_a_switch_needs_no_argument_and_may_have_one(words, value):
    options = build_parser("").parse_args(["--early-stopping", *words])
    assert vars(options)["early-stopping"] == value


def test_help_lists_every_parameter_without_importing_tensorflow_or_comet(tmp_path):
    script = (
        "import sys\nfrom experiment.commands import train\n"
        "try: train.main(['--help'])\nfinally: print(sorted(sys.modules))"
    )
    done = run_python("-c", script, cwd=tmp_path)
    assert not [name for name in TUTORIAL if f"--{name} " not in done.stdout]
    assert "'tensorflow'" not in done.stdout
    assert "'comet_ml'" not in done.stdout


def test_an_unreachable_server_in_online_mode_trains_offline_after_a_notice(digits_file, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    arguments = ("--dataset", digits_file, "--epochs", "1", "--mode", "online", "--json")
    done = train_here(
        *arguments,
        cwd=tmp_path,
        COMET_API_KEY=KEY,
        COMET_URL_OVERRIDE=f"http://127.0.0.1:{port}/clientlib/",
    )
    assert done.returncode == 0, done.stderr
    assert "tracking offline: Comet's server" in done.stderr
    result = json.loads(done.stdout)
    assert result["mode"] == "offline"
    assert check_archive(Path(result["archive"])) == []


def assets(finished) -> dict[str, str]:
    """Return the logged files: name to kind."""
    found = {}
    for message in archived_messages(Path(finished[1]["archive"])):
        if message["type"] == "file_upload":
            details = message["payload"]["additional_params"]
            found[details.get("fileName") or details["figName"]] = message["payload"]["upload_type"]
    return found


def dirty() -> bool:
    """Tell whether the project's tracked files were changed."""
    command = ["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"]
    return bool(subprocess.run(command, capture_output=True, text=True).stdout)
