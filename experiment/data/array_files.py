"""Files of arrays: Keras' .npz layout and MNIST's IDX files; other files are told apart, never read."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from experiment.errors import UserError
from experiment.system.names import some

IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
# What a file that is no .npz begins with, what it is, and what to do with it.
_SAVE = "save its arrays by np.savez('NAME.npz', x_train=…, y_train=…, x_test=…, y_test=…)"
_UNPACK = "unpack it and give the folder or the .npz in it"
_KINDS = (
    (b"\x93NUMPY", "a single array (.npy)", _SAVE),
    (b"\x80", "a pickle, which may run code when it is read", f"if you trust it, {_SAVE}"),
    (b"\x1f\x8b", "compressed by gzip", _UNPACK),
    (b"BZh", "compressed by bzip2", _UNPACK),
    (b"\xfd7zXZ", "compressed by xz", _UNPACK),
    (b"7z\xbc\xaf", "a 7-Zip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"MATLAB", "a MATLAB file", f"read it by scipy.io.loadmat, then {_SAVE}"),
    (b"\x89HDF", "an HDF5 file (MATLAB's newer .mat files are, too)", f"read it by h5py, then {_SAVE}"),
    (b"PAR1", "a Parquet table", f"read it by pandas, then {_SAVE}"),
    (b"\0\0\x08", "one of MNIST's IDX files", "give the folder that holds all four"),
    (b"\x89PNG", "a single picture", "give a folder that holds a sub-folder a class"),
    (b"\xff\xd8", "a single picture", "give a folder that holds a sub-folder a class"),
    (b"version https://git-lfs", "a pointer of git-lfs", "git lfs pull fetches the file itself"),
    (b"<", "a web page or XML", "download the file itself"),
)


def read_npz(path: Path) -> dict[str, np.ndarray | None]:
    """Read the arrays of an ``.npz`` whose names begin with x_ or y_; no code in it is ever run.

    Returns:
        The arrays; None for each of another name, which is not read.

    Raises:
        UserError: it is not a readable .npz file, with what it is instead and what to do.
    """
    refused = f"dataset '{path}' is not a readable .npz file"
    try:
        with path.open("rb") as file:
            # Enough for every signature in _KINDS and for a line of a table.
            if instead := _known_kind(path, file.read(512)):
                raise UserError(f"{refused}: it is {instead}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                return {key: stored[key] if key[:2] in ("x_", "y_") else None for key in stored.files}
    except Exception as error:  # a damaged archive makes its readers raise a dozen kinds
        if str(error).startswith(refused):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        if "allow_pickle" in reason:  # NumPy says how to read what should not be read
            reason = f"Object arrays may run code when they are read; if you trust it, {_SAVE} of numbers"
        raise UserError(f"{refused}: {reason}") from None


def _known_kind(path: Path, start: bytes) -> str | None:
    """Return what a file is that is no archive of arrays, and what to do; None where it may be one."""
    if zipfile.is_zipfile(path):
        names = zipfile.ZipFile(path).namelist()
        if any(name.endswith(".npy") for name in names):
            return None
        return f"a zip archive of {some(names, 3) or 'nothing'}: {_UNPACK}"
    if not start:
        return "empty"
    for prefix, kind, advice in _KINDS:
        if start.startswith(prefix):
            return f"{kind}: {advice}"
    if start[257:262] == b"ustar" or (path.suffix == ".tar" and tarfile.is_tarfile(path)):
        return f"a tar archive: {_UNPACK}"
    if start.startswith(b"PK"):
        return "a damaged zip archive, cut short perhaps: copy or download it again"
    try:
        text = start.decode("utf-8", "strict" if len(start) < 512 else "ignore")
    except UnicodeDecodeError:
        return f"of an unknown kind: {_SAVE}"
    if not text.isprintable() and not set(text) - set("\t\r\n") <= set(filter(str.isprintable, text)):
        return f"of an unknown kind: {_SAVE}"
    table = path.suffix.lower() in (".csv", ".tsv") or "," in text.splitlines()[0]
    if table:
        return f"a table as text (CSV): make images of its rows (reshape), then {_SAVE}"
    return f"text: {_SAVE}"


def find_idx_file(folder: Path, file: str) -> Path | None:
    """Return where one of MNIST's IDX files lies in a folder, as it is published or as Kaggle has it.

    It may be gzipped, its name may have a dot (``train-images.idx3-ubyte``), and it may lie in a folder of
    its own name.
    """
    names = (file, file.replace("-idx", ".idx"))
    files = [f"{name}{end}" for name in names for end in ("", ".gz")]
    places = [folder, *(folder / name for name in files)]
    return next((place / name for name in files for place in places if (place / name).is_file()), None)


def is_idx_folder(folder: Path) -> bool:
    """Tell whether a folder holds any of MNIST's IDX files."""
    return any(find_idx_file(folder, file) for file in IDX_FILES.values())


def read_idx_folder(folder: Path) -> dict[str, np.ndarray]:
    """Read MNIST's four IDX files, plain or gzipped, as x_train, y_train, x_test, y_test, all uint8.

    Raises:
        UserError: one is missing or damaged.
    """
    arrays = {}
    for key, file in IDX_FILES.items():
        found = find_idx_file(folder, file)
        if found is None:
            raise UserError(
                f"dataset '{folder}' has no file {file} or {file}.gz: expected MNIST's four IDX files"
            )
        arrays[key] = _read_idx(found)
    return arrays


def _read_idx(path: Path) -> np.ndarray:
    """Read one IDX file of unsigned bytes (the format is described at the MNIST page of Yann LeCun)."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        dimensions = content[3]
        # Big-endian, as the format was made on other machines.
        shape = np.frombuffer(content, ">i4", dimensions, offset=4)
        if content[:3] != b"\0\0\x08":
            raise UserError("not an IDX file of unsigned bytes")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise UserError(f"dataset file '{path}' cannot be read: {error}") from None
