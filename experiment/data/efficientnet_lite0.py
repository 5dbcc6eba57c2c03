"""EfficientNet-Lite0: its blocks, and its weights from PyTorch's file as arrays of Keras' layers.

The network is EfficientNet-B0 without squeeze-and-excitation, with ReLU6 for swish (Google, Apache-2.0;
75.1 % top-1 on ImageNet). Keras has no builder for it; layers are named as in Keras' EfficientNets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiment.data.pytorch_file import read_tensors
from experiment.errors import UserError

STEM, TOP = 32, 1280  # filters of the first and of the last convolution
# Of each stage: repeats, kernel, stride, expansion, filters.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_CONVOLUTION, _DEPTHWISE = (2, 3, 1, 0), (2, 3, 0, 1)  # a kernel's axes in PyTorch, in Keras' order
_NORM = ("weight", "bias", "running_mean", "running_var")  # Keras' gamma, beta, mean, variance


@dataclasses.dataclass(frozen=True)
class Block:
    """An inverted residual block: 1 × 1 convolution to ``expanded``, depthwise, 1 × 1 to ``filters``."""

    name: str
    kernel: int
    stride: int
    inputs: int
    expanded: int
    filters: int


def blocks() -> Iterator[Block]:
    """Yield the 16 blocks, first to last, named block1a to block7a."""
    inputs = STEM
    for stage, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES, 1):
        for repeat in range(repeats):
            name = f"block{stage}{chr(ord('a') + repeat)}"
            yield Block(name, kernel, 1 if repeat else stride, inputs, inputs * expansion, filters)
            inputs = filters


def read_weights(path: Path) -> dict[str, list[np.ndarray]]:
    """Return float32 arrays in Keras' order for each layer with weights, ``predictions`` for the top.

    The top is there where the file has one, whatever its classes: features do not need it.

    Raises:
        UserError: the file is no such file, is damaged, or holds another network or values like NaN.
    """
    tensors = read_tensors(path)
    arrays = {
        layer: [_take(path, tensors, name, shape) for name, shape in expected.items()]
        for layer, expected in _expected()
    }
    top = [tensors.pop(name, None) for name in ("_fc.weight", "_fc.bias")]
    if unknown := [name for name in tensors if not name.endswith(".num_batches_tracked")]:
        raise UserError(f"'{path}' holds another network than EfficientNet-Lite0: it has '{unknown[0]}'")
    if top[0] is not None and top[1] is not None:
        arrays["predictions"] = [top[0].T, top[1]]
    for layer, (kernel, *others) in arrays.items():
        if not others:
            arrays[layer] = [kernel.transpose(_DEPTHWISE if "dwconv" in layer else _CONVOLUTION)]
    return arrays


def _take(path: Path, tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Take the tensor of a name out of those of a file, checked."""
    tensor = tensors.pop(name, None)
    if tensor is None:
        raise UserError(f"'{path}' holds another network than EfficientNet-Lite0: it has no '{name}'")
    if tensor.shape != shape or tensor.dtype != np.float32:
        raise UserError(
            f"'{path}' holds another network or width than EfficientNet-Lite0: "
            f"'{name}' is {tensor.dtype} {tensor.shape}, where float32 {shape} should be"
        )
    if not np.isfinite(tensor).all():
        raise UserError(f"'{path}' is damaged: '{name}' holds values that are no finite numbers")
    return tensor


def _expected() -> Iterator[tuple[str, dict[str, tuple[int, ...]]]]:
    """Yield each layer with weights, and its tensors in PyTorch's file: names and shapes."""

    def norm(name: str, filters: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.{part}": (filters,) for part in _NORM}

    yield "stem_conv", {"_conv_stem.weight": (STEM, 3, 3, 3)}
    yield "stem_bn", norm("_bn0", STEM)
    for number, block in enumerate(blocks()):
        own = f"_blocks.{number}"
        if block.expanded != block.inputs:
            kernel = (block.expanded, block.inputs, 1, 1)
            yield f"{block.name}_expand_conv", {f"{own}._expand_conv.weight": kernel}
            yield f"{block.name}_expand_bn", norm(f"{own}._bn0", block.expanded)
        kernel = (block.expanded, 1, block.kernel, block.kernel)
        yield f"{block.name}_dwconv", {f"{own}._depthwise_conv.weight": kernel}
        yield f"{block.name}_bn", norm(f"{own}._bn1", block.expanded)
        kernel = (block.filters, block.expanded, 1, 1)
        yield f"{block.name}_project_conv", {f"{own}._project_conv.weight": kernel}
        yield f"{block.name}_project_bn", norm(f"{own}._bn2", block.filters)
    yield "top_conv", {"_conv_head.weight": (TOP, STAGES[-1][-1], 1, 1)}
    yield "top_bn", norm("_bn1", TOP)
