"""The NVIDIA GPUs that this process may use, and what they are doing, as NVML tells it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

NVIDIA_DEVICE = "/dev/nvidiactl"  # there where a driver is
NO_READER = "the GPU is not sampled: pip install nvidia-ml-py, which reads its use"


class Gpus:
    """The GPUs that CUDA shows this process, in CUDA_VISIBLE_DEVICES' order.

    NVML counts GPUs by their places on the bus; CUDA does so too where CUDA_DEVICE_ORDER=PCI_BUS_ID, or where
    all of them are of one kind.

    Args:
        nvml: the module ``pynvml`` of the package nvidia-ml-py, or what has its functions.
        environment: that of this process.

    Raises:
        nvml.NVMLError: there is no driver, or it does not answer.
    """

    def __init__(self, nvml: Any, environment: Mapping[str, str] = os.environ) -> None:
        self._nvml = nvml
        nvml.nvmlInit()
        self._handles = _visible(nvml, environment.get("CUDA_VISIBLE_DEVICES"))
        self._busy: list[list[float]] = [[] for _ in self._handles]

    def __len__(self) -> int:
        return len(self._handles)

    def facts(self) -> dict[str, Any]:
        """Return name, memory in GB of 10^9 bytes and driver of the GPUs; {} where there is none."""
        if not self._handles:
            return {}
        names = [self._read(self._nvml.nvmlDeviceGetName, handle) for handle in self._handles]
        memories = [self._read(self._nvml.nvmlDeviceGetMemoryInfo, handle) for handle in self._handles]
        found = {
            "gpu": ", ".join(_text(name) for name in names if name),
            "gpu_memory_gb": round(sum(memory.total for memory in memories if memory) / 1e9, 1),
            "gpu_driver": _text(self._read(self._nvml.nvmlSystemGetDriverVersion) or ""),
        }
        return {name: value for name, value in found.items() if value}

    def capabilities(self) -> list[tuple[int, int]]:
        """Return the compute capability of each GPU: major and minor number; (0, 0) where it is not told."""
        told = [self._read(self._nvml.nvmlDeviceGetCudaComputeCapability, handle) for handle in self._handles]
        return [tuple(each) if each else (0, 0) for each in told]

    def static_info(self) -> list[dict[str, Any]]:
        """Return what Comet's System Metrics tab shows of each GPU, under the SDK's names; bytes, mW."""
        nvml, found = self._nvml, []
        for index, handle in enumerate(self._handles):
            memory = self._read(nvml.nvmlDeviceGetMemoryInfo, handle)
            info = {
                "name": _text(self._read(nvml.nvmlDeviceGetName, handle) or ""),
                "uuid": _text(self._read(nvml.nvmlDeviceGetUUID, handle) or ""),
                "power_limit": self._read(nvml.nvmlDeviceGetEnforcedPowerLimit, handle),
                "gpu_index": index,
            }
            found.append(info | ({"total_memory": memory.total} if memory else {}))
        return found

    def look(self) -> float | None:
        """Note how busy each GPU is now; return their mean in 0–1, None where NVML does not tell."""
        rates = [self._read(self._nvml.nvmlDeviceGetUtilizationRates, handle) for handle in self._handles]
        for busy, rate in zip(self._busy, rates, strict=True):
            if rate:
                busy.append(float(rate.gpu))
        known = [float(rate.gpu) for rate in rates if rate]
        return sum(known) / len(known) / 100 if known else None

    def sample(self) -> dict[str, float]:
        """Return metrics under the SDK's names: percent, mW, °C, bytes; what NVML does not tell is left out.

        ``gpu_utilization`` is the mean of what was seen since the last call.
        """
        nvml, found = self._nvml, {}
        self.look()
        for index, handle in enumerate(self._handles):
            memory = self._read(nvml.nvmlDeviceGetMemoryInfo, handle)
            rates = self._read(nvml.nvmlDeviceGetUtilizationRates, handle)
            busy, self._busy[index] = self._busy[index], []
            sensor = functools.partial(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
            values = {
                "gpu_utilization": sum(busy) / len(busy) if busy else None,
                "power_usage": self._read(nvml.nvmlDeviceGetPowerUsage, handle),
                "temperature": self._read(sensor),
                "memory_utilization": rates.memory if rates else None,
            }
            if memory:
                values |= {"free_memory": memory.free, "used_memory": memory.used}
                values |= {"percent.used_memory": 100 * memory.used / memory.total}
            for name, value in values.items():
                if value is not None:
                    found[f"sys.gpu.{index}.{name}"] = float(value)
        return found

    def _read(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what NVML tells; None where this GPU, or this user, is not told it."""
        try:
            return function(*arguments)
        except self._nvml.NVMLError:
            return None


def find_gpus(notify: Callable[[str], None] | None = None) -> Gpus | None:
    """Return the GPUs of this process; None where it has none, or where nobody can ask.

    ``notify`` is called with a sentence where there is a GPU, and it cannot be asked.
    """
    try:
        import pynvml

        return Gpus(pynvml) or None
    except Exception as error:  # not installed; no driver; an old driver that lacks a function
        if notify and os.path.exists(NVIDIA_DEVICE):
            notify(NO_READER if isinstance(error, ImportError) else f"the GPU is not sampled: {error}")
        return None


def _visible(nvml: Any, named: str | None) -> list[Any]:
    """Return the handles of what CUDA_VISIBLE_DEVICES names, up to the first wrong name; all if unset."""
    everyone = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    if named is None:
        return everyone
    found: list[Any] = []
    for name in (part.strip() for part in named.split(",")):
        handle = _handle(nvml, everyone, name)
        if handle is None:
            break
        found.append(handle)
    return found


def _handle(nvml: Any, everyone: list[Any], name: str) -> Any:
    """Return the handle of an index, a UUID or its beginning, or a slice of a GPU (MIG); None for no GPU."""
    if name.isdigit():
        return everyone[int(name)] if int(name) < len(everyone) else None
    if name.startswith("MIG-"):
        try:
            return nvml.nvmlDeviceGetHandleByUUID(name)
        except nvml.NVMLError:
            return None
    if not name.startswith("GPU-"):
        return None
    matching = [handle for handle in everyone if _text(nvml.nvmlDeviceGetUUID(handle)).startswith(name)]
    return matching[0] if len(matching) == 1 else None


def _text(text: str | bytes) -> str:
    return text.decode() if isinstance(text, bytes) else text
