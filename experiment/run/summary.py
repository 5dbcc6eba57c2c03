"""A finished run in short: for scripts as one object, for people as a few closing lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiment.store.directory import RunDirectory
from experiment.store.record import RunRecord
from experiment.system.names import counted
from experiment.system.parser import command_on


def summary(record: RunRecord) -> dict[str, Any]:
    """Return the facts of a finished run that scripts want: the object that ``--json`` prints."""
    directory, results = RunDirectory(Path(record.source)), record.results
    return {
        "key": record.key,
        "name": record.name,
        "status": record.status,
        "mode": record.mode,
        "run_dir": str(directory.path),
        "archive": str(directory.archive) if directory.archive.exists() else None,
        "url": record.run["url"],
        "dataset": record.run["dataset"]["name"],
        **{name: results[name] for name in ("epochs", "test_loss", "test_accuracy", "epoch_s", "fit_s")},
        "process_s": results["process_s"],
        **{name: results[name] for name in ("saved_epoch", "rerun") if name in results},
    }


def result_line(results: Mapping[str, Any], dataset: str) -> str:
    """Return a run's result on its test set, in words; its loss may be the text 'NaN'."""
    return (
        f"test accuracy {results['test_accuracy']:.4f}, loss {float(results['test_loss']):.4f} on {dataset}, "
        f"after {counted(results['epochs'], 'epoch')} of {results['epoch_s']:.2f} s{_saved(results)}"
    )


def closing_lines(facts: Mapping[str, Any], model_file: str, verdict: str | None = None) -> str:
    """Return the closing lines of a run, from its ``summary``: result, place, verdict, what to do next."""
    run = Path(facts["run_dir"])
    lines = [f"Comet    {facts['url']}"] if facts["url"] else []
    lines += [
        f"{result_line(facts, facts['dataset'])}; {facts['process_s']:.1f} s in all",
        f"model    {run / 'model' / model_file}",
        f"figures  {run / 'figures'}",
    ]
    if facts["archive"] and not facts["url"]:
        lines.append(f"archive  {facts['archive']}")
    if verdict:
        lines.append(verdict)
    lines.append(f"next     {command_on(run, 'experiment', 'show')}")
    if facts["archive"] and not facts["url"]:
        lines.append(f"or       {command_on(run, 'experiment', 'upload')}")
    return "\n".join(lines)


def _saved(facts: Mapping[str, Any]) -> str:
    """Return which epoch's weights were saved, where they are not the last one's."""
    saved = facts.get("saved_epoch", facts["epochs"])
    return "" if saved == facts["epochs"] else f", those of epoch {saved} saved"
