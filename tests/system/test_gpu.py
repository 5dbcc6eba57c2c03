"""GPUs as NVML tells of them; NVML itself is a stand-in, as far as its fields are read."""

import inspect
import time
import types

import pytest

from experiment.comet.settings import import_comet
from experiment.system import gpu
from experiment.system.gpu import Gpus, find_gpus
from experiment.system.sampler import Sampler

UUIDS = ("GPU-aaaa1111-0000", "GPU-aaaa2222-0000", "GPU-bbbb3333-0000")


class NVMLError(Exception):
    """What NVML answers to what it does not do."""


class Nvml:
    """Three GPUs, the one at index i busy to (i + 1) · 10 percent; ``unsupported`` is not told."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, *unsupported: str) -> None:
        for name in unsupported:
            setattr(self, name, self._refuse)

    def _refuse(self, *_):
        raise NVMLError("Not Supported")

    def nvmlInit(self):
        """Do nothing."""

    def nvmlDeviceGetCount(self):
        return len(UUIDS)

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid != "MIG-1":
            raise NVMLError("Not Found")
        return 2

    def nvmlDeviceGetUUID(self, handle):
        return UUIDS[handle]

    def nvmlDeviceGetName(self, handle):
        return f"Card {handle}".encode()  # older packages give bytes

    def nvmlSystemGetDriverVersion(self):
        return "550.1"

    def nvmlDeviceGetMemoryInfo(self, _):
        return types.SimpleNamespace(total=8_000_000_000, used=2_000_000_000, free=6_000_000_000)

    def nvmlDeviceGetUtilizationRates(self, handle):
        return types.SimpleNamespace(gpu=10 * (handle + 1), memory=5)

    def nvmlDeviceGetPowerUsage(self, _):
        return 70_000

    def nvmlDeviceGetEnforcedPowerLimit(self, _):
        return 300_000

    def nvmlDeviceGetTemperature(self, *_):
        return 41


def visible(named: str | None) -> list[int]:
    gpus = Gpus(Nvml(), {} if named is None else {"CUDA_VISIBLE_DEVICES": named})
    return [UUIDS.index(info["uuid"]) for info in gpus.static_info()]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("1", [1]),
        ("2,0", [2, 0]),
        (" 1 , 2", [1, 2]),
        ("0,7,1", [0]),  # CUDA stops at the first that is none
        ("GPU-bbbb3333-0000", [2]),
        ("GPU-bbbb,GPU-aaaa1", [2, 0]),
        ("GPU-aaaa", []),  # two begin like that
        ("MIG-1", [2]),
        ("MIG-2", []),
        ("first", []),
    ],
)
def test_the_gpus_are_those_that_cuda_shows_by_index_or_uuid(named, expected):
    assert visible(named) == expected


def test_a_sample_has_the_sdks_names_and_units_and_the_mean_use_since_the_last():
    gpus = Gpus(Nvml(), {"CUDA_VISIBLE_DEVICES": "2"})
    gpus.look()
    assert gpus.sample() == {
        "sys.gpu.0.gpu_utilization": 30.0,
        "sys.gpu.0.power_usage": 70_000.0,
        "sys.gpu.0.temperature": 41.0,
        "sys.gpu.0.memory_utilization": 5.0,
        "sys.gpu.0.free_memory": 6e9,
        "sys.gpu.0.used_memory": 2e9,
        "sys.gpu.0.percent.used_memory": 25.0,
    }


def test_a_sample_has_the_fields_of_the_sdks_own_collector(monkeypatch):
    import_comet()  # first, as it keeps the SDK from printing in this process
    from comet_ml.system.gpu import devices, gpu_logging, identifiers

    nvml = Nvml()
    for module in (devices, gpu_logging, identifiers):
        monkeypatch.setattr(module, "pynvml", nvml)
    monkeypatch.setattr(nvml, "nvmlDeviceGetHandleByUUID", UUIDS.index)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    theirs = gpu_logging.convert_gpu_details_to_metrics(gpu_logging.get_recurrent_gpu_metric())
    ours = Gpus(nvml, {})
    assert {metric["name"]: metric["value"] for metric in theirs} == ours.sample()
    assert gpu_logging.get_gpu_static_info() == ours.static_info()


def test_what_a_gpu_cannot_tell_is_left_out():
    nvml = Nvml("nvmlDeviceGetPowerUsage", "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo")
    gpus = Gpus(nvml, {"CUDA_VISIBLE_DEVICES": "0"})
    assert gpus.look() is None
    assert gpus.sample() == {"sys.gpu.0.temperature": 41.0}
    assert gpus.facts() == {"gpu": "Card 0", "gpu_driver": "550.1"}


def test_name_memory_and_driver_are_facts():
    assert Gpus(Nvml(), {"CUDA_VISIBLE_DEVICES": "0,1"}).facts() == {
        "gpu": "Card 0, Card 1",
        "gpu_memory_gb": 16.0,
        "gpu_driver": "550.1",
    }
    assert Gpus(Nvml(), {"CUDA_VISIBLE_DEVICES": ""}).facts() == {}


def test_how_long_gpus_waited_is_counted_in_training_alone(monkeypatch):
    monkeypatch.setattr("experiment.system.sampler.GPU_SECONDS", 0.001)
    training = [False]
    gpus = Gpus(Nvml(), {"CUDA_VISIBLE_DEVICES": "0,2"})
    with Sampler(lambda _: None, 60, print, lambda: training[0], gpus) as sampler:
        assert sampler.gpu_waited() is None
        training[0] = True
        while not sampler.gpu_waited():
            time.sleep(0.001)
    waited = sampler.gpu_waited()
    assert waited
    assert waited[0] == pytest.approx(0.8)


def test_nvml_has_all_functions_that_the_stand_in_has():
    pynvml = pytest.importorskip("pynvml")
    names = [name for name in vars(Nvml) if name.startswith("nvml") or name == "NVML_TEMPERATURE_GPU"]
    assert not [name for name in names if not hasattr(pynvml, name)]
    inspect.signature(pynvml.nvmlDeviceGetTemperature).bind(0, pynvml.NVML_TEMPERATURE_GPU)


def test_a_machine_without_a_driver_has_no_gpu_and_says_nothing(monkeypatch):
    pytest.importorskip("pynvml")
    monkeypatch.setattr(gpu, "NVIDIA_DEVICE", "/nowhere")
    notices: list[str] = []
    assert find_gpus(notices.append) is None
    assert notices == []


def test_a_gpu_that_cannot_be_asked_is_said_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "NVIDIA_DEVICE", str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    notices: list[str] = []
    assert find_gpus(notices.append) is None
    assert notices == [gpu.NO_READER]
