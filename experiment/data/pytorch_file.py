"""Files of PyTorch's legacy format (before 1.6), read as NumPy arrays: no PyTorch, and no code from the file.

Such a file is three pickles (a magic number, a protocol, the machine), the tensors' table as a pickle, their
storages' keys as a pickle, then of each storage an int64 length and raw values. A pickle may call anything
that it can name, so whatever these files do not need is refused before it is unpickled.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import numpy as np

from experiment.errors import UserError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
# The pickles of a network of 300 tensors take 47 KB; a table larger than this is no table of a backbone.
LARGEST_TABLES = 2**20
LARGEST_MEMO = 2**20  # an unpickler reserves memory for the largest index that a file names
OPERATIONS = frozenset(
    ("PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "BUILD", "BINPERSID")
    + ("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE")
    + ("LONG1", "BININT", "BININT1", "BININT2", "BINUNICODE", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2")
    + ("TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS")
)


class _Table(dict[str, Any]):
    """What stands for an OrderedDict: made empty, so that no file multiplies itself in memory by copies.

    Attributes that a file would set on it are left out.
    """

    def __init__(self) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        pass


class _Tensor:
    """A tensor as its file describes it: so many values of a storage, from an offset, at strides."""

    def __init__(
        self, storage: object, offset: object, shape: object, strides: object, *_unused: object
    ) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        """Return a copy of the tensor's values; refuse what lies outside its storage."""
        values = storages[_storage_of(self.storage)[0]]
        numbers = (self.shape, self.strides, (self.offset,))
        if not all(isinstance(each, tuple) and all(map(_is_size, each)) for each in numbers):
            raise ValueError("a tensor's offset, shape or strides are no whole numbers from 0")
        shape: Any = self.shape
        strides: Any = self.strides
        offset: Any = self.offset
        # as_strided trusts its caller: a wrong stride would read any memory of this process.
        if len(shape) != len(strides) or len(shape) > 8:
            raise ValueError("a tensor's shape and strides do not fit")
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        if 0 in shape or last >= len(values) or math.prod(shape) > len(values):
            raise ValueError("a tensor lies outside its storage")
        # Tensors lie transposed in files that were converted from TensorFlow: only the strides say so.
        steps = tuple(stride * values.itemsize for stride in strides)
        return np.lib.stride_tricks.as_strided(values[offset:], shape, steps, writeable=False).copy()


class _Unpickler(pickle.Unpickler):
    GLOBALS = {
        ("collections", "OrderedDict"): _Table,
        ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
        **{("torch", name): dtype for name, dtype in STORAGES.items()},
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.GLOBALS[module, name]
        except KeyError:
            raise ValueError(f"it asks for {module}.{name}, which weights do not need") from None

    def persistent_load(self, identity: Any) -> Any:
        return identity


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a file in PyTorch's legacy format by name, float32 or int64, in C order.

    Raises:
        UserError: it cannot be read, is cut short or too long, is in another format, names anything but the
            four globals that weights need, or describes tensors outside its storages.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            return _read(file, size)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        why = str(error) if type(error) is ValueError else f"{type(error).__name__} while it was read"
        raise UserError(
            f"'{path}' is no file of weights in PyTorch's legacy format, or is damaged: {why}"
        ) from None


def _read(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    if (start := file.read(4)) == b"PK\x03\x04":
        raise ValueError("it is in the zip format of PyTorch 1.6 and later")
    tables = io.BytesIO(start + file.read(LARGEST_TABLES - len(start)))
    if _unpickle(tables) != MAGIC:
        raise ValueError("it does not begin with PyTorch's magic number")
    protocol, machine = _unpickle(tables), _unpickle(tables)
    if protocol != PROTOCOL or not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("it is of another protocol or byte order")
    tensors, keys = _unpickle(tables), _unpickle(tables)
    if not isinstance(tensors, dict) or not all(isinstance(each, _Tensor) for each in tensors.values()):
        raise ValueError("it holds something else than a table of tensors")
    if not all(isinstance(name, str) for name in tensors):
        raise ValueError("a tensor's name is no text")
    described: dict[str, tuple[np.dtype[Any], int]] = {}
    for tensor in tensors.values():
        key, dtype, length = _storage_of(tensor.storage)
        if described.setdefault(key, (dtype, length)) != (dtype, length):
            raise ValueError("it describes one storage in two ways")
    if not isinstance(keys, list) or sorted(keys) != sorted(described):
        raise ValueError("its storages are not those of its tensors")
    file.seek(tables.tell())
    storages = _read_storages(file, size, keys, described)
    return {name: tensor.array(storages) for name, tensor in tensors.items()}


def _unpickle(tables: io.BytesIO) -> Any:
    """Return the next pickle's object, after a look at its every operation."""
    start = tables.tell()
    for operation, argument, _ in pickletools.genops(tables):
        # Before it is loaded, as an unpickler runs what a pickle says while it reads.
        if operation.name not in OPERATIONS:
            raise ValueError(f"its pickle holds {operation.name}, which weights do not need")
        if operation.name == "LONG_BINPUT" and int(argument or 0) > LARGEST_MEMO:
            raise ValueError("its pickle asks for more memory than weights need")
    return _Unpickler(io.BytesIO(tables.getbuffer()[start : tables.tell()])).load()


def _storage_of(storage: object) -> tuple[str, np.dtype[Any], int]:
    """Return a storage's key, the type of its values and how many it holds."""
    match storage:
        case ("storage", np.dtype() as dtype, str(key), str(), length, None) if _is_size(length):
            return key, dtype, length
    raise ValueError("it describes a storage in an unknown way")


def _is_size(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def _read_storages(
    file: BinaryIO, size: int, keys: list[str], described: dict[str, tuple[np.dtype[Any], int]]
) -> dict[str, np.ndarray]:
    """Read the values behind the tables; no more memory is taken than the file has bytes."""
    storages = {}
    for key in keys:
        dtype, length = described[key]
        header = file.read(8)
        if len(header) < 8 or file.tell() + length * dtype.itemsize > size:
            raise ValueError("it is cut short")
        if struct.unpack("<q", header) != (length,):
            raise ValueError("a storage's length is not what the table says")
        storages[key] = np.frombuffer(file.read(length * dtype.itemsize), dtype)
    # A file with something behind its tensors is not the one that its name says.
    if file.tell() != size:
        raise ValueError("it goes on where its tensors end")
    return storages
