"""What a run records as its code is the code that ran: a program's own builder, script or notebook too."""

import functools
import importlib
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from experiment.rerun.differences import differences
from experiment.run import Options, own_code, train_and_evaluate
from experiment.store.archive_reader import read_archive
from params.spec import Params

KEY = "standInKey0123456789ABCDE"
NET = """
import keras
from ownnet import layers
from numpy import float32

api_key = "{key}"


def build(get_parameter, image_shape, classes):
    return keras.Sequential(
        [keras.Input(image_shape), keras.layers.Flatten(), layers.last(classes)]
    )


class Builder:
    def __call__(self, *arguments):
        return build(*arguments)
"""
LAYERS = (
    "import keras\n\nfrom . import sizes\n\n\ndef last(classes):\n    return keras.layers.Dense(classes)\n"
)


@pytest.fixture
def net(tmp_path, monkeypatch):
    """A builder in a package of a repository of its own, with a change that is not committed."""
    package = tmp_path / "their" / "ownnet"
    package.mkdir(parents=True)
    git = ["git", "-C", str(package.parent), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    files = {
        "__init__": "",
        "net": NET.format(key=KEY),
        "layers": LAYERS,
        "sizes": "SIZE = 3\n",
        "unused": "",
    }
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)
    (package / "sizes.py").write_text("SIZE = 4\n")
    monkeypatch.syspath_prepend(package.parent)
    yield importlib.import_module("ownnet.net")
    for name in [name for name in sys.modules if name.partition(".")[0] == "ownnet"]:
        del sys.modules[name]


FILES = {"own/ownnet/__init__.py", "own/ownnet/net.py", "own/ownnet/layers.py", "own/ownnet/sizes.py"}


def test_a_builders_files_are_its_module_and_the_local_modules_that_it_imports(net):
    found = own_code.find_own_code(net.build, (KEY,))
    assert found
    assert set(found.files) == FILES
    assert found.builder == "ownnet.net.build"


def test_its_commit_and_patch_are_those_of_its_repository(net):
    found = own_code.find_own_code(net.build)
    assert found
    top = Path(net.__file__).parents[1]
    commit = subprocess.run(
        ["git", "-C", top, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    git = found.facts()["git"]
    assert (git["commit"], git["dirty"]) == (commit.stdout.strip(), True)
    assert "+SIZE = 4" in found.patch()


def test_a_key_in_it_is_in_no_record(net):
    found = own_code.find_own_code(net.build, (KEY,))
    assert found
    assert KEY not in json.dumps(dict(found.files))


@pytest.mark.parametrize("wrap", [functools.partial, lambda build: build.__globals__["Builder"]()])
def test_a_partial_or_callable_object_is_found_where_it_is_written(net, wrap):
    found = own_code.find_own_code(wrap(net.build))
    assert found
    assert set(found.files) == FILES


def test_a_builder_of_this_project_is_no_code_of_ones_own():
    from experiment.training import models

    assert own_code.find_own_code(models.build_model) is None
    assert own_code.find_own_code(None) is None


def test_a_repository_that_tracks_nothing_of_the_folder_tells_nothing(net):
    top = Path(net.__file__).parents[1]
    subprocess.run(["git", "-C", top, "rm", "-rq", "--cached", "."], check=True)
    found = own_code.find_own_code(net.build)
    assert found
    assert (found.facts()["git"], found.patch()) == ({}, "")


@pytest.fixture
def notebook(monkeypatch, net):
    """The session that IPython keeps of a notebook, whose cell defines a builder."""
    cells = [
        "",
        "import ownnet.layers",
        "%%bash\nls",
        f"api_key = '{KEY}'\ndef build(g, s, c):\n    return None",
    ]
    shell = types.SimpleNamespace(user_ns={"In": cells})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    made: dict = {"__name__": "__main__"}
    exec(cells[3], made)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", None, raising=False)
    return made["build"]


def test_of_a_notebook_the_cells_so_far_and_what_they_import_are_the_code(notebook):
    found = own_code.find_own_code(notebook, (KEY,))
    assert found
    assert found.builder == "notebook.build"
    cells = found.files["own/notebook.py"]
    assert "# In [1]\nimport ownnet.layers" in cells
    assert "def build(g, s, c):" in cells
    assert KEY not in cells
    assert set(found.files) == FILES - {"own/ownnet/net.py"} | {"own/notebook.py"}


@pytest.mark.slow
def test_a_run_of_ones_own_model_is_called_by_it_and_its_record_holds_its_code(net, digits, tmp_path):
    record = train_and_evaluate(
        Params(epochs=1), build_model=net.build, dataset=digits, options=Options("offline", tmp_path / "runs")
    )
    assert "mlp" not in [*record.run["tags"], *record.name.split()]
    assert "ownnet.net.build" in record.run["tags"]
    archived = read_archive(tmp_path / "runs" / record.key / "comet" / f"{record.key}.zip")
    code = archived.code()
    assert {name for name in code if name.startswith("own/")} == FILES
    own = record.run["own_code"]
    assert own["files"] == {name: code[name] for name in FILES}
    told = archived.run["own_code"]
    assert (told["fingerprint"], told["git"]["commit"]) == (own["fingerprint"], own["git"]["commit"])
    assert record.results["epochs"] == 1
    for original in (record, archived):
        assert [
            each.what for each in differences(original, record.params, record.run) if "code" in each.what
        ] == []
        values = {**record.params, "dropout": 0.25}
        assert not [each for each in differences(original, values, record.run) if "dropout" in each.what]
        changed = {**own, "fingerprint": "f", "files": {**own["files"], "own/ownnet/sizes.py": "0"}}
        (difference,) = (
            each
            for each in differences(original, record.params, {**record.run, "own_code": changed})
            if "code" in each.what
        )
        assert difference.what == "code of the program own/ownnet/sizes.py"
    assert np.isfinite(record.results["test_loss"])
