"""What README, docs/, CONTRIBUTING and ARCHITECTURE name exists: paths, commands, flags, links, snippets."""

import ast
import dataclasses
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from experiment import __main__ as experiment_command
from experiment.commands.train_options import build_parser, check_together
from params import document
from params.load import NAMES, load_params
from tests.support.processes import ROOT, run_python

PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "ARCHITECTURE")),
    *sorted(ROOT.glob("docs/*.md")),
]
FOLDERS = ("experiment", "params", "tests", "docs", "benchmarks")
PATH = re.compile(rf"(?<![\w./~-])(?:{'|'.join(FOLDERS)})/[\w./*-]*")
COMMAND = re.compile(r"(?:python (?:train\.py|-m \S+)|(?:make|pip install)(?= )).*")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
PLACEHOLDER = re.compile(r"[A-Z]+(/[A-Z]+)?|HEAD:6379")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def fences(page: Path) -> list[tuple[str, str]]:
    """Return a page's blocks of code, each with its language."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.M | re.S)


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)


def spans(page: Path) -> list[str]:
    return re.findall(r"`([^`]+)`", prose(page))


def commands(page: Path) -> list[list[str]]:
    """Return every command that a page tells, in a block or within a sentence, as its words."""
    lines = [line for language, text in fences(page) if language != "python" for line in logical(text)]
    found = [
        match[0] for line in [*lines, *spans(page)] for match in COMMAND.finditer(" ".join(line.split()))
    ]
    parts = [part for command in found for part in command.split("&&")]
    return [shlex.split(part, comments=True) for part in parts if COMMAND.match(part.strip())]


def logical(text: str) -> list[str]:
    return [part for line in text.replace("\\\n", " ").splitlines() for part in line.split("&&")]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def own_files() -> list[str]:
    """Return the paths of the project's files; an environment beside them has tens of thousands."""
    paths = [*ROOT.glob("*"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    return [path.relative_to(ROOT).as_posix() for path in paths]


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


@cache
def experiment_flags() -> set[str]:
    sources = [*ROOT.glob("experiment/commands/*.py"), ROOT / "experiment/__main__.py"]
    return {flag for path in sources for flag in re.findall(r'"(--[a-z-]+)"', path.read_text())}


def check_train(words: list[str]) -> None:
    options = build_parser("").parse_args(words)
    check_together(options)
    flags = {name: value for name in NAMES if (value := getattr(options, name)) is not None}
    known = {name: value for name, value in flags.items() if not PLACEHOLDER.fullmatch(value)}
    load_params(None if PLACEHOLDER.fullmatch(options.params or "X") else options.params, known)
    if options.sweep and not PLACEHOLDER.fullmatch(options.sweep):
        assert (ROOT / "params" / "sweeps" / f"{options.sweep}.json").is_file()


def check_pip(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in words:
        if match := re.fullmatch(r"\.\[(.*)\]", word):
            assert set(match[1].split(",")) <= set(extras), word


def check_command(words: list[str]) -> None:
    """Take a command as its own parser takes it, without running it.

    Raises:
        SystemExit: the parser refuses it.
    """
    if words[:2] == ["python", "train.py"]:
        check_train(words[2:])
    elif words[:3] == ["python", "-m", "experiment"]:
        experiment_command.main(words[3:])
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]), words
    elif words[0] == "make":
        assert [word for word in words[1:] if "=" not in word and word not in targets()] == []
    else:
        check_pip(words)


@every_page
def test_no_line_is_longer_than_120_characters(page):
    long = [line for line in page.read_text().splitlines() if len(line) > 120]
    assert long == []


@every_page
def test_every_path_that_is_named_exists(page):
    named = {match.rstrip(".") for match in PATH.findall(page.read_text())}
    files = {word for span in spans(page) for word in re.findall(r"^[\w/.-]+\.(?:py|md)$", span)}
    assert [path for path in named if not list(ROOT.glob(path))] == []
    assert [name for name in files if not any(f"/{path}".endswith(f"/{name}") for path in own_files())] == []


@every_page
def test_every_command_that_is_told_is_taken_by_its_parser(page, monkeypatch, capsys):
    idle = {
        name: dataclasses.replace(command, run=lambda _: 0)
        for name, command in experiment_command.COMMANDS.items()
    }
    monkeypatch.setattr(experiment_command, "COMMANDS", idle)
    refused = []
    for words in commands(page):
        try:
            check_command(words)
        except SystemExit as end:
            refused += [capsys.readouterr().err] if end.code else []
    assert refused == []


@every_page
def test_every_flag_that_is_named_is_known(page):
    known = {flag for action in build_parser("")._actions for flag in action.option_strings}
    named = {flag for span in spans(page) if not span.startswith("pip") for flag in FLAG.findall(span)}
    assert named - known - experiment_flags() == set()


@every_page
def test_every_link_leads_somewhere(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@every_page
def test_every_python_snippet_compiles_and_imports_what_exists(page):
    for language, text in fences(page):
        if language != "python":
            continue
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and re.match(r"(experiment|params)\b", node.module or ""):
                module = importlib.import_module(str(node.module))
                assert [each.name for each in node.names if not hasattr(module, each.name)] == []


def test_every_page_is_linked_from_the_readme():
    links = re.findall(r"\]\(([^)#\s]+)", (ROOT / "README.md").read_text())
    assert [page.name for page in PAGES[1:] if page.relative_to(ROOT).as_posix() not in links] == []


def test_the_page_of_parameters_is_current():
    assert document.PAGE.read_text() == document.render(), "run: python -m params.document"


def test_make_help_lists_every_target():
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert [line.split("\t")[0] for line in listed.splitlines()] == phony.split()


@pytest.mark.parametrize("command", [[ROOT / "train.py"], ["-m", "experiment", "list"]])
def test_a_python_without_the_packages_says_how_to_use_the_environment(command):
    done = run_python("-S", *command, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "is not installed" in done.stderr
    assert "make train" in done.stderr
    assert "activate" in done.stderr
    assert sys.executable in done.stderr
