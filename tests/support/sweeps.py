"""Sweep files that tests write, and the runs that came of them."""

from pathlib import Path

from experiment.store.files import read_json
from experiment.store.find import list_runs


def write(folder, parameters, name="sweep.json", **content) -> Path:
    path = folder / name
    path.write_text(repr({"algorithm": "grid", "parameters": parameters, **content}))
    return path


def runs_of(folder) -> list[dict]:
    return [read_json(path / "run.json") for path in list_runs(folder / "runs")]
