"""One run as a page of text: its result first, then what it was made of, then how to go on."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiment.commands import show_facts
from experiment.commands.list_table import changed, clock_text, span_text
from experiment.commands.show_facts import joined
from experiment.store.columns import KILLED, Row
from experiment.store.curves import Curve, collect_curves
from experiment.store.directory import RunDirectory
from experiment.store.record import COMET, DIRECTORY, FAILED, FINISHED, INTERRUPTED, RUNNING, RunRecord
from experiment.system.names import counted, short
from experiment.system.parser import command_on
from experiment.system.sparkline import sparkline
from experiment.system.text_table import Column, fit_table, number_text, printable

EPOCHS = 8  # rows of the table of epochs at most
_CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
_SPARK = 40  # places of a sparkline at most
_INDENT = "  "
_LEAST_WIDTH = 40


def page(record: RunRecord, width: int | None, blocks: bool = True) -> str:
    """Return what people want to know of a run.

    Args:
        record: the run.
        width: places of the terminal; None for lines of any length.
        blocks: whether the terminal has the characters of a sparkline.
    """
    row = Row(record)
    width = width and max(width, _LEAST_WIDTH)
    sections = {
        "": _head(row),
        "result": _result(row),
        "not at their defaults": _changes(row),
        "epochs": _epochs(row, width, blocks),
        "data": show_facts.data(record),
        "machine": show_facts.machine(record),
        "code": show_facts.code(record),
        "go on": _next(row),
        "files": [record.source],
    }
    parts = []
    for title, lines in sections.items():
        said = [line for each in lines for line in _wrapped(each, width, "" if title == "" else _INDENT)]
        if said:
            parts.append("\n".join([*([title] if title else []), *said]))
    return "\n\n".join(parts)


def _wrapped(line: str, width: int | None, indent: str) -> list[str]:
    """Return a line, or the lines that it is broken into between words; what is aligned stays as it is."""
    text = indent + "".join(map(printable, line.splitlines()))
    if width is None or len(text) <= width:
        return [text]
    return textwrap.wrap(
        text, width, subsequent_indent=indent + _INDENT, break_long_words=False, break_on_hyphens=False
    )


def _head(row: Row) -> list[str]:
    record, run = row.record, row.record.run
    seconds = row.results.get("seconds")
    age = row.now - run["started"] if run.get("started") else None
    facts = (
        *(short(record.key), row.status, record.mode),
        run.get("started") and f"{clock_text(run['started'])}, {span_text(max(age or 0, 0))} ago",
        seconds and f"took {span_text(seconds)}",
    )
    sweep, rerun = run.get("sweep") or {}, run.get("rerun") or {}
    return [
        record.name,
        *joined(facts, "  "),
        *joined([" ".join(run.get("tags") or []) and f"tags  {' '.join(run['tags'])}"]),
        *(f"note  {line}" for line in str(run.get("note") or "").splitlines()),
        *joined([sweep.get("sweep") and f"trial {sweep.get('number', '')} of sweep {sweep['sweep']}"]),
        *joined([rerun.get("of") and f"repeats run {short(rerun['of'])}"]),
        *joined([_registered(run.get("registry") or {})]),
        *joined([run.get("url")]),
        *joined([_reason(row)]),
    ]


def _registered(told: Mapping[str, Any]) -> str:
    """Return which version of a registry a run's copy is, as it was when it was downloaded."""
    if not told:
        return ""
    labels = [*(told.get("tags") or []), *filter(None, [told.get("status")])]
    labelled = f" ({', '.join(labels)})" if labels else ""
    return f"registry  {told['workspace']}/{told['name']}, version {told['version']}{labelled}"


def _reason(row: Row) -> str:
    """Return why a run failed: the last line of its error."""
    lines = str(row.record.run.get("error") or "").strip().splitlines()
    return f"failed: {lines[-1].strip()}" if lines else ""


