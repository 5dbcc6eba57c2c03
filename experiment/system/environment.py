"""Settings from the surroundings: ``.env``, and the files that Comet's SDK reads its own from."""

from __future__ import annotations

import functools
import io
import os
import re
from pathlib import Path
from typing import Any

from experiment.errors import UserError

_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@functools.cache
def read_environment() -> None:
    """Take ``.env``, of this folder or the nearest above, into the environment; what is set there stays.

    The SDK's own reader of ``.env`` is turned off: it knows neither ``export`` nor values of several lines.

    Raises:
        UserError: ``.env`` or a configuration file of Comet cannot be read; one sentence with file and
            line, and never what the line holds.
    """
    from dotenv import find_dotenv, load_dotenv
    from everett.manager import ConfigEnvFileEnv

    if path := find_dotenv(usecwd=True):
        load_dotenv(stream=io.StringIO(_checked_lines(Path(path))))
    ConfigEnvFileEnv.__init__ = _read_nothing
    for file in comet_files():
        _check_comet_file(file)


def _read_nothing(reader: Any, possible_paths: Any) -> None:  # noqa: ARG001
    reader.data, reader.path = {}, None


def _checked_lines(path: Path) -> str:
    """Return the text of a file of lines NAME=value."""
    from dotenv.parser import parse_stream

    text = _text(path)
    for binding in parse_stream(io.StringIO(text)):
        is_bare_name = binding.value is None and _NAME.fullmatch(binding.key or "A")
        if binding.error or (binding.value is None and not is_bare_name):
            # The parser counts from the blank lines before an entry.
            blank = len(binding.original.string) - len(binding.original.string.lstrip())
            line = binding.original.line + binding.original.string[:blank].count("\n")
            raise UserError(
                f"{path}, line {line}: not understood; a line is NAME=value or a comment that begins with #"
            )
    return text


def _text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a mark of that at its beginning."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    try:
        # Windows' editors put a mark at the beginning, which would become part of the first name.
        text = content.decode("utf-8-sig")
        # A NUL is valid UTF-8, but ends a variable; a file in UTF-16 is full of them.
        bad = text.find("\0")
        before = text[: max(bad, 0)].encode()
    except UnicodeDecodeError as error:
        bad, before = error.start, content[: error.start]
    if bad >= 0:
        line = before.count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not text in UTF-8; save the file in that encoding")
    return text


def comet_files() -> list[Path]:
    """Return the configuration files that the SDK reads, those of them that exist.

    Raises:
        UserError: ``COMET_CONFIG`` names none.
    """
    places = [".comet.config", "/content/drive/MyDrive/.comet.config", "~/.comet.config"]
    if named := os.environ.get("COMET_INI", os.environ.get("COMET_CONFIG")):
        file = os.path.expanduser(named)
        file = os.path.join(file, ".comet.config") if os.path.isdir(file) else file
        if not os.path.exists(file):
            raise UserError(f"COMET_CONFIG: there is no {file}; name a file that exists, or leave it unset")
        places.insert(0, file)
    return [Path(place) for place in map(os.path.expanduser, places) if os.path.exists(place)]


def _check_comet_file(path: Path) -> None:
    """Read a configuration file as the SDK will.

    Raises:
        UserError: it cannot be read, or Comet would find nothing in it.
    """
    from everett.ext.inifile import ConfigIniEnv

    if path.is_dir():
        raise UserError(f"{path} is a folder; Comet's configuration is a file")
    _text(path)
    try:
        settings = ConfigIniEnv(str(path)).cfg
    except Exception as error:  # of configobj, whose messages quote the line
        first = next(iter(getattr(error, "errors", None) or [error]))
        line = getattr(first, "line_number", None)
        where = f"{path}, line {line}" if line else str(path)
        raise UserError(
            f"{where}: not understood ({type(first).__name__}); a line is [comet] or name = value"
        ) from None
    if settings and not any(name.startswith("COMET_") for name in settings):
        raise UserError(f"{path}: Comet finds nothing in it; settings stand below a line [comet]")


def switched_on(name: str) -> bool:
    """Tell whether a variable of the environment, or of ``.env``, says yes; where it is not set, no.

    Raises:
        UserError: it says neither yes nor no.
    """
    read_environment()
    text = os.environ.get(name, "").lower()
    if text not in ("", *_YES, *_NO):
        raise UserError(f"{name} = '{text}': should be one of {', '.join((*_YES, *_NO))}")
    return text in _YES


def cache_home() -> Path:
    """Return the folder of what this project keeps beside runs and can have again; it may be deleted."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "keras-comet-pipeline"
