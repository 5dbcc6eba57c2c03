"""What CONTRIBUTING.md asks of every file: short functions and files, and one way to shorten and to count."""

import ast
import re

import pytest

from tests.support.processes import ROOT

PATHS = [*ROOT.glob("experiment/**/*.py"), *ROOT.glob("params/**/*.py"), ROOT / "train.py"]
LONGEST_FUNCTION, LONGEST_FILE = 45, 250
# What stands once, in experiment/system/names.py: how identifiers and lists are shortened.
BY_HAND = (r"\[:12\]", r"and \{[^}]*\} more")


def where(pattern: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in PATHS
        if path.name != "names.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_no_function_is_long():
    functions = [
        ((node.end_lineno or 0) - node.lineno + 1, path.name, node.name)
        for path in PATHS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert len(functions) > 500
    assert [each for each in functions if each[0] > LONGEST_FUNCTION] == []


def test_no_file_is_long():
    lengths = {path.name: len(path.read_text().splitlines()) for path in PATHS}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


@pytest.mark.parametrize("pattern", BY_HAND)
def test_identifiers_and_lists_are_shortened_in_one_place(pattern):
    assert where(pattern) == []
