"""A program's own code beside this project's: script or notebook, the model's builder, what they import."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import inspect
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from experiment.run import provenance
from experiment.system.secrets import redact

PREFIX = "own/"  # before the names of such files in Comet and archives
PATCH = "own.patch"
NOTEBOOK = "notebook"
MOST_FILES = 200


@dataclasses.dataclass(frozen=True)
class OwnCode:
    """What a program added to this project's code for one run.

    Attributes:
        builder: which function built the model, as ``module.function``; None for one of this project's.
        files: content of each file, redacted, by its name in Comet; of a notebook the cells so far.
        folder: where git is asked about them; None where they are no files.
        left_out: how many files are beyond MOST_FILES.
    """

    builder: str | None
    files: Mapping[str, str]
    folder: Path | None
    left_out: int = 0

    def facts(self, secrets: Iterable[str | None] = ()) -> dict[str, Any]:
        """Describe it for ``run.json``: builder, SHA-256 of the whole and of each file, git."""
        hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in self.files.items()}
        whole = hashlib.sha256("".join(f"{name}\0{hashes[name]}\n" for name in sorted(hashes)).encode())
        git = provenance.git_facts(secrets, self.folder) if self._in_repository() else {}
        return {"builder": self.builder, "fingerprint": whole.hexdigest(), "files": hashes, "git": git}

    def patch(self, secrets: Iterable[str | None] = ()) -> str:
        """Return the uncommitted changes of their repository, '' where that is this project's."""
        return provenance.git_patch(secrets, self.folder) if self._in_repository() else ""

    def _in_repository(self) -> bool:
        """Tell whether they have a repository of their own; a home folder's may just lie around them."""
        if self.folder is None:
            return False
        top = provenance.repository(self.folder)
        return top not in (None, provenance.ROOT) and provenance.tracks(self.folder)


def find_own_code(
    build_model: Callable[..., Any] | None, secrets: Iterable[str | None] = ()
) -> OwnCode | None:
    """Find the files of a builder and of the running script: their modules and the local ones they import.

    Local is what lies neither in this project nor among installed packages. Secrets in them are replaced.

    Returns:
        None where no code but this project's makes the run.
    """
    secrets = tuple(secrets)
    builder = _plain_function(build_model) if build_model else None
    modules = [_module_of(builder)] if builder else []
    modules.append(sys.modules.get("__main__"))
    starts = [path for module in modules if module and (path := _local_file(module))]
    cells = _notebook_cells()
    found = dict(_reachable([(_import_name(path), path) for path in starts], cells))
    files = {
        f"{PREFIX}{name}": path.read_text("utf-8", errors="replace")
        for name, path in list(found.items())[:MOST_FILES]
    }
    if cells:
        files[f"{PREFIX}{NOTEBOOK}.py"] = "\n\n".join(cells)
    elif builder and not _local_file(_module_of(builder)) and not _is_ours(builder):
        files |= _source_alone(builder)
    name = builder_name(build_model) if build_model and not _is_ours(builder) else None
    if not files and name is None:
        return None
    clean = {each: redact(text, secrets) for each, text in files.items()}
    folder = starts[0].parent if starts else None
    return OwnCode(name, clean, folder, max(0, len(found) - MOST_FILES))


def builder_name(build_model: Callable[..., Any]) -> str:
    """Return what a builder is called: its module, or the script or notebook it is in, and its own name."""
    function = _plain_function(build_model)
    module = _module_of(function)
    path = _local_file(module)
    if module and module.__name__ != "__main__":
        place = module.__name__
    else:
        place = path.stem if path else NOTEBOOK if _notebook_cells() else "program"
    return f"{place}.{getattr(function, '__qualname__', type(function).__name__)}"


def _plain_function(build_model: Callable[..., Any]) -> Any:
    """Return the function behind decorators, partials and bound methods; of an object its class."""
    found: Any = inspect.unwrap(build_model)
    while isinstance(found, functools.partial):
        found = inspect.unwrap(found.func)
    found = getattr(found, "__func__", found)
    return found if hasattr(found, "__qualname__") else type(found)


def _module_of(function: Any) -> ModuleType | None:
    return sys.modules.get(getattr(function, "__module__", None) or "")


def _is_ours(function: Any) -> bool:
    path = getattr(_module_of(function), "__file__", None)
    return path is not None and _belongs_to_project(Path(path).resolve())


def _local_file(module: ModuleType | None) -> Path | None:
    """Return the Python file of a module if it is somebody's own: not this project's, not installed."""
    given = getattr(module, "__file__", None)
    if not given or not given.endswith(".py"):
        return None
    path = Path(given).resolve()
    return path if path.is_file() and is_foreign(path) else None


def is_foreign(path: Path) -> bool:
    """Tell whether a file, its path resolved, is somebody's own: not this project's, not installed."""
    return not _belongs_to_project(path) and not _is_installed(path)


def _belongs_to_project(path: Path) -> bool:
    root = provenance.ROOT
    return path == root / "train.py" or any(
        path.is_relative_to(root / part) for part in ("experiment", "params")
    )


@functools.cache
def _installed_folders() -> tuple[Path, ...]:
    folders = [*sysconfig.get_paths().values(), site.getusersitepackages(), *site.getsitepackages()]
    kept = {Path(each).resolve() for each in folders if each != sysconfig.get_path("data")}
    return tuple(kept)


def _is_installed(path: Path) -> bool:
    return (
        any(path.is_relative_to(folder) for folder in _installed_folders()) or "site-packages" in path.parts
    )


def _import_name(path: Path) -> str:
    """Return the path of a module below the folder it is imported from, which is what does not change."""
    top = path.parent
    while (top / "__init__.py").is_file():
        top = top.parent
    return path.relative_to(top).as_posix()


def _reachable(starts: Iterable[tuple[str, Path]], cells: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yield name and path of files and of the local modules that they import, and those import."""
    waiting, seen = list(starts), set()
    for cell in cells:
        waiting += _imported(cell, "")
    while waiting:
        name, path = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        yield name, path
        package = ".".join(Path(name).parent.parts)
        waiting += _imported(path.read_text("utf-8", errors="replace"), package)


def _imported(text: str, package: str) -> Iterator[tuple[str, Path]]:
    """Yield the local modules, loaded by now, that a text imports anywhere in it."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # a cell of another language, a file of another Python
        return
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*filter(None, parts), *filter(None, [node.module])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parents = (".".join(name.split(".")[:end]) for end in range(1, name.count(".") + 2))
            for each in parents:
                if path := _local_file(sys.modules.get(each)):
                    yield _import_name(path), path


def _notebook_cells() -> list[str]:
    """Return the cells that this notebook, or IPython session, has run so far; none elsewhere."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    cells = getattr(shell, "user_ns", {}).get("In", [])
    return [f"# In [{number}]\n{cell}" for number, cell in enumerate(cells) if cell]


def _source_alone(function: Any) -> dict[str, str]:
    try:
        return {f"{PREFIX}{function.__name__}.py": inspect.getsource(function)}
    except (OSError, TypeError):  # typed in at a prompt
        return {}
