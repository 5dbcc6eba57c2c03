"""What is optional waits in a process of ours, and is there for whoever imports it afterwards."""

import gc
import importlib
import sys

import pytest

from experiment.system import imports


@pytest.fixture
def wanting(tmp_path, monkeypatch):
    """Import anew a module that takes another one if it is there; return which one it took."""
    (tmp_path / "optional_one.py").write_text("value = 1\n")
    (tmp_path / "wanting_one.py").write_text(
        "import gc\ncollects = gc.isenabled()\n"
        "try:\n    import optional_one\nexcept ImportError:\n    optional_one = None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "_waiting", False)

    def take():
        for name in ("wanting_one", "optional_one"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        with imports.quickly("optional_one"):
            return importlib.import_module("wanting_one")

    return take


def test_what_is_optional_waits_where_the_process_is_ours_and_comes_when_it_is_asked_for(wanting):
    imports.let_optional_wait()
    assert wanting().optional_one is None
    assert importlib.import_module("optional_one").value == 1


def test_with_code_of_a_users_everything_is_imported(wanting):
    assert wanting().optional_one.value == 1
    imports.let_optional_wait()
    imports.take_optional()
    assert wanting().optional_one.value == 1


def test_garbage_is_collected_again_after_an_import_also_one_that_fails(wanting):
    assert not wanting().collects
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), imports.quickly():
        _ = 1 / 0
    assert gc.isenabled()


def test_what_is_imported_beside_is_there_afterwards_and_what_cannot_be_raises_nothing(wanting):
    wanting()
    del sys.modules["optional_one"]
    imports.beside("no_such_module_at_all", "optional_one").join()
    assert "optional_one" in sys.modules
