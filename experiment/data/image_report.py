"""What a set of pictures holds, as facts and as lines of text."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

from experiment.data.image_fit import FULL_DEPTH
from experiment.data.image_set import Inspection
from experiment.data.splits import Dataset
from experiment.system.names import as_utf8, counted, printable, some

UNBALANCED = 3
SHOWN = 20
PATHS = 3


def facts(inspection: Inspection, split: Dataset | None = None) -> dict[str, Any]:
    """Return the report of an inspection: counts a part and class, formats, modes, sizes, what is wrong.

    ``pictures`` counts what lies in each folder; ``split``, where one is given, what is done with it.
    """
    found = [inspection.facts[file.content] for file in inspection.files]
    counts = Counter((file.part, file.class_name) for file in inspection.files)
    sizes = sorted(((each["width"], each["height"]) for each in found), key=lambda size: size[0] * size[1])
    return {
        "source": as_utf8(str(inspection.source)),
        "pictures": {
            part: {name: counts[part, name] for name in inspection.class_names} for part in inspection.parts
        },
        "formats": dict(Counter(each["format"] for each in found).most_common()),
        "modes": dict(Counter(each["mode"] for each in found).most_common()),
        "sizes": [list(sizes[place]) for place in (0, len(sizes) // 2, -1)] if sizes else [],
        "copies": len(found) - len({each["pixels"] for each in found}),
        "copies_in_other_bytes": len({file.content for file in inspection.files})
        - len({each["pixels"] for each in found}),
        "constant": [file.path for file in inspection.files if inspection.facts[file.content]["constant"]],
        "depth": inspection.depth,
        "groups": len({file.group for file in inspection.files} - {""}),
        "outside": inspection.outside,
        "droppings": {as_utf8(name): count for name, count in sorted(inspection.droppings.items())},
        "notices": list(inspection.notices),
        "problems": [line for kind in inspection.problems for line in kind],
        "faults": [dataclasses.asdict(fault) for fault in inspection.faults],
        "duplicates": [[file.path for file in group] for group in inspection.duplicates],
        **({"split": split_sizes(split)} if split else {}),
    }


def split_sizes(split: Dataset) -> dict[str, int]:
    """Return how many pictures a split has in each part; validation may be the test part itself."""
    return {part: len(getattr(split, part)) for part in ("train", "validation", "test")}


def split_text(inspection: Inspection, split: Dataset) -> str:
    """Return a line on what is trained on, and what is held out of it for the other parts."""
    held = sum(file.part == "train" for file in inspection.files) - len(split.train)
    test_is_held = "test" not in inspection.parts
    parts = [("train", split.train, False), ("test", split.test, test_is_held)]
    if split.validation is not split.test:
        rest = held - test_is_held * len(split.test)
        parts.insert(1, ("validation", split.validation, rest > 0))
    shown = (f"{part} {len(examples)}{' (held out)' if out else ''}" for part, examples, out in parts)
    return f"  split      {', '.join(shown)}"


def pictures_text(inspection: Inspection) -> str:
    """Return the report of an inspection as lines of text, but for what is wrong."""
    report = facts(inspection)
    classes = counted(len(inspection.class_names), "class")
    lines = [f"{inspection.name} {counted(len(inspection.files), 'picture')}, {classes}"]
    for part, counts in report["pictures"].items():
        name = "all" if inspection.parts == ("train",) else part
        lines.append(f"  {name:<11}{sum(counts.values()):>6}  {_counted(counts)}".rstrip())
        least, most = min(counts.values(), default=0), max(counts.values(), default=0)
        if part == "train" and least and most >= UNBALANCED * least:
            lines.append(f"  unbalanced {most / least:.1f} to 1: class-weights = balanced makes up for it")
    if report["sizes"]:
        smallest, median, largest = (f"{width} × {height}" for width, height in report["sizes"])
        lines.append(f"  formats    {_counted(report['formats'])}; modes {_counted(report['modes'])}")
        lines.append(f"  sizes      {smallest} to {largest}, median {median}")
    if report["depth"] != FULL_DEPTH:
        used = f"of 16 bits of grey {report['depth']} are in use, and the upper 8 of those count"
        lines.append(f"  depth      {used}")
    if report["copies"]:
        other = report["copies_in_other_bytes"]
        also = f", {other} of them by other bytes" if other else ""
        repeat = counted(report["copies"], "file repeats", "files repeat")
        lines.append(f"  copies     {repeat} another's picture{also}")
    if constant := report["constant"]:
        named = some([printable(path) for path in constant], PATHS)
        blank = counted(len(constant), "picture is", "pictures are")
        lines.append(f"  blank      {blank} of a single colour: {named}")
    if report["groups"]:
        lines.append(f"  groups     {report['groups']}, which no split divides")
    if report["outside"]:
        outside = counted(report["outside"], "file lies", "files lie")
        lines.append(f"  outside    {outside} in no class folder: not used")
    if report["droppings"]:
        found = {printable(name): count for name, count in report["droppings"].items()}
        lines.append(f"  left out   what systems leave: {_counted(found)}")
    lines += [f"  notice     {notice}" for notice in report["notices"]]
    return "\n".join(lines)


def _counted(counts: Mapping[str, int]) -> str:
    return some([f"{name} {count}" for name, count in counts.items()], SHOWN)
