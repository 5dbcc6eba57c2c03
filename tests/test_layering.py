"""What may import what; which modules answer at once because TensorFlow is not among what they import."""

import ast

import pytest

from tests.conftest import ROOT, run_python

ALLOWED = {
    "params.spec": set(),
    "params.load": {"params.spec"},
    "experiment.array_files": set(),
    "experiment.array_checks": set(),
    "experiment.downloads": {"experiment.array_files"},
    "experiment.data": {"experiment.array_checks", "experiment.array_files", "experiment.downloads"},
    "experiment.array_report": {"experiment.array_files", "experiment.data"},
    "experiment.images": set(),
    "experiment.image_cache": {"experiment.images", "experiment.provenance", "experiment.rundir"},
    "experiment.image_folder": {
        *("experiment.array_files", "experiment.data", "experiment.image_cache"),
    },
    "experiment.image_report": {"experiment.image_folder"},
    "experiment.calibration": set(),
    "experiment.bundle": {"experiment.rundir"},
    "experiment.predict": {
        *("experiment.bundle", "experiment.calibration", "experiment.checkpoints", "experiment.data"),
        *("experiment.images", "experiment.trainer"),
    },
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
    "experiment.report_mistakes": {"experiment.data", "experiment.image_folder", "experiment.rundir"},
    "experiment.report": {
        *("experiment.compare", "experiment.compare_tables", "experiment.curves", "experiment.groups"),
        *("experiment.importance", "experiment.predictions", "experiment.report_mistakes"),
        *("experiment.rundir", "experiment.verdicts"),
    },
    "experiment.checkpoints": {"experiment.rundir"},
    "experiment.archives": {"experiment.rundir"},
    "experiment.memory": set(),
    "experiment.trial": set(),
    "experiment.attempts": {"experiment.archives", "experiment.rundir", "experiment.trial"},
    "experiment.sweep_space": set(),
    "experiment.sweep_points": {"experiment.sweep_space", "params.load", "params.spec"},
    "experiment.sweep_file": {
        *("experiment.sweep_points", "experiment.sweep_space", "params.load", "params.spec"),
    },
    "experiment.sweep_plan": {
        *("experiment.attempts", "experiment.rundir", "experiment.sweep_points", "experiment.trial"),
        "params.spec",
    },
    "experiment.train_options": {"experiment.command_line", "params.load", "params.spec"},
    "experiment.dropout": set(),
    "experiment.programs": {"experiment.dropout"},
    "experiment.batches": {"experiment.data"},
    "experiment.compiled_epoch": {
        *("experiment.batches", "experiment.data", "experiment.dropout", "experiment.programs"),
    },
    "experiment.trainer": {
        *("experiment.batches", "experiment.compiled_epoch", "experiment.data", "experiment.memory"),
    },
    "experiment.callbacks": {
        *("experiment.checkpoints", "experiment.console", "experiment.rundir", "experiment.tracking"),
    },
    "experiment.original": {
        *("experiment.archives", "experiment.comet_archive", "experiment.online", "experiment.provenance"),
        "experiment.rundir",
    },
    "experiment.rerun": {
        *("experiment.data", "experiment.original", "experiment.provenance", "experiment.rundir"),
        *("params.load", "params.spec"),
    },
    "experiment.verdict": {"experiment.original", "experiment.rundir", "experiment.statistics"},
    "experiment.export": {
        *(
            "experiment.batches",
            "experiment.checkpoints",
            "experiment.console",
            "experiment.data",
            "experiment.image_folder",
        ),
        *("experiment.rundir", "experiment.trainer"),
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
    *("experiment.original", "experiment.rerun", "experiment.verdict", "experiment.export"),
    *(
        "experiment.image_report",
        "experiment.array_report",
        "experiment.bundle",
        "experiment.calibration",
        "experiment.__main__",
    ),
    *("experiment.sweep", "experiment.sweep_ranking", "experiment.attempts"),
]
WITHOUT_RAY = ["experiment.run", "experiment.sweep", "experiment.sweep_ranking", "train"]


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


@pytest.mark.parametrize("module", WITHOUT_RAY)
def test_a_module_is_imported_without_the_extra_of_sweeps(module, tmp_path):
    script = f"import sys, {module}; print([name for name in ('ray', 'optuna') if name in sys.modules])"
    assert run_python("-c", script, cwd=tmp_path).stdout.strip() == "[]"


def test_a_run_knows_nothing_of_sweeps():
    imported = modules()["experiment.run"] | modules()["experiment.record"]
    assert not [name for name in imported if name.startswith("experiment.sweep")]


def test_no_file_is_long():
    long = [path.name for path in ROOT.glob("experiment/*.py") if len(path.read_text().splitlines()) > 350]
    assert not long
