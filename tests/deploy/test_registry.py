"""A run's model in Comet's registry: registered, found by version or tag, downloaded once, used as a run."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiment.__main__ import main
from experiment.comet import registry
from experiment.errors import UserError
from tests.support.comet_server import CometServer

NAME = "digits"


@pytest.fixture(scope="module")
def server() -> Iterator[CometServer]:
    with CometServer() as server:
        yield server


@pytest.fixture
def account(server, tmp_path, monkeypatch):
    """An account on the server, and a cache of its own."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def uploaded(server, account, offline_run, tmp_path, capsys) -> str:
    """The key of a run that is in ./runs and, uploaded, in Comet."""
    source = Path(offline_run["run_dir"])
    shutil.copytree(source, tmp_path / "runs" / source.name)
    if source.name not in server.runs:
        assert main(["upload", source.name]) == 0
    server.registry.clear()
    capsys.readouterr()
    return source.name


def register(key, *arguments) -> int:
    return main(["register", key, "--name", NAME, *arguments])


def refused(arguments, capsys) -> str:
    """Return the one sentence that a command is refused with."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_a_model_is_registered_with_version_tags_and_status(server, uploaded, capsys):
    assert register(uploaded[:8], "--version", "2.0.1", "--tag", "a", "--tag", "b", "--status", "QA") == 0
    (version,) = server.registry
    assert (version.name, version.version, version.tags, version.status) == (NAME, "2.0.1", ["a", "b"], "QA")
    assert version.experiment == uploaded
    assert f"own/{NAME}, version 2.0.1" in capsys.readouterr().out


def test_a_version_that_is_not_said_is_the_next_minor_one(server, uploaded):
    for _ in range(2):
        register(uploaded)
    assert [each.version for each in server.registry] == ["1.1.0", "1.0.0"]


def test_predict_and_show_take_a_version_or_a_tag_and_download_it_once(
    server, uploaded, offline_run, tmp_path, capsys
):
    register(uploaded, "--tag", "best")
    shutil.rmtree("runs")
    picture = tmp_path / "digit.png"
    Image.fromarray(np.full((28, 28), 90, np.uint8)).save(picture)
    capsys.readouterr()
    server.requests.clear()
    answers = []
    for wanted in ("", ":best", ":1.0.0"):
        assert main(["predict", f"registry:own/{NAME}{wanted}", str(picture), "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1] == answers[2]
    assert sum("download-instructions" in request for request in server.requests) == 1
    assert main(["show", f"registry:own/{NAME}:1.0.0", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["run"]["key"] == uploaded
    assert shown["run"]["registry"]["tags"] == ["best"]
    assert shown["results"]["test_accuracy"] == pytest.approx(offline_run["test_accuracy"])
    assert shown["params"]["epochs"] == 2
    assert main(["show", f"registry:own/{NAME}"]) == 0
    assert f"registry  own/{NAME}, version 1.0.0 (best)" in capsys.readouterr().out


def test_a_version_that_is_here_needs_neither_key_nor_network(server, uploaded, monkeypatch, capsys):
    register(uploaded)
    main(["show", f"registry:own/{NAME}"])
    monkeypatch.delenv("COMET_API_KEY")
    monkeypatch.setenv("COMET_URL_OVERRIDE", "http://127.0.0.1:9/clientlib/")
    assert main(["show", f"registry:own/{NAME}:1.0.0"]) == 0


def test_a_copy_from_the_registry_is_not_changed(server, uploaded, tmp_path, capsys):
    register(uploaded)
    main(["show", f"registry:own/{NAME}"])
    (copy,) = (tmp_path / "cache").rglob("run.json")
    assert "experiment upload" not in capsys.readouterr().out
    assert "is a copy from the registry" in refused(["upload", str(copy.parent)], capsys)


def test_without_a_key_it_is_one_sentence(account, monkeypatch, capsys):
    monkeypatch.delenv("COMET_API_KEY")
    for command in (["show", "registry:own/x"], ["predict", "registry:own/x", "a.png"]):
        assert "in Comet an API key is needed and none is set" in refused(command, capsys)
    assert "an API key is needed" in refused(["register", "0" * 40, "--name", "n"], capsys)


def test_a_download_without_its_bundle_leaves_nothing(server, uploaded, tmp_path, capsys):
    register(uploaded)
    assets = server.runs[uploaded].assets
    kept = list(assets)
    assets[:] = [asset for asset in assets if asset.get("fileName") != "bundle.json"]
    try:
        assert "cannot be used" in refused(["show", f"registry:own/{NAME}"], capsys)
    finally:
        assets[:] = kept
    assert list((tmp_path / "cache").rglob("*.h5")) == []


def test_what_cannot_be_registered_is_one_sentence(server, uploaded, capsys):
    register(uploaded)
    capsys.readouterr()
    wrong = {
        ("--version", "1.0.0"): f"version 1.0.0 of 'own/{NAME}' is taken; the newest is 1.0.0",
        ("--version", "new"): "version = 'new': should be three numbers, such as 1.0.0",
        ("--status", "Shipped"): "status = 'Shipped': workspace 'own' has None, Development, QA, Production",
        ("--name", "a/b"): "name = 'a/b': should have no space, slash or colon",
    }
    for arguments, sentence in wrong.items():
        assert sentence in refused(["register", uploaded, "--name", NAME, *arguments], capsys)
    assert "is not in Comet: send it first" in refused(["register", "0" * 40, "--name", "n"], capsys)


def test_a_version_or_tag_that_is_not_there_names_those_that_are(server, uploaded, capsys):
    register(uploaded)
    capsys.readouterr()
    for wanted in ("3.0.0", "best"):
        sentence = refused(["show", f"registry:own/{NAME}:{wanted}"], capsys)
        assert "has no such version or tag; there is 1.0.0" in sentence


@pytest.mark.parametrize(
    "text", ["registry:", "registry:own", "registry:own/", "registry:own/../x", "registry:a/b:"]
)
def test_a_place_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="should be registry:WORKSPACE/NAME"):
        registry.parse(text)
