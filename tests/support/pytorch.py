"""Files in PyTorch's legacy format, written operation by operation: PyTorch need not be there."""

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

STORAGES = {np.dtype("<f4"): b"FloatStorage", np.dtype("<i8"): b"LongStorage"}


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def numbers(values) -> bytes:
    return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"


def head() -> bytes:
    """Return the three pickles that every file begins with."""
    machine = {
        "protocol_version": 1001,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    parts = (0x1950A86A20F9469CFC6C, 1001, machine)
    return b"".join(pickle.dumps(part, protocol=2) for part in parts)


def tensor(key: str, values: np.ndarray, offset: int, shape, strides) -> bytes:
    """Return the operations that describe a tensor of a storage."""
    kind = b"ctorch\n" + STORAGES[values.dtype] + b"\n"
    length = b"J" + struct.pack("<i", values.size)
    storage = b"(" + text("storage") + kind + text(key) + text("cpu") + length + b"NtQ"
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    place = b"J" + struct.pack("<i", offset) + numbers(shape) + numbers(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + place + hooks + b"tR"


def file_of(described: Mapping[str, bytes], storages: Mapping[str, np.ndarray]) -> bytes:
    """Return a file of tensors that are described by operations, over storages by key."""
    table = b"\x80\x02ccollections\nOrderedDict\n)R("
    table += b"".join(text(name) + operations for name, operations in described.items()) + b"u."
    raw = b"".join(struct.pack("<q", values.size) + values.tobytes() for values in storages.values())
    return head() + table + pickle.dumps(list(storages), protocol=2) + raw


def legacy_file(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return a file of arrays float32 or int64, each with a storage of its own, however it lies in memory."""
    storages = {f"10{number}": array.ravel(order="K") for number, array in enumerate(arrays.values())}
    described = {
        name: tensor(
            key, storages[key], 0, array.shape, [stride // array.itemsize for stride in array.strides]
        )
        for key, (name, array) in zip(storages, arrays.items(), strict=True)
    }
    return file_of(described, storages)


def write_legacy(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    path.write_bytes(legacy_file(arrays))
    return path
