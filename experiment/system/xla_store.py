"""What XLA compiled, kept between processes: an equal program is read back in place of compiling it again.

TensorFlow does this itself, in a folder that ``TF_XLA_FLAGS`` names, but it writes there without care: a file
may be torn, and where one is, or cannot be written, it compiles nothing. So each process has a folder of its
own beside the store, with links to what the store holds, and what is new there is added to the store whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
import time
import zlib
from pathlib import Path

from experiment.system import gpu, imports, machine
from experiment.system.environment import cache_home

FLAGS = "TF_XLA_FLAGS"
# A program takes about a megabyte; the oldest go first.
MOST_BYTES = 64 << 20
LEAST_FREE_BYTES = 256 << 20
LEAST_ELSEWHERE_BYTES = 32 << 20
_PROCESS, _ELSEWHERE = "process-", "keras-comet-xla-"
# A folder of another machine's process is left for so long: a home may be shared, process numbers are not.
FOREIGN_SECONDS = 7 * 24 * 3600.0
_own: Path | None = None


def use() -> None:
    """Let TensorFlow read what earlier processes compiled; to be called before it is imported.

    Only in a process of ours, and on a processor: what was compiled for a GPU depends on more than is known
    here. Nothing is done where the store cannot be used.
    """
    global _own
    if _own or not imports.are_ours() or "tensorflow" in sys.modules or FLAGS in os.environ:
        return
    if not sys.platform.startswith("linux") or os.path.exists(gpu.NVIDIA_DEVICE):
        return
    # No run needs it: a full disk, a home that cannot be written to.
    with contextlib.suppress(OSError):
        store = _store()
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What lies there is run as it is, so nobody else may write it.
        if store.stat().st_uid == os.getuid() and shutil.disk_usage(store).free >= LEAST_FREE_BYTES:
            _remove_left(store)
            _own = store / f"{_PROCESS}{_here()}-{os.getpid()}"
            _own.mkdir(mode=0o700)
            _link(store, _own)
            os.environ[FLAGS] = f"--tf_xla_persistent_cache_directory={_own}"


def keep() -> None:
    """Add to the store what this process has compiled since."""
    if not _own:
        return
    with contextlib.suppress(OSError):
        if _own.is_symlink():  # TensorFlow will not read again what it has compiled
            for path in _own.iterdir():
                path.unlink()
            return
        known = {_name(path) for path in _programs(_own.parent)}
        for path in _own.glob("*.pb"):
            if path.name not in known:
                # A link is there whole or not at all, whoever else adds the same.
                with contextlib.suppress(FileExistsError):
                    os.link(path, _own.parent / f"{path.name}.{zlib.crc32(path.read_bytes()):08x}")
        _prune(_own.parent)


def forget() -> bool:
    """Empty the store after TensorFlow could not compile; tell whether that may have been its fault.

    From then on this process has a folder elsewhere: perhaps the disk is full, or the user's share of it.
    """
    if not _own:
        return False
    with contextlib.suppress(OSError):
        is_gone = not _own.is_dir()  # whoever empties a cache does not ask
        # TensorFlow leaves what it could not finish writing.
        suspects = [*_programs(_own.parent), *_own.glob("*.pb"), *_own.glob("*.tmp")]
        for path in suspects:
            path.unlink(missing_ok=True)
        if not _own.is_symlink():
            shutil.rmtree(_own, ignore_errors=True)
            _own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                _own.symlink_to(_elsewhere())
            except OSError:
                _own.mkdir(mode=0o700)
        return is_gone or bool(suspects)
    return False


def _store() -> Path:
    """Return the folder of this machine's programs: by all that XLA's output depends on beside its input."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    processor = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    settings = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith("XLA_"))
    version = importlib.metadata.version("tensorflow")
    described = "\n".join([*processor, *settings, version, str(machine.cores())])
    return cache_home() / "xla" / hashlib.sha256(described.encode()).hexdigest()[:16]


def _programs(store: Path) -> list[Path]:
    """Return the store's files, the newest first; their names end with checksums."""
    return sorted(store.glob("*.pb.*"), key=lambda path: -path.stat().st_mtime)


def _name(path: Path) -> str:
    return path.name.rpartition(".")[0]


def _link(store: Path, folder: Path) -> None:
    """Link what is whole into the folder, under TensorFlow's names; remove what is not."""
    for path in _programs(store):
        if path.name.endswith(f".{zlib.crc32(path.read_bytes()):08x}"):
            with contextlib.suppress(FileExistsError):
                os.link(path, folder / _name(path))
        else:
            path.unlink(missing_ok=True)


def _prune(store: Path) -> None:
    size = 0
    for path in _programs(store):
        size += path.stat().st_size
        if size > MOST_BYTES:
            path.unlink(missing_ok=True)


def _here() -> str:
    """Name what process numbers are unique in: this machine since it started, and its container."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    return hashlib.sha256(f"{boot} {os.stat('/proc/self/ns/pid').st_ino}".encode()).hexdigest()[:8]


def _remove_left(store: Path) -> None:
    """Remove the folders of processes that have ended."""
    own_place = _here()
    for folder in store.glob(f"{_PROCESS}*"):
        place, _, number = folder.name.removeprefix(_PROCESS).partition("-")
        if place == own_place:
            has_ended = number == str(os.getpid()) or not Path("/proc", number).exists()
        else:
            has_ended = time.time() - folder.lstat().st_mtime > FOREIGN_SECONDS
        if has_ended and folder.is_symlink():
            _empty(folder)
            folder.unlink(missing_ok=True)
        elif has_ended:
            shutil.rmtree(folder, ignore_errors=True)


def _elsewhere() -> str:
    """Return a new folder where there is room for programs.

    Raises:
        OSError: there is none.
    """
    for place in (tempfile.gettempdir(), "/dev/shm"):  # noqa: S108
        with contextlib.suppress(OSError):
            if shutil.disk_usage(place).free >= LEAST_ELSEWHERE_BYTES:
                return tempfile.mkdtemp(prefix=_ELSEWHERE, dir=place)
    raise OSError("no room for what XLA compiles")


def _empty(link: Path) -> None:
    """Remove the folder elsewhere that a link stands for; nothing else that a link may lead to."""
    target = link.readlink()
    if target.name.startswith(_ELSEWHERE) and not target.is_symlink():
        shutil.rmtree(target, ignore_errors=True)
