"""Online runs against a stand-in of Comet's server, with the real SDK."""

import json
import zipfile
from pathlib import Path

import pytest

from experiment.store.archive_format import archived_messages, check_archive
from tests.support.comet_server import API_KEY, CometServer
from tests.support.processes import train_here

AUTOMATIC = "process duration"  # the one metric that the SDK adds by itself


@pytest.fixture
def server():
    with CometServer() as server:
        yield server


@pytest.fixture(scope="module")
def online(digits_file, tmp_path_factory):
    """One run tracked online, and what the server got."""
    folder = tmp_path_factory.mktemp("online")
    with CometServer() as server:
        arguments = ("--dataset", digits_file, "--epochs", "2", "--json", "--tag", "数字", "--name", "名 <b>")
        done = train_here(*arguments, cwd=folder, **server.environment())
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    return done, result, server.runs[result["key"]], list(archived_messages(Path(result["archive"])))


def test_a_configured_key_makes_auto_online(online):
    assert online[1]["mode"] == "online"


def test_the_first_line_is_the_runs_address(online):
    assert online[0].stderr.splitlines()[0] == f"run 名 <b>, online: {online[1]['url']}"


def test_the_server_gets_the_parameters_and_no_others(online):
    _, result, run, _ = online
    assert len(run.parameter_messages) == len(run.parameters)
    logged = json.loads((Path(result["run_dir"]) / "params.json").read_text())
    assert {name: str(value) for name, value in run.parameters.items()} == {
        name: str(value) for name, value in logged.items()
    }


def test_the_server_gets_each_point_of_the_archive_once(online):
    _, _, run, messages = online
    sent = [(m.get("context"), m["metricName"], m["step"], m["epoch"]) for m in run.metrics]
    archived = [
        (
            m["payload"].get("context"),
            *(m["payload"]["metric"].get(f) for f in ("metricName", "step", "epoch")),
        )
        for m in messages
        if m["type"] == "metric_msg"
    ]
    sent, archived = ([p for p in points if p[1] != AUTOMATIC] for points in (sent, archived))
    assert len(sent) == len(set(sent))
    assert sorted(sent, key=str) == sorted(archived, key=str)


def test_the_server_gets_the_assets_of_the_archive_byte_for_byte(online):
    _, result, run, messages = online
    sent = {asset.get("assetId") or asset["imageId"]: asset["content"] for asset in run.assets}
    with zipfile.ZipFile(result["archive"]) as archive:
        for message in messages:
            if message["type"] == "file_upload":
                details = message["payload"]["additional_params"]
                content = archive.read(message["payload"]["file_path"])
                assert sent.pop(details.get("assetId") or details["imageId"]) == content
    assert not sent


def test_name_tags_and_origin_arrive(online):
    _, _, run, _ = online
    assert run.others["Name"] == "名 <b>"
    assert {"数字", "mlp"} <= set(run.tags)
    assert run.others["run_status"] == "finished"
    assert len(run.others["dataset_fingerprint"]) == 64


def test_the_archive_of_an_online_run_is_sound(online):
    assert check_archive(Path(online[1]["archive"])) == []


def test_the_key_is_in_no_file_and_no_output_of_an_online_run(online):
    done, result, _, _ = online
    assert API_KEY not in done.stdout + done.stderr
    files = [path for path in Path(result["run_dir"]).rglob("*") if path.is_file()]
    assert not [path for path in files if API_KEY.encode() in path.read_bytes()]


def test_a_refused_key_trains_offline_after_a_notice_that_does_not_show_it(server, digits_file, tmp_path):
    wrong = "wrongKey9876543210zyxwv"
    arguments = ("--dataset", digits_file, "--epochs", "1", "--json")
    done = train_here(*arguments, cwd=tmp_path, **server.environment() | {"COMET_API_KEY": wrong})
    assert done.returncode == 0, done.stderr
    assert "tracking offline: Comet refuses" in done.stderr
    assert wrong not in done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["mode"] == "offline"
    assert check_archive(Path(result["archive"])) == []


def test_offline_mode_sends_nothing_to_a_configured_account(server, digits_file, tmp_path):
    arguments = ("--dataset", digits_file, "--epochs", "1", "--mode", "offline")
    done = train_here(*arguments, cwd=tmp_path, **server.environment())
    assert done.returncode == 0, done.stderr
    assert server.requests == []
