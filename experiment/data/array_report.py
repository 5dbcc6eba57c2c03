"""What a set of arrays holds: a named one, an ``.npz``, a folder of IDX files; as facts and lines of text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiment.data.array_files import is_idx_folder
from experiment.data.arrays import Arrays
from experiment.data.labels import is_labels
from experiment.data.named_sets import DATASETS, load_arrays
from experiment.errors import UserError
from experiment.system import streams
from experiment.system.names import counted, some

SHOWN = 20


def is_array_set(dataset: str) -> bool:
    """Tell whether a dataset is a named set, a file, or a folder of IDX files: no set of pictures."""
    path = os.path.expanduser(dataset)
    if dataset in ("auto", *DATASETS):
        return True
    if os.path.isfile(path):  # unlike Path's, false for a name too long
        return not is_labels(dataset)
    return os.path.isdir(path) and is_idx_folder(Path(path))


def inspect(dataset: str, as_json: bool) -> int:
    """Print what a set holds and what is wrong with it; return 1 where something is, else 0."""
    report: dict[str, Any] = {"dataset": dataset}
    try:
        report |= facts(load_arrays(dataset))
        wrong = [f"{sentence} (allow-duplicates lets it be)" for sentence in report["repeats"]]
    except UserError as error:
        wrong = [str(error)]
    if as_json:
        streams.print_json(report | {"problems": wrong})
        return 1 if wrong else 0
    if "parts" in report:
        print(arrays_text(report))
    print("\n  ".join([f"{counted(len(wrong), 'thing')} wrong:", *wrong]) if wrong else "fit to train on")
    return 1 if wrong else 0


def facts(arrays: Arrays) -> dict[str, Any]:
    """Return the report of a set: how many images of each part and class, their shape, values, oddities."""
    parts = {"train": arrays.train, "validation": arrays.validation, "test": arrays.test}
    held = {part: examples for part, examples in parts.items() if examples is not None}
    counts = {
        part: np.bincount(examples.labels, minlength=len(arrays.class_names)).tolist()
        for part, examples in held.items()
    }
    return {
        "dataset": arrays.name,
        "parts": {part: dict(zip(arrays.class_names, row, strict=True)) for part, row in counts.items()},
        "image_shape": list(arrays.train.images.shape[1:]),
        "values": [
            int(min(each.images.min() for each in held.values())),
            int(max(each.images.max() for each in held.values())),
        ],
        "fingerprint": arrays.fingerprint,
        "notices": list(arrays.notices),
        "repeats": list(arrays.repeats),
    }


def arrays_text(report: Mapping[str, Any]) -> str:
    """Return the facts of a set as lines of text, but for what is wrong."""
    parts = report["parts"]
    total = sum(sum(counts.values()) for counts in parts.values())
    lines = [f"{report['dataset']} {counted(total, 'image')}, {counted(len(parts['train']), 'class')}"]
    for part, counts in parts.items():
        shown = some([f"{name} {count}" for name, count in counts.items()], SHOWN)
        lines.append(f"  {part:<11}{sum(counts.values()):>6}  {shown}")
    if "test" not in parts:
        lines.append("  test       none: a fifth of train is held out by split-seed")
    height, width, channels = report["image_shape"]
    least, most = report["values"]
    lines.append(
        f"  images     {width} × {height}, {'grey' if channels == 1 else 'colour'}, {least} to {most}"
    )
    lines += [f"  notice     {notice}" for notice in report["notices"]]
    return "\n".join(lines)
