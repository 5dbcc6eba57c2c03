"""What Comet is told at the end of a run: its data set as an artifact, and an alert."""

import json

import pytest

from experiment.comet import dataset_artifact, upload
from experiment.commands import train_options
from experiment.errors import UserError
from experiment.run.lifecycle import Interrupted, RunFailed
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json, write_json
from tests.support import writer
from tests.support.comet_server import CometServer

pytestmark = pytest.mark.slow

COUNTS = {"train": {"cat": 3, "dog": 2}, "test": {"cat": 1, "dog": 1}}


def fail() -> None:
    raise OSError("the disk is full")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Server and directories: a run online, a second one offline and uploaded; the first failed later on."""
    folder = tmp_path_factory.mktemp("arrival")
    (folder / "pictures").mkdir()
    dataset = {"name": "pets/", "fingerprint": "ab" * 32, "image_shape": [8, 8, 1]}
    dataset["source"] = str(folder / "pictures")
    facts = {"dataset_artifact": dataset_artifact.describe(dataset, COUNTS)}
    with CometServer() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        online = writer.write(folder / "runs", "online", 1, 0.0, facts=facts, alert=True)
        offline = writer.write(folder / "runs", "offline", 1, 0.0, facts=facts)
        ledger = upload.upload(offline, print)
        upload.upload(offline, print)
        with pytest.raises(RunFailed):
            writer.write(folder / "runs", "online", 2, 0.0, online.key, ends=fail, alert=True)
        yield server, online, offline, ledger


def test_runs_of_one_content_use_one_version_online_and_uploaded(told):
    server, online, offline, ledger = told
    assert ledger["verified"]
    (version,) = server.artifacts
    assert (version.name, version.kind, version.producer) == ("pets", "dataset", online.key)
    assert version.users == [online.key, offline.key]
    for directory in (online, offline):
        assert read_json(directory.run_file)["dataset_artifact"]["version"] == "own/pets:1.0.0"


def test_a_version_holds_fingerprint_class_counts_and_a_reference_to_the_folder(told):
    server, online, _, _ = told
    (version,) = server.artifacts
    assert version.metadata["fingerprint"] == "ab" * 32
    assert version.metadata["class_counts"] == COUNTS
    assert version.aliases == ["sha256-abababababab"]
    assert json.loads(version.files["dataset.json"])["class_counts"] == COUNTS
    assert (online.path.parent.parent / "pictures").as_uri() in json.dumps(server.references)


def test_another_content_is_another_version(told, monkeypatch):
    server, online, _, _ = told
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    before, kept = read_json(online.run_file), list(server.artifacts)
    changed = before["dataset_artifact"] | {
        "alias": "sha256-cdcdcdcdcdcd",
        "version": None,
        "reference": None,
    }
    write_json(online.run_file, before | {"dataset_artifact": changed})
    try:
        assert dataset_artifact.send(online) == "own/pets:2.0.0"
    finally:
        write_json(online.run_file, before)
        server.artifacts[:] = kept


def test_an_artifact_that_comet_refuses_is_missing_from_the_ledger(told, monkeypatch):
    _, _, offline, _ = told
    before = read_json(offline.run_file)
    write_json(
        offline.run_file, before | {"dataset_artifact": before["dataset_artifact"] | {"version": None}}
    )
    monkeypatch.setenv("COMET_URL_OVERRIDE", "http://127.0.0.1:9/clientlib/")
    monkeypatch.setattr(dataset_artifact.session, "reopen", lambda *_: fail())
    ledger = dataset_artifact.deliver(offline, {"verified": True, "missing": []})
    write_json(offline.run_file, before)
    assert (ledger["verified"], ledger["missing"]) == (False, ["its data set's artifact (OSError)"])


def test_the_end_and_a_failure_are_alerts_with_status_and_link_of_resumed_runs_too(told):
    server, online, _, _ = told
    ours = [each for each in server.notifications if each["title"].startswith("Run ")]
    assert [each["status"] for each in ours] == ["finished", "failed"]
    for each in ours:
        assert (each["experiment_key"], each["title"]) == (online.key, f"Run a writer: {each['status']}")
        assert online.key in each["additional_data"]["link"]
    assert ours[1]["additional_data"]["error"] == "OSError: the disk is full"


def test_an_interruption_offline_says_that_no_alert_is_sent(tmp_path, capsys):
    def interrupt() -> None:
        raise Interrupted(15)

    with pytest.raises(Interrupted):
        writer.write(tmp_path / "runs", "offline", 1, 0.0, ends=interrupt, alert=True)
    assert (
        "notice: no alert is sent: Comet sends one only for a run that is online" in capsys.readouterr().err
    )


def options_of(*arguments):
    parser = train_options.build_parser("")
    return train_options.run_options(parser.parse_args(["--mode", "offline", *arguments]))


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_comet_notify_asks_for_alerts_of_single_runs(monkeypatch, text, expected):
    monkeypatch.setenv("COMET_NOTIFY", text)
    assert options_of().notify == expected
    assert not options_of("--sweep", "tutorial").notify
    assert options_of("--notify").notify


def test_comet_notify_that_is_neither_yes_nor_no_is_refused(monkeypatch):
    monkeypatch.setenv("COMET_NOTIFY", "perhaps")
    with pytest.raises(UserError, match="COMET_NOTIFY = 'perhaps': should be one of 1, true"):
        options_of()


def test_what_is_in_memory_only_has_no_reference():
    dataset = {"name": "数字/x", "source": "arrays", "fingerprint": "ab" * 32, "image_shape": [8, 8, 1]}
    described = dataset_artifact.describe(dataset, {})
    assert (described["name"], described["reference"]) == ("数字-x", None)


def test_a_run_without_the_option_has_no_artifact(tmp_path):
    directory = writer.write(tmp_path / "runs", "offline", 1, 0.0)
    assert dataset_artifact.send(RunDirectory(directory.path)) is None
