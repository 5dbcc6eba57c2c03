"""What may import what; which modules answer at once because TensorFlow is not among what they import."""

import ast

import pytest

from tests.conftest import ROOT, run_python

ALLOWED = {
    "params.spec": set(),
    "params.load": {"params.spec"},
    "experiment.data": set(),
    "experiment.models": set(),
    "experiment.figures": set(),
    "experiment.provenance": set(),
    "experiment.tracking": set(),
    "experiment.console": {"experiment.provenance"},
    "experiment.predictions": set(),
    "experiment.statistics": set(),
    "experiment.rundir": {"experiment.predictions"},
    "experiment.curves": {"experiment.rundir"},
    "experiment.comet_archive": {"experiment.curves", "experiment.predictions", "experiment.rundir"},
    "experiment.online": {
        *("experiment.comet_archive", "experiment.curves", "experiment.predictions"),
        *("experiment.rundir", "experiment.tracking"),
    },
    "experiment.text_table": set(),
    "experiment.listing": {
        *("experiment.comet_archive", "experiment.curves", "experiment.rundir", "experiment.text_table"),
        "params.spec",
    },
    "experiment.groups": {"experiment.rundir", "experiment.statistics", "experiment.text_table"},
    "experiment.verdicts": {
        *("experiment.groups", "experiment.predictions", "experiment.rundir", "experiment.statistics"),
    },
    "experiment.compare": {
        *("experiment.comet_archive", "experiment.curves", "experiment.groups"),
        *("experiment.rundir", "experiment.verdicts"),
    },
    "experiment.compare_tables": {
        *("experiment.compare", "experiment.groups", "experiment.rundir"),
        *("experiment.text_table", "experiment.verdicts"),
    },
    "experiment.importance": {"experiment.groups", "experiment.rundir"},
    "experiment.report_mistakes": {"experiment.data", "experiment.rundir"},
    "experiment.report": {
        *("experiment.compare", "experiment.compare_tables", "experiment.curves", "experiment.groups"),
        *("experiment.importance", "experiment.predictions", "experiment.report_mistakes"),
        *("experiment.rundir", "experiment.verdicts"),
    },
    "experiment.checkpoints": {"experiment.rundir"},
    "experiment.archives": {"experiment.rundir"},
    "experiment.memory": set(),
    "experiment.compiled_epoch": {"experiment.data"},
    "experiment.trainer": {"experiment.compiled_epoch", "experiment.data", "experiment.memory"},
    "experiment.callbacks": {
        *("experiment.checkpoints", "experiment.console", "experiment.rundir", "experiment.tracking"),
    },
    "experiment.upload": {"experiment.archives", "experiment.rundir", "experiment.tracking"},
    "experiment.lifecycle": {
        *("experiment.archives", "experiment.console", "experiment.provenance"),
        *("experiment.rundir", "experiment.tracking", "experiment.upload"),
    },
}
WITHOUT_TENSORFLOW = [
    *("params.load", "experiment.tracking", "experiment.figures", "experiment.rundir"),
    *("experiment.archives", "experiment.run", "experiment.record", "train"),
    *("experiment.compare", "experiment.online", "experiment.report"),
]


def modules() -> dict[str, set[str]]:
    """Return each module of the project with the project's modules that it imports, wherever in it."""
    found = {}
    for path in [*ROOT.glob("experiment/*.py"), *ROOT.glob("params/*.py")]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        imported = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                imported |= {node.module} if node.module.count(".") else names
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
        found[name] = {each for each in imported if each.startswith(("experiment.", "params."))}
    return found


@pytest.mark.parametrize("module", sorted(ALLOWED))
def test_a_module_imports_only_what_lies_below_it(module):
    assert modules()[module] <= ALLOWED[module]


def test_only_the_command_lines_import_the_command_lines():
    assert not [name for name, imported in modules().items() if "train" in imported]


@pytest.mark.parametrize("module", WITHOUT_TENSORFLOW)
def test_a_module_is_imported_without_tensorflow(module, tmp_path):
    script = f"import sys, {module}; print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    assert run_python("-c", script, cwd=tmp_path).stdout.strip() == "[]"


def test_no_file_is_long():
    long = [path.name for path in ROOT.glob("experiment/*.py") if len(path.read_text().splitlines()) > 350]
    assert not long
