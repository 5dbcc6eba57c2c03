"""Files that others may have written, cut or edited, read with care; our own, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import lzma
import math
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from experiment.errors import UserError
from params.words import place, sentence_of_file

# What bytes that are no sound file of arrays or zip make their readers raise.
DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, MemoryError),
    *(RuntimeError, SyntaxError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)
NOT_FINITE = ("NaN", "Infinity", "-Infinity")  # Comet's words for what JSON has no number for
# What NumPy's int64 and SQL hold; larger ones become floats, as in JavaScript.
INTEGERS = range(-(2**63), 2**63)
_DEEPEST = 50
_KINDS = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}


class DamagedFile(UserError):
    """A file cannot be read, or does not hold what it should; the sentence names it."""


def one_line(error: BaseException) -> str:
    """Return what a reader says is wrong, cut to a line; NumPy's advice to load objects is none to follow."""
    text = " ".join(str(error).split())
    return "it holds no plain arrays" if "allow_pickle" in text else text[:200] or type(error).__name__


class Schema(BaseModel):
    """What a JSON object must hold as far as it holds it; nothing is converted, and more may be in it."""

    model_config = ConfigDict(strict=True, extra="ignore")


def is_number(value: Any) -> bool:
    """Tell whether a value that was read is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not (isinstance(value, (int, float)) or value in NOT_FINITE):
        raise ValueError("should be a number")
    return value


def _scalar(value: Any) -> Any:
    if not isinstance(value, (str, int, float, type(None))):
        raise ValueError("should be a number, a text, true, false or null")
    return value


Number = Annotated[Any, AfterValidator(_number)]
Scalar = Annotated[Any, AfterValidator(_scalar)]
# Since 1970; the years that calendars know, roughly.
Seconds = Annotated[float, Field(ge=-6e10, le=2.5e11, allow_inf_nan=False)]


def read_json(path: Path, schema: type[BaseModel] | None = None) -> dict[str, Any]:
    """Read a JSON object; NaN and infinities may stand in it as texts. Integers beyond 64 bits become floats.

    Raises:
        DamagedFile: it is not there, is no JSON object, or is not as the schema says.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DamagedFile(f"'{path}' cannot be read: {reason}") from None
    return parse_json(content, f"'{path}'", schema)


def parse_json(content: bytes, where: str, schema: type[BaseModel] | None = None) -> dict[str, Any]:
    """Parse what ``read_json`` reads; ``where`` is its name in error messages.

    Raises:
        DamagedFile: as there.
    """
    try:
        # Names of files may be no UTF-8; such bytes are kept, and escaped where they are shown.
        text = content.decode(json.detect_encoding(content), "surrogateescape")
        found = json.loads(text, parse_int=_integer)
    except json.JSONDecodeError as error:
        reason = (
            f"line {error.lineno}, column {error.colno}: {error.msg}" if content.strip() else "it is empty"
        )
        raise DamagedFile(f"{where} is no whole JSON: {reason}") from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else "it is no text"
        raise DamagedFile(f"{where} is no whole JSON: {reason}") from None
    if not isinstance(found, dict):
        raise DamagedFile(f"{where} should hold a JSON object, not {_KINDS.get(type(found), 'a number')}")
    # Counted first, which is quick: nearly no file is deep.
    if text.count("[") + text.count("{") > _DEEPEST and _is_deeper(found, _DEEPEST):
        raise DamagedFile(f"{where} is nested too deeply")
    if schema:
        check(found, where, schema)
    return found


def check(content: Mapping[str, Any], where: str, schema: type[BaseModel]) -> None:
    """Check what a JSON object holds.

    Raises:
        DamagedFile: one sentence with the first entry that is wrong, its value and what is allowed.
    """
    try:
        schema.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        name = place(details["loc"])
        if details["type"] == "missing":
            raise DamagedFile(f"{where} has no {name}") from None
        if len(repr(details["input"])) > 60:
            details["input"] = f"{str(details['input'])[:60]}…"
        raise DamagedFile(f"{where}: {sentence_of_file(details, name)}") from None


def _integer(text: str) -> int | float:
    # Python refuses to convert integers of more than 4,300 digits, in quadratic time below that.
    return int(text) if len(text) < 21 and int(text) in INTEGERS else float(text)


def _is_deeper(content: Any, levels: int) -> bool:
    parts = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return levels == 0 or any(_is_deeper(part, levels - 1) for part in parts)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object atomically; NaN and infinities become the strings that Comet uses."""
    write_atomically(path, encode_json(content, indent=2) + b"\n")


def encode_json(content: Any, indent: int | None = None) -> bytes:
    """Return ``plain_json`` of content as UTF-8."""
    plain = plain_json(content)
    try:
        return json.dumps(plain, ensure_ascii=False, allow_nan=False, indent=indent).encode()
    except UnicodeEncodeError:  # a file's name may hold what is no text
        return json.dumps(plain, allow_nan=False, indent=indent).encode()


def plain_json(content: Any) -> Any:
    """Return content as JSON can hold it: keys as text, NaN and infinities as the strings that Comet uses."""
    if isinstance(content, float):
        return finite_or_text(content)
    if isinstance(content, Mapping):
        return {str(key): plain_json(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [plain_json(value) for value in content]
    return content


def finite_or_text(value: float) -> float | str:
    """Return a finite number as it is, else 'NaN', 'Infinity' or '-Infinity': JSON has none of them."""
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves either the old one or the new one."""
    with atomic_path(path) as beside:
        beside.write_bytes(content)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; on leaving it is fsynced and renamed over ``path``."""
    # In the same folder, as a rename across file systems is a copy, which a crash can cut.
    handle, name = tempfile.mkstemp(prefix=".tmp-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        # Contents before the name: after a power loss the name could otherwise stand for an empty file.
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp's own 0600 would hide results from others who share the folder of runs.
        beside.chmod(0o644)
        beside.replace(path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_space(path: Path, needed: int) -> None:
    """Make sure that the disk which holds, or would hold, a path has so many bytes free.

    Raises:
        OSError: it has not.
    """
    # The path itself may be yet to be made.
    place = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        reason = f"no space left on the disk: {free / 1e6:.0f} MB are free, {needed / 1e6:.0f} MB are needed"
        raise OSError(errno.ENOSPC, reason, str(path))