def _result(row: Row) -> list[str]:
    results = row.results
    pairs = [
        ("test accuracy", results.get("test_accuracy")),
        ("test loss", results.get("test_loss")),
        ("calibration error", results.get("test_ece")),
        ("once calibrated", results.get("test_ece_calibrated")),
    ]
    epoch, best, planned = results.get("epoch"), results.get("best_epoch"), row.record.params.get("epochs")
    reached = ""
    if epoch:
        shown = [f"{name} {number_text(results[f'best_{name}'])}" for name in _best_names(results)]
        at = f"best in epoch {best}: {', '.join(shown)}" if best and shown else ""
        trained = f"{epoch} of {planned} epochs" if planned and planned != epoch else counted(epoch, "epoch")
        reached = ", ".join(filter(None, (trained, at)))
    known = [f"{name} {number_text(value)}" for name, value in pairs if value is not None]
    return [*joined(known, "   "), *joined([reached])]


def _best_names(results: Mapping[str, Any]) -> list[str]:
    return [name for name in ("val_loss", "val_accuracy") if f"best_{name}" in results]


def _changes(row: Row) -> list[str]:
    from params.spec import default_parameters

    defaults = default_parameters()
    values = changed(row, defaults)
    width = max(map(len, values), default=0)
    return [
        f"{name:<{width}}  {_value(value)}"
        + (f"  (default {_value(defaults[name])})" if name in defaults else "")
        for name, value in values.items()
    ]


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _epochs(row: Row, width: int | None, blocks: bool) -> list[str]:
    """Return the table of some epochs, and each curve as a line of blocks."""
    curves = {name: curve for name, curve in collect_curves(row.record.points()).items() if name in _CURVES}
    names = [name for name in _CURVES if name in curves]
    ends = sorted({epoch for curve in curves.values() for epoch in curve.epochs if epoch >= 0})
    if not ends:
        return []
    best = row.results.get("best_epoch")
    shown = _some_epochs(ends, best)
    table = [
        Column("epoch", [str(epoch) for epoch in shown], right=True),
        *(
            Column(name, [number_text(curves[name].at(epoch, -1)) for epoch in shown], rank, right=True)
            for rank, name in zip((3, 4, 2, 1), names, strict=False)
        ),
        Column("", ["best" if epoch == best else "" for epoch in shown], rank=5),
    ]
    text, _ = fit_table(table, width and width - len(_INDENT))
    return [*text.splitlines(), *(_sparks(names, curves, width) if blocks and len(ends) > 2 else [])]


def _some_epochs(ends: Sequence[int], best: Any) -> list[int]:
    """Return the first and the last epoch, the best one, and others at even distances."""
    if len(ends) <= EPOCHS:
        return list(ends)
    places = {round(place * (len(ends) - 1) / (EPOCHS - 2)) for place in range(EPOCHS - 1)}
    return sorted({ends[place] for place in places} | ({best} & set(ends)))


def _sparks(names: Sequence[str], curves: Mapping[str, Curve], width: int | None) -> list[str]:
    longest = max(map(len, names))
    lines = []
    for name in names:
        values = list(curves[name].values)
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            continue
        ends = f"{number_text(min(finite))} – {number_text(max(finite))}"
        room = min(_SPARK, (width or 100) - len(_INDENT) - longest - len(ends) - 4)
        if room > 5:
            lines.append(f"{name:<{longest}}  {sparkline(values, room)}  {ends}")
    return lines


def _next(row: Row) -> list[str]:
    """Return the commands that make sense now; each works as printed."""
    record = row.record
    if record.kind != DIRECTORY:
        if record.kind == COMET:
            return []
        return [f"python -m experiment compare {record.source}", f"python train.py --rerun {record.source}"]
    path = Path(record.source)
    words: list[tuple[str, ...]] = []
    if row.status == FINISHED:
        words = [("train", "--rerun"), ("experiment", "export", "--to", "onnx")]
        # As of a sweep's trial; a registry's copy is not to be changed.
        if "curves" not in record.figures and "registry" not in record.run:
            words.append(("experiment", "show", "--figures"))
    elif row.status == KILLED:
        words = [("train", "--resume"), ("experiment", "recover")]
    elif row.status != RUNNING:
        words = [("train", "--resume")]
    if record.mode != "disabled" and row.status in (FINISHED, INTERRUPTED, FAILED) and not _in_comet(record):
        words.append(("experiment", "upload"))
    return [command_on(path, *each) for each in words]


def _in_comet(record: RunRecord) -> bool:
    from experiment.comet import upload

    if "registry" in record.run:  # it came from there
        return True
    directory = RunDirectory(Path(record.source))
    return directory.upload_file.exists() and upload.is_verified(directory)
