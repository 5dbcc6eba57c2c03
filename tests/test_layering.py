"""What may import what; which modules answer at once because TensorFlow is not among what they import."""

import ast

import pytest

from tests.conftest import ROOT, run_python

ALLOWED = {
    "params.words": set(),
    "params.spec": {"params.words"},
    "params.load": {"params.spec", "params.words"},
    "experiment.data.array_files": set(),
    "experiment.data.arrays": {"experiment.data.array_files", "params.words"},
    "experiment.data.image": set(),
    "experiment.data.image_cache": {
        "experiment.data.image",
        "experiment.system.provenance",
        "experiment.store.directory",
    },
    "experiment.data.image_folder": {
        *("experiment.data.array_files", "experiment.data.arrays", "experiment.data.image_cache"),
    },
    "experiment.data.image_report": {"experiment.data.image_folder"},
    "experiment.evaluation.calibration": set(),
    "experiment.store.bundle": {"experiment.store.directory"},
    "experiment.deploy.predict": {
        *(
            "experiment.store.bundle",
            "experiment.evaluation.calibration",
            "experiment.training.checkpoints",
            "experiment.data.arrays",
        ),
        *("experiment.data.image", "experiment.training.trainer"),
    },
    "experiment.training.models": set(),
    "experiment.run.figures": set(),
    "experiment.system.provenance": set(),
    "experiment.comet.tracker": {"experiment.system.parser"},
    "experiment.system.console": {"experiment.system.provenance"},
    "experiment.store.files": {"params.load"},
    "experiment.evaluation.predictions": {"experiment.store.files"},
    "experiment.evaluation.significance": set(),
    "experiment.store.journal": {"experiment.store.files"},
    "experiment.store.directory": {
        "experiment.store.files",
        "experiment.store.journal",
        "experiment.evaluation.predictions",
    },
    "experiment.store.find": {"experiment.store.directory"},
    "experiment.store.curves": {"experiment.store.directory"},
    "experiment.store.archive_reader": {
        *(
            "experiment.store.curves",
            "experiment.store.files",
            "experiment.evaluation.predictions",
            "experiment.store.directory",
        ),
    },
    "experiment.comet.server": {
        *("experiment.store.archive_reader", "experiment.store.curves", "experiment.evaluation.predictions"),
        *("experiment.store.directory", "experiment.comet.tracker"),
    },
    "experiment.system.text_table": set(),
    "experiment.commands.list_show": {
        *(
            "experiment.store.archive_reader",
            "experiment.store.curves",
            "experiment.store.find",
            "experiment.store.directory",
        ),
        *("experiment.system.text_table", "params.spec"),
    },
    "experiment.compare.groups": {
        "experiment.store.directory",
        "experiment.evaluation.significance",
        "experiment.system.text_table",
    },
    "experiment.compare.pairs": {
        *(
            "experiment.compare.groups",
            "experiment.evaluation.predictions",
            "experiment.store.directory",
            "experiment.evaluation.significance",
        ),
    },
    "experiment.compare.comparison": {
        *(
            "experiment.store.archive_reader",
            "experiment.store.curves",
            "experiment.store.find",
            "experiment.compare.groups",
        ),
        *("experiment.store.directory", "experiment.compare.pairs"),
    },
    "experiment.compare.tables": {
        *("experiment.compare.comparison", "experiment.compare.groups", "experiment.store.directory"),
        *("experiment.system.text_table", "experiment.compare.pairs"),
    },
    "experiment.compare.importance": {"experiment.compare.groups", "experiment.store.directory"},
    "experiment.compare.report.mistakes": {
        "experiment.data.arrays",
        "experiment.data.image_folder",
        "experiment.store.directory",
    },
    "experiment.compare.report.page": {
        *(
            "experiment.compare.comparison",
            "experiment.compare.tables",
            "experiment.store.curves",
            "experiment.compare.groups",
        ),
        *(
            "experiment.compare.importance",
            "experiment.evaluation.predictions",
            "experiment.compare.report.mistakes",
        ),
        *("experiment.store.directory", "experiment.compare.pairs"),
    },
    "experiment.training.checkpoints": {"experiment.store.files", "experiment.store.directory"},
    "experiment.store.archive_writer": {"experiment.store.files", "experiment.store.directory"},
    "experiment.system.machine": set(),
    "experiment.sweep.trial": set(),
    "experiment.run.options": {"experiment.comet.tracker", "experiment.sweep.trial", "params.words"},
    "experiment.sweep.outcomes": {
        "experiment.store.archive_writer",
        "experiment.store.directory",
        "experiment.sweep.trial",
    },
    "experiment.sweep.space": set(),
    "experiment.sweep.points": {"experiment.sweep.space", "params.load", "params.spec"},
    "experiment.sweep.file": {
        *("experiment.sweep.points", "experiment.sweep.space", "params.load", "params.spec"),
        "params.words",
    },
    "experiment.sweep.plan": {
        *(
            "experiment.sweep.outcomes",
            "experiment.store.files",
            "experiment.store.directory",
            "experiment.sweep.points",
        ),
        *("experiment.sweep.trial", "params.spec"),
    },
    "experiment.system.parser": {"params.words"},
    "experiment.commands.train_options": {"experiment.system.parser", "params.load", "params.spec"},
    "experiment.training.dropout": set(),
    "experiment.training.programs": {"experiment.training.dropout"},
    "experiment.training.batches": {"experiment.data.arrays"},
    "experiment.training.compiled_epoch": {
        *(
            "experiment.training.batches",
            "experiment.data.arrays",
            "experiment.training.dropout",
            "experiment.training.programs",
        ),
    },
    "experiment.training.trainer": {
        *(
            "experiment.training.batches",
            "experiment.training.compiled_epoch",
            "experiment.data.arrays",
            "experiment.system.machine",
        ),
    },
    "experiment.training.callbacks": {
        *(
            "experiment.training.checkpoints",
            "experiment.system.console",
            "experiment.store.directory",
            "experiment.comet.tracker",
        ),
    },
    "experiment.rerun.original": {
        *(
            "experiment.store.archive_writer",
            "experiment.store.archive_reader",
            "experiment.store.find",
            "experiment.comet.server",
        ),
        *("experiment.evaluation.predictions", "experiment.system.provenance", "experiment.store.directory"),
    },
    "experiment.rerun.differences": {
        *(
            "experiment.data.arrays",
            "experiment.rerun.original",
            "experiment.system.provenance",
            "experiment.store.directory",
        ),
        *("params.load", "params.spec"),
    },
    "experiment.rerun.verdict": {
        "experiment.rerun.original",
        "experiment.store.directory",
        "experiment.evaluation.significance",
    },
    "experiment.deploy.export": {
        *(
            "experiment.training.batches",
            "experiment.training.checkpoints",
            "experiment.system.console",
            "experiment.data.arrays",
            "experiment.data.image_folder",
        ),
        *("experiment.store.directory", "experiment.training.trainer"),
    },
    "experiment.comet.upload": {
        *(
            "experiment.store.archive_writer",
            "experiment.store.files",
            "experiment.store.directory",
            "experiment.comet.tracker",
        ),
    },
    "experiment.run.lifecycle": {
        *(
            "experiment.store.archive_writer",
            "experiment.system.parser",
            "experiment.system.console",
            "experiment.system.provenance",
        ),
        *("experiment.store.directory", "experiment.comet.tracker", "experiment.comet.upload"),
    },
}
WITHOUT_TENSORFLOW = [
    *("params.load", "experiment.comet.tracker", "experiment.run.figures", "experiment.store.directory"),
    *("experiment.store.archive_writer", "experiment.run.story", "experiment.run.summary", "train"),
    *("experiment.compare.comparison", "experiment.comet.server", "experiment.compare.report.page"),
    *(
        "experiment.rerun.original",
        "experiment.rerun.differences",
        "experiment.rerun.verdict",
        "experiment.deploy.export",
    ),
    *(
        "experiment.data.image_report",
        "experiment.store.bundle",
        "experiment.evaluation.calibration",
        "experiment.__main__",
    ),
    *("experiment.sweep.sweep", "experiment.sweep.ranking", "experiment.sweep.outcomes"),
]
WITHOUT_RAY = ["experiment.run.story", "experiment.sweep.sweep", "experiment.sweep.ranking", "train"]


def modules() -> dict[str, set[str]]:
    """Return each module of the project with the project's modules that it imports, wherever in it."""
    found = {}
    for path in [*ROOT.glob("experiment/**/*.py"), *ROOT.glob("params/**/*.py")]:
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
    imported = modules()["experiment.run.story"] | modules()["experiment.run.summary"]
    assert not [name for name in imported if name.startswith("experiment.sweep.sweep")]


def test_no_file_is_long():
    long = [path.name for path in ROOT.glob("experiment/**/*.py") if len(path.read_text().splitlines()) > 350]
    assert not long
