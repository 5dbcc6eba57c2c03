"""Runs read back from a stand-in of Comet's server by the real SDK."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from experiment import __main__ as command_line
from experiment.comet import runs as online
from experiment.comet import server as client
from experiment.compare.groups import plain
from experiment.store.directory_reader import read_record
from tests.support.comet_server import API_KEY, CometServer, Run
from tests.support.made_runs import make_run
from tests.support.processes import run_python

PLACE = "tests/keras-image-classifiers"


@pytest.fixture(scope="module")
def uploaded(offline_run, tmp_path_factory):
    """The server after a real run was uploaded to it."""
    with CometServer() as server:
        folder = tmp_path_factory.mktemp("upload")
        runs = Path(offline_run["run_dir"]).parent
        arguments = ("-m", "experiment", "upload", offline_run["key"], "--runs", runs, "--workspace", "tests")
        done = run_python(*arguments, cwd=folder, **server.environment())
        assert done.returncode == 0, done.stderr
        yield server


@pytest.fixture
def server(monkeypatch):
    """A server of its own for this test, and the SDK pointed to it."""
    with CometServer() as server:
        point_to(server, monkeypatch)
        yield server


def point_to(server, monkeypatch):
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)


def add_runs(server, count, **others):
    for number in range(count):
        run = Run("tests", "p", {"rate": str(number / 100), "seed": "0"})
        run.others = {"Name": f"run {number}", "run_status": "finished", **others}
        run.metrics = [
            {"metricName": name, "metricValue": value, "step": step, "epoch": step}
            for step in (1, 2)
            for name, value in (("val_loss", 1 / step), ("val_accuracy", 0.5 + step / 10))
        ]
        server.runs[f"{number:040x}"] = run


def requests(server, part):
    return sum(name.split("?")[0] == part for name in server.requests)


def test_a_run_read_back_says_what_its_directory_says(uploaded, offline_run, monkeypatch):
    point_to(uploaded, monkeypatch)
    run = read_record(Path(offline_run["run_dir"]))
    (fetched,) = online.fetch_runs(PLACE, with_tags=True)
    assert (fetched.key, fetched.name, fetched.status) == (run.key, run.name, "finished")
    assert {n: plain(v) for n, v in fetched.params.items()} == {n: plain(v) for n, v in run.params.items()}
    assert fetched.run["tags"] == run.run["tags"]
    assert fetched.run["dataset"]["test_fingerprint"] == run.run["dataset"]["test_fingerprint"]
    for name in ("val_loss", "val_accuracy"):
        assert fetched.results["best"][name] == pytest.approx(run.results["best"][name])
    assert fetched.results["test_accuracy"] == pytest.approx(run.results["test_accuracy"])
    kept, sent = run.predictions(), fetched.predictions()
    assert kept
    assert sent
    assert np.array_equal(sent.probabilities, kept.probabilities)
    journal = sorted((p.name, p.step, p.epoch) for p in run.points())
    automatic = "process duration"  # the one metric that the SDK adds by itself
    told = [(p.name, p.step, p.epoch) for p in fetched.points() if p.name != automatic]
    assert sorted(told) == journal


def test_directories_archives_and_comet_are_mixed_in_the_order_of_names(
    uploaded, offline_run, monkeypatch, capsys, tmp_path
):
    point_to(uploaded, monkeypatch)
    make_run(tmp_path / "runs", "here")
    arguments = ["compare", offline_run["key"][:9], "here", "--online", PLACE, "--json"]
    assert command_line.main(arguments) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert [(run["mode"], run["name"] == "here") for run in told["runs"]] == [
        ("online", False),
        ("offline", True),
    ]
    assert f"/{PLACE} – tick {offline_run['key'][:12]}" in said.err
    assert API_KEY not in said.out + said.err


def test_many_runs_are_asked_for_in_pages_and_three_requests_each(server, monkeypatch):
    monkeypatch.setattr(online, "PAGE", 10)
    add_runs(server, 25)
    assert len(online.fetch_runs("tests/p")) == 25
    assert requests(server, "experiments") == 3
    for part in ("experiment/parameters", "experiment/log-other", "experiment/metrics/get-all"):
        assert requests(server, part) == 25
    assert requests(server, "experiment/tags") == requests(server, "experiment/asset/list") == 0


def test_only_the_runs_that_were_named_are_read(server):
    add_runs(server, 5)
    found = online.fetch_runs("tests/p", ["run 3", f"{1:040x}"])
    assert [record.name for record in found] == ["run 3", "run 1"]
    assert requests(server, "experiment/parameters") == 2


def test_what_the_server_gives_back_as_text_has_its_type_again(server):
    add_runs(server, 1)
    next(iter(server.runs.values())).parameters |= {
        "size": "128",
        "flag": "true",
        "note": "1_000",
        "odd": "nan",
    }
    (record,) = online.fetch_runs("tests/p")
    assert record.params == {"rate": 0.0, "seed": 0, "size": 128, "flag": True, "note": "1_000", "odd": "nan"}


def test_a_run_that_logged_no_status_is_as_the_server_says(server):
    add_runs(server, 1)
    del next(iter(server.runs.values())).others["run_status"]
    assert online.fetch_runs("tests/p")[0].status == "running"


def test_a_request_that_is_refused_for_its_rate_is_repeated_when_the_server_says(server, capsys):
    add_runs(server, 1)
    server.fault, server.faulty = 429, ("experiment/parameters",)
    threading.Timer(0.5, lambda: setattr(server, "fault", None)).start()
    assert len(online.fetch_runs("tests/p")) == 1
    assert "Comet asks to wait 1 s" in capsys.readouterr().err


def test_after_a_third_of_an_hours_requests_they_are_spread_over_time(server, monkeypatch):
    add_runs(server, 4)
    slept: list[float] = []
    monkeypatch.setattr(client, "FREE_REQUESTS", 6)
    monkeypatch.setattr(client.time, "sleep", slept.append)
    online.fetch_runs("tests/p")
    assert slept == [1 / client.REQUESTS_PER_SECOND] * (2 + 4 * 3 - 6)


@pytest.mark.parametrize(
    ("place", "names", "variables", "message"),
    [
        ("tests/p", (), {"COMET_API_KEY": "wrongKey9876543210zyxwv"}, "Comet refuses the API key"),
        ("nowhere/p", (), {}, "Comet has no 'nowhere/p' for this API key"),
        ("tests/p", ("nosuch",), {}, "no run 'nosuch' in 'tests/p'"),
        ("tests/p", ("0",), {}, "run '0' is not unique in 'tests/p'"),
    ],
)
def test_a_wrong_key_place_or_name_is_one_sentence(
    server, monkeypatch, capsys, place, names, variables, message
):
    add_runs(server, 2)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        command_line.main(["compare", *names, "--online", place])
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said
    assert "wrongKey9876543210zyxwv" not in said


def test_a_server_that_fails_is_one_sentence(server, monkeypatch):
    monkeypatch.setenv("COMET_HTTP_SESSION_RETRY_TOTAL", "0")
    add_runs(server, 1)
    server.fault, server.faulty = 500, ("experiment/parameters",)
    with pytest.raises(ValueError, match="Comet cannot be read"):
        online.fetch_runs("tests/p")


def test_the_report_shows_online_runs_with_tags_and_without_the_key(server, tmp_path):
    pytest.importorskip("plotly", reason="plotly is not installed")
    add_runs(server, 2)
    for run in server.runs.values():
        run.tags = ["from afar"]
    assert command_line.main(["compare", "--online", "tests/p", "--html", "online.html"]) == 0
    page = (tmp_path / "online.html").read_text()
    assert "from afar" in page
    assert API_KEY not in page
