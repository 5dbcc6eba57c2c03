"""What the machine does, in a run's directory, its archive and Comet; and what a run took of it, in words."""

import itertools
import json
import time
from pathlib import Path

import pytest

from experiment.comet import session
from experiment.comet.settings import import_comet
from experiment.compare.report.details import facts
from experiment.run import system_log
from experiment.run.lifecycle import recorded
from experiment.store.archive_format import archived_messages
from experiment.store.archive_reader import read_archive
from experiment.store.archive_writer import build_archive
from experiment.store.directory import RunDirectory
from experiment.store.directory_reader import read_record
from experiment.store.files import read_json
from experiment.store.journal import read_metrics, read_system_metrics
from experiment.store.usage import usage_lines
from experiment.system import sampler
from experiment.system.console import Console
from tests.support.made_runs import make_run
from tests.support.processes import command_here

FACTS = {"dataset": {"name": "none"}, "machine": {"cores": 2, "memory_gb": 25.3}}


@pytest.fixture(autouse=True)
def _samples_at_once(monkeypatch):
    monkeypatch.setattr(sampler, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(sampler, "LAST_SECONDS", 0.0)


def write(directory: RunDirectory, every: float = 60, notices: list | None = None):
    """Write a run, or go on with it, that logs one point and is sampled twice."""
    directory.create()
    before = len(list(read_system_metrics(directory.system_file)))
    where = session.destination("sampled", [], None, None)
    console = Console(quiet=True, on_notice=(notices if notices is not None else []).append)
    with recorded(directory, where, "offline", {"seed": 0}, FACTS, console, every) as tracker, tracker.test():
        tracker.log_parameters({"seed": 0})
        tracker.log_metric("loss", 0.5, step=7, epoch=1)
        while every and not notices and len(list(read_system_metrics(directory.system_file))) == before:
            time.sleep(0.01)
    return directory


def of_system(messages) -> list[dict]:
    return [
        m["payload"] for m in messages if m["payload"].get("metric", {}).get("metricName", "")[:4] == "sys."
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDirectory:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "FIRST_SECONDS", 0.01)
        patch.setattr(sampler, "LAST_SECONDS", 0.0)
        return write(RunDirectory(tmp_path_factory.mktemp("sampled") / session.new_key()))


def test_each_sample_is_in_the_directory_and_once_in_the_archive(run):
    journal = [(p.name, p.value, p.step, int(p.time * 1000)) for p in read_metrics(run.system_file)]
    assert len({step for _, _, step, _ in journal}) == 2
    archived = [
        (p["metric"]["metricName"], p["metric"]["metricValue"], p["metric"]["step"], p["local_timestamp"])
        for p in of_system(archived_messages(run.archive))
    ]
    assert archived == journal


def test_its_messages_have_the_shape_of_the_sdks_own(run, tmp_path):
    comet_ml = import_comet()
    config = comet_ml.ExperimentConfig(offline_directory=str(tmp_path), log_env_details=False)
    experiment = comet_ml.start(online=False, experiment_key=session.new_key(), experiment_config=config)
    experiment._log_cpu_details({"sys.cpu.percent.avg": 12.5, "sys.ram.total": 25276502016.0})
    experiment.end()
    theirs = of_system(archived_messages(next(tmp_path.glob("*.zip"))))
    ours = of_system(archived_messages(run.archive))
    shapes = [{(name, type(value)) for name, value in each.items()} for each in (*theirs, *ours)]
    assert all(shape == shapes[0] for shape in shapes)  # above all, no context: 'test' is not theirs
    fields = [{*each["metric"]} for each in (*theirs, *ours)]
    assert all(each == fields[0] for each in fields)
    assert all(each["metric"]["epoch"] is None for each in (*theirs, *ours))


def test_directory_and_archive_tell_the_same_points_and_the_same_use(run):
    kept, archived = read_record(run.path), read_archive(run.archive)
    own = [(p.name, p.value, p.step, p.epoch) for p in archived.points() if p.name != "process duration"]
    assert sorted((p.name, p.value, p.step, p.epoch) for p in kept.points()) >= sorted(
        point for point in own if point[0].startswith("sys.")
    )
    assert archived.run["usage"] == kept.run["usage"]
    assert archived.results.get("last", {}).keys() <= {"loss"}


def test_samples_that_the_sdk_never_wrote_are_added_to_the_archive(run, tmp_path):
    copy = RunDirectory(tmp_path / run.key)
    copy.create()
    for name in ("run.json", "params.json", "system.jsonl"):
        (copy.path / name).write_bytes((run.path / name).read_bytes())
    build_archive(copy)
    rebuilt, first = (of_system(archived_messages(each.archive)) for each in (copy, run))
    assert [p | {"message_id": 0} for p in rebuilt] == [p | {"message_id": 0} for p in first]


def test_a_resumed_run_appends_with_later_steps(run, tmp_path):
    directory = write(RunDirectory(tmp_path / session.new_key()))
    before = directory.system_file.read_text()
    write(directory)
    assert directory.system_file.read_text().startswith(before)
    steps = [point.step for point in read_metrics(directory.system_file)]
    assert steps == sorted(steps)
    assert len(set(steps)) == 4
    assert len(of_system(archived_messages(directory.archive))) == len(steps)


def test_an_interval_of_none_writes_no_file_and_the_use_is_known_all_the_same(tmp_path):
    directory = write(RunDirectory(tmp_path / session.new_key()), every=0)
    assert not directory.system_file.exists()
    assert read_json(directory.run_file)["usage"]["peak_memory_gb"] > 0


def test_a_file_that_cannot_be_written_is_one_notice_and_comet_is_told_all_the_same(tmp_path):
    directory = RunDirectory(tmp_path / session.new_key())
    directory.create()
    directory.system_file.mkdir()
    notices: list[str] = []
    write(directory, notices=notices)
    assert notices == [f"'{directory.system_file}' cannot be written: Is a directory"]
    assert read_json(directory.run_file)["status"] == "finished"
    assert of_system(archived_messages(directory.archive))


def test_a_gpu_is_described_to_comet_in_the_sdks_words(tmp_path, monkeypatch):
    from experiment.system.gpu import Gpus
    from tests.system.test_gpu import Nvml

    gpus = Gpus(Nvml(), {"CUDA_VISIBLE_DEVICES": "1"})
    monkeypatch.setattr(system_log, "find_gpus", lambda: gpus)
    directory = write(RunDirectory(tmp_path / session.new_key()))
    told = [m["payload"] for m in archived_messages(directory.archive) if m["type"] == "gpu_static_info"]
    assert [each["gpu_static_info"] for each in told] == [gpus.static_info()]
    names = {point.name for point in read_metrics(directory.system_file)}
    assert {"sys.gpu.0.gpu_utilization", "sys.gpu.0.used_memory"} <= names


USAGE = {
    **{"peak_memory_gb": 1.25, "mean_cores": 1.7, "training_cores": 1.9, "gpu_waited": 0.25, "gpu_looks": 8},
    **{"startup_s": 4.0, "compiling_s": 1.0, "training_s": 12.0, "evaluating_s": 1.0, "logging_s": 2.0},
}


def described(tmp_path: Path, usage: dict, **results) -> list[str]:
    path = make_run(tmp_path, "used", run_usage=usage, run_machine=FACTS["machine"])
    (path / "results.json").write_text(json.dumps(read_json(path / "results.json") | results))
    return usage_lines(read_record(path))


def test_the_conclusion_is_a_line_each_on_memory_and_cores_on_the_gpu_and_on_time(tmp_path):
    assert described(tmp_path, USAGE, epoch_s=2.0, process_s=25.0) == [
        "peak memory 1.25 GB of 25.3 GB; 1.7 of 2 cores busy on average, 1.9 in training",
        "the GPU waited 25% of training, 0.50 s of an epoch of 2.00 s (looked at 8 times)",
        "of 25.0 s: start-up 4.0 s (16%), compiling 1.0 s (4%), training 12.0 s (48%), "
        "evaluating 1.0 s (4%), logging 2.0 s (8%), closing 5.0 s (20%)",
    ]


def test_show_and_the_report_say_it_with_the_runs_details(tmp_path):
    lines = described(tmp_path / "runs", USAGE, epoch_s=2.0, process_s=25.0)
    shown = command_here("show", "used", cwd=tmp_path, COLUMNS="200").stdout
    machine = dict(facts(read_record(next((tmp_path / "runs").iterdir()))))["Machine"]
    for line in lines:
        assert line.partition(";")[0].partition(",")[0] in shown
        assert ["use", line] in machine


@pytest.mark.parametrize("usage", [{}, {"peak_memory_gb": "NaN"}, {"unheard_of": 3}])
def test_a_run_that_did_not_record_its_use_has_no_such_line(tmp_path, usage):
    assert described(tmp_path, usage) == []


def test_of_a_killed_run_the_samples_tell_memory_and_cores(run, tmp_path):
    path = make_run(tmp_path, "killed", run_status="interrupted", run_machine=FACTS["machine"])
    (path / "system.jsonl").write_bytes(run.system_file.read_bytes())
    (line,) = usage_lines(read_record(path))
    assert line.startswith("peak memory ")
    assert " of 2 cores busy on average" in line


def test_phases_inside_each_other_share_no_second():
    from experiment.system import process_clock as clock

    clock.restart()
    with clock.phase(clock.TRAINING):
        with clock.phase(clock.LOGGING):
            assert clock.is_in(clock.TRAINING)
        assert not clock.is_in(clock.LOGGING)
    spent = clock.spent()
    assert sum(each.seconds for each in spent.values()) == pytest.approx(clock.process_seconds(), abs=0.01)
    assert list(itertools.accumulate(each.seconds >= 0 for each in spent.values()))[-1] == len(clock.PHASES)
