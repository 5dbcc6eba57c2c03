"""Whether this machine computes in 16 bits, or would emulate it, told without TensorFlow."""

from __future__ import annotations

import platform
from pathlib import Path

from experiment.errors import UserError
from experiment.system.gpu import find_gpus

# As Linux names them. TensorFlow's oneDNN computes products and convolutions in bfloat16 by either.
_BFLOAT16 = ("amx_bf16", "avx512_bf16")
# NVIDIA's compute capability from which there are units for it: Ampere, Volta.
_CAPABILITIES = {"mixed_bfloat16": (8, 0), "mixed_float16": (7, 0)}
_NEEDS = {
    "mixed_bfloat16": "a processor with amx_bf16 or avx512_bf16 among the flags in /proc/cpuinfo, or an "
    "NVIDIA GPU of compute capability 8.0",
    # Measured on a processor with avx512_fp16: oneDNN has no fast code for the gradient of a convolution's
    # weights, which took 120 times as long as in float32; dense layers took as long as in float32.
    "mixed_float16": "an NVIDIA GPU of compute capability 7.0, as no processor is faster in it",
}


def check_precision(precision: str, *, gpu: bool = True) -> None:
    """Check that this machine has units for a precision; ``gpu`` says whether one that is there can be used.

    Raises:
        UserError: it would emulate it, or nothing is known of it.
    """
    if precision not in _NEEDS or (gpu and _gpu_has(_CAPABILITIES[precision])):
        return
    if precision == "mixed_bfloat16" and set(_BFLOAT16) & processor_flags():
        return
    raise UserError(f"precision = '{precision}': needs {_NEEDS[precision]}; take float32")


def processor_flags(file: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Return what the kernel says that an x86 processor can; nothing on others, and off Linux."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return set()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


def _gpu_has(capability: tuple[int, int]) -> bool:
    gpus = find_gpus()
    return gpus is not None and all(each >= capability for each in gpus.capabilities())
