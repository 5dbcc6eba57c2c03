"""What a folder of pictures holds, as facts and as lines of text."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

from experiment.image_folder import Inspection

UNBALANCED = 3
SHOWN = 20


def facts(inspection: Inspection) -> dict[str, Any]:
    """Return the report of an inspection: counts a part and class, formats, modes, sizes, what is wrong."""
    found = [inspection.facts[file.content] for file in inspection.files]
    counts = Counter((file.part, file.class_name) for file in inspection.files)
    sizes = sorted(((each["width"], each["height"]) for each in found), key=lambda size: size[0] * size[1])
    return {
        "folder": str(inspection.folder),
        "pictures": {
            part: {name: counts[part, name] for name in inspection.class_names} for part in inspection.parts
        },
        "formats": dict(Counter(each["format"] for each in found).most_common()),
        "modes": dict(Counter(each["mode"] for each in found).most_common()),
        "sizes": [list(sizes[place]) for place in (0, len(sizes) // 2, -1)] if sizes else [],
        "copies": len(inspection.files) - len({file.content for file in inspection.files}),
        "outside": inspection.outside,
        "problems": list(inspection.problems),
        "faults": [dataclasses.asdict(fault) for fault in inspection.faults],
        "duplicates": [[file.path for file in group] for group in inspection.duplicates],
    }


def describe(inspection: Inspection) -> str:
    """Return the report of an inspection as lines of text, but for what is wrong."""
    report = facts(inspection)
    lines = [f"{inspection.name} {len(inspection.files)} pictures, {len(inspection.class_names)} classes"]
    for part, counts in report["pictures"].items():
        lines.append(f"  {part:<11}{sum(counts.values()):>6}  {_counted(counts)}")
        least, most = min(counts.values(), default=0), max(counts.values(), default=0)
        if part == "train" and least and most >= UNBALANCED * least:
            lines.append(f"  unbalanced {most / least:.1f} to 1: class-weights = balanced makes up for it")
    if report["sizes"]:
        smallest, median, largest = (f"{width} × {height}" for width, height in report["sizes"])
        lines.append(f"  formats    {_counted(report['formats'])}; modes {_counted(report['modes'])}")
        lines.append(f"  sizes      {smallest} to {largest}, median {median}")
    if report["copies"]:
        lines.append(f"  copies     {report['copies']} files repeat another's content")
    if report["outside"]:
        lines.append(f"  outside    {report['outside']} files lie in no class folder and are not used")
    return "\n".join(lines)


def _counted(counts: Mapping[str, int]) -> str:
    shown = [f"{name} {count}" for name, count in counts.items()]
    return ", ".join(shown[:SHOWN] + ([f"and {len(shown) - SHOWN} more"] if len(shown) > SHOWN else []))
