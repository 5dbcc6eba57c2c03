"""Which package may import which, over every module; which answer at once as they import no TensorFlow."""

import ast
import graphlib
from functools import cache

import pytest

from tests.conftest import ROOT, run_python

# From the ground up: a package imports itself and what lies on lower floors, nothing beside it or above it.
FLOORS = (
    {"experiment.errors"},
    {"params"},
    {"experiment.system", "experiment.evaluation"},
    {"experiment.store"},
    {"experiment.data", "experiment.comet"},
    {"experiment.training"},
    {"experiment.run"},
    {"experiment.rerun", "experiment.compare", "experiment.deploy"},
    {"experiment.sweep"},
    {"experiment.commands"},
    {"experiment.__main__", "train"},
)
FLOOR_OF = {package: number for number, packages in enumerate(FLOORS) for package in packages}
# What runs inside TensorFlow, or inside Ray, is imported there alone.
INSIDE = {"experiment.training": "tensorflow", "experiment.sweep.ray_tune": "ray"}


@cache
def modules() -> dict[str, set[str]]:
    """Return each module of the project with the project's modules that it imports, wherever in it."""
    paths = [*ROOT.glob("experiment/**/*.py"), *ROOT.glob("params/**/*.py"), ROOT / "train.py"]
    names = {name_of(path): path for path in paths}
    return {name: imported_by(name, path, set(names)) for name, path in names.items()}


def name_of(path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_by(name, path, known) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports by a relative name"
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                found.add(module if module in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & known) - {name}


def package_of(module) -> str | None:
    """Return the package on a floor that a module belongs to; None for one that no floor knows."""
    parts = module.split(".")
    return next((each for end in (2, 1) if (each := ".".join(parts[:end])) in FLOOR_OF), None)


def test_every_module_lies_on_a_floor():
    assert [name for name in modules() if name != "experiment" and not package_of(name)] == []


@pytest.mark.parametrize("package", sorted(FLOOR_OF))
def test_a_package_imports_only_what_lies_below_it(package):
    upwards = [
        f"{name} → {each}"
        for name, imported in modules().items()
        if package_of(name) == package
        for each in imported
        if package_of(each) not in (package, None) and FLOOR_OF[package_of(each)] >= FLOOR_OF[package]
    ]
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle():
    # A package's own file stands for what it exports; what lies in the package does not import it.
    graph = {name: imported for name, imported in modules().items() if name != "experiment"}
    assert list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("package", sorted(INSIDE))
def test_what_runs_inside_an_engine_is_imported_where_it_is_used(package):
    outside = [name for name in modules() if not name.startswith(package)]
    script = (
        f"import sys, {', '.join(outside)}; print({INSIDE[package]!r} in sys.modules, 'keras' in sys.modules)"
    )
    done = run_python("-c", script, cwd=ROOT)
    assert done.stdout.split() == ["False", "False"], done.stderr


@pytest.mark.parametrize("command", ["list", "show", "compare", "recover", "upload"])
def test_a_command_that_only_reads_answers_without_tensorflow(command):
    script = (
        "import sys\nfrom experiment.__main__ import main\n"
        f"try: main([{command!r}, '--help'])\nfinally: print('tensorflow' in sys.modules, 'comet_ml' in sys.modules)"
    )
    assert run_python("-c", script, cwd=ROOT).stdout.split()[-2:] == ["False", "False"]


def test_no_file_is_long():
    long = [path.name for path in ROOT.glob("experiment/**/*.py") if len(path.read_text().splitlines()) > 250]
    assert not long
