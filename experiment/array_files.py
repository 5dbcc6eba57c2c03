"""Files of arrays: Keras' .npz layout and MNIST's IDX files."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path

import numpy as np

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read those of x_train, y_train, x_test, y_test that an ``.npz`` holds; no code in it is ever run.

    Raises:
        ValueError: it is not a readable .npz file.
    """
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            return {key: stored[key] for key in IDX_FILES if key in stored}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"dataset '{path}' is not a readable .npz file: {error}") from None


def read_idx_folder(folder: Path) -> dict[str, np.ndarray]:
    """Read MNIST's four IDX files, plain or gzipped, as x_train, y_train, x_test, y_test, all uint8.

    Raises:
        ValueError: one is missing or damaged.
    """
    arrays = {}
    for key, file in IDX_FILES.items():
        found = [path for path in (folder / file, folder / f"{file}.gz") if path.is_file()]
        if not found:
            raise ValueError(
                f"dataset '{folder}' has no file {file} or {file}.gz: expected MNIST's four IDX files"
            )
        arrays[key] = _read_idx(found[0])
    return arrays


def _read_idx(path: Path) -> np.ndarray:
    """Read one IDX file of unsigned bytes (the format is described at the MNIST page of Yann LeCun)."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        dimensions = content[3]
        shape = np.frombuffer(content, ">i4", dimensions, offset=4)
        if content[:3] != b"\0\0\x08":
            raise ValueError("not an IDX file of unsigned bytes")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise ValueError(f"dataset file '{path}' cannot be read: {error}") from None
