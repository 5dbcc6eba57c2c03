"""Which package may import which, over every module; which answer at once as they import no TensorFlow."""

import ast
import graphlib
from functools import cache

import pytest

from tests.support.processes import ROOT, run_python

# From the ground up: a package imports itself and what lies on lower floors, nothing beside it or above it.
FLOORS = (
    {"experiment.errors"},
    {"params"},
    {"experiment.system", "experiment.evaluation"},
    {"experiment.store"},
    {"experiment.data", "experiment.comet"},
    {"experiment.training"},
    {"experiment.run"},
    {"experiment.rerun", "experiment.compare", "experiment.deploy", "experiment.watch"},
    {"experiment.sweep"},
    {"experiment.commands"},
    {"experiment.__main__", "train"},
)
FLOOR_OF = {package: number for number, packages in enumerate(FLOORS) for package in packages}
# What runs inside TensorFlow, or inside Ray, and is imported when one of them is needed.
INSIDE = ("experiment.training", "experiment.deploy.predict", "experiment.sweep.ray_tune")
READERS = ("list", "show", "compare", "tag", "remove", "recover", "upload")


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


def package_of(module) -> str:
    """Return the package on a floor that a module belongs to; '' for one that no floor knows."""
    parts = module.split(".")
    return next((each for end in (2, 1) if (each := ".".join(parts[:end])) in FLOOR_OF), "")


def test_every_module_lies_on_a_floor():
    assert [name for name in modules() if name != "experiment" and not package_of(name)] == []


@pytest.mark.parametrize("package", sorted(FLOOR_OF))
def test_a_package_imports_only_what_lies_below_it(package):
    upwards = [
        f"{name} → {each}"
        for name, imported in modules().items()
        if package_of(name) == package
        for each in imported
        if package_of(each) not in (package, "") and FLOOR_OF[package_of(each)] >= FLOOR_OF[package]
    ]
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle():
    # A package's own file stands for what it exports; what lies in the package does not import it.
    graph = {name: imported for name, imported in modules().items() if name != "experiment"}
    assert list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("engine", ["tensorflow", "ray", "optuna", "comet_ml"])
def test_an_engine_is_imported_only_when_it_is_needed(engine):
    outside = [name for name in modules() if not name.startswith(INSIDE)]
    script = (
        f"import sys\nfor name in {outside}:\n __import__(name)\n assert {engine!r} not in sys.modules, name"
    )
    done = run_python("-c", script, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", READERS)
def test_a_command_that_only_reads_answers_without_tensorflow_and_what_runs_need(command):
    script = (
        "import sys\nfrom experiment.__main__ import main\n"
        f"try: main([{command!r}, '--help'])\n"
        "finally: print(*(name in sys.modules for name in ('tensorflow', 'comet_ml', 'experiment.run')))"
    )
    assert run_python("-c", script, cwd=ROOT).stdout.split()[-3:] == ["False"] * 3
