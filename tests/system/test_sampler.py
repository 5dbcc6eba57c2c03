"""The machine sampled by a thread: what the SDK's own collectors see, and no failure that reaches a run."""

import math
import mmap
import time

import psutil
import pytest

from experiment.comet.settings import import_comet
from experiment.system import sampler
from experiment.system.sampler import Probes, Sampler
from tests.support.processes import ROOT, run_python


@pytest.fixture
def samples(monkeypatch):
    """What a sampler recorded, which takes a sample at once and another at its end."""
    monkeypatch.setattr(sampler, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(sampler, "LAST_SECONDS", 0.0)
    return []


def test_a_sample_has_the_names_of_the_sdks_own_collectors():
    import_comet()  # first, as it keeps the SDK from printing in this process
    from comet_ml.system.cpu.cpu_metrics_data_logger import CPUMetricsDataLogger
    from comet_ml.system.disk.disk_metrics_data_logger import DiskMetricsDataLogger
    from comet_ml.system.network.network_metrics_data_logger import NetworkMetricsDataLogger

    theirs: dict[str, float] = {}
    collectors = (
        CPUMetricsDataLogger(10, theirs.update, include_cpu_per_core=True, include_compute_metrics=False),
        DiskMetricsDataLogger(10, theirs.update),
        NetworkMetricsDataLogger(10, theirs.update),
    )
    probes = Probes(None, print)
    for _ in range(2):  # rates begin with the second sample
        for collector in collectors:
            collector.log_metric_data()
    ours = probes.sample()
    assert set(ours) == set(theirs) | {"sys.compute.utilized", "sys.process.ram.used"}
    assert all(isinstance(value, float) and math.isfinite(value) for value in ours.values())
    for name in ("sys.ram.total", "sys.load.avg"):
        assert ours[name] == pytest.approx(theirs[name], rel=0.5)


def test_the_memory_of_this_process_is_seen():
    before = Probes(None, print).sample()["sys.process.ram.used"]
    # Pages of its own: a heap may have room left from what ran here before.
    with mmap.mmap(-1, 50_000_000) as block:
        block.write(b"x" * len(block))
        grown = Probes(None, print).sample()["sys.process.ram.used"] - before
        assert len(block) / 2 < grown < len(block) * 3


@pytest.mark.parametrize("error", [PermissionError("denied"), psutil.AccessDenied(1), RuntimeError("odd")])
def test_what_cannot_be_read_is_said_once_and_the_rest_is_sampled(monkeypatch, error):
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(psutil, "net_io_counters", refuse)
    notices: list[str] = []
    probes = Probes(None, notices.append)
    assert "sys.ram.used" in probes.sample()
    assert "sys.network.send_bps" not in probes.sample()
    assert len(notices) == 1
    assert notices[0].startswith(f"system metrics go on without the network: {type(error).__name__}")


def test_disks_without_counters_as_in_containers_are_no_failure(monkeypatch):
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    notices: list[str] = []
    found = Probes(None, notices.append).sample()
    assert "sys.disk.root.used" in found
    assert "sys.disk.read_bps" not in found
    assert notices == []


def test_many_cores_have_their_mean_alone(monkeypatch):
    monkeypatch.setattr(sampler, "MOST_CORES", 0)
    assert [name for name in Probes(None, print).sample() if "percent" in name and "cpu" in name] == [
        "sys.cpu.percent.avg"
    ]


def test_a_short_run_has_a_sample_from_its_beginning_and_one_from_its_end(samples):
    with Sampler(samples.append, 60, print):
        while not samples:
            time.sleep(0.01)
    assert len(samples) == 2


def test_an_interval_of_none_samples_nothing(samples):
    with Sampler(samples.append, 0, print) as never:
        time.sleep(0.05)
    assert not samples
    assert never.gpu_waited() is None


def test_a_failure_of_the_thread_is_a_notice(samples):
    notices: list[str] = []

    def fail(values: object) -> None:
        raise ValueError("no more")

    with Sampler(fail, 60, notices.append):
        while not notices:
            time.sleep(0.01)
    assert notices == ["system metrics ended early: ValueError: no more"]


def test_the_sampler_runs_alone_without_tensorflow_or_comet():
    script = (
        "import runpy, sys; sys.argv[1:] = ['--seconds', '0.6', '--every', '0.2']\n"
        "try: runpy.run_module('experiment.system.sampler', run_name='__main__')\n"
        "finally: print([each for each in ('tensorflow', 'comet_ml', 'pydantic') if each in sys.modules])"
    )
    done = run_python("-c", script, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "GPUs that this process may use: 0" in done.stdout
    assert "sys.cpu.percent.avg" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
