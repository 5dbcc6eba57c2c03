"""A package that is missing is named in one sentence, whenever it is imported, and nothing is written."""

import pytest

from tests.support.processes import ROOT, run_python

HIDDEN = "import runpy, sys; name, *sys.argv = sys.argv[1:]; sys.modules[name] = None; "


@pytest.mark.parametrize(
    ("missing", "program", "arguments"),
    [
        (
            "everett.manager",
            "runpy.run_path('train.py', run_name='__main__')",
            ["train.py", "--mode", "offline"],
        ),
        ("tensorflow", "runpy.run_path('train.py', run_name='__main__')", ["train.py", "--mode", "disabled"]),
        (
            "everett.manager",
            "runpy.run_module('experiment', run_name='__main__')",
            ["experiment", "upload", "--all"],
        ),
    ],
)
def test_a_package_that_is_missing_later_is_named_in_a_sentence(missing, program, arguments, tmp_path):
    runs = tmp_path / "runs"
    done = run_python("-c", HIDDEN + program, missing, *arguments, "--runs", runs, cwd=ROOT)
    assert done.returncode == 1
    assert f"the package '{missing.partition('.')[0]}' is not installed for " in done.stderr
    assert done.stderr.count("\n") == 1
    assert not runs.exists()
