"""What is wrong with a folder of pictures, in as few lines as tell it."""

from __future__ import annotations

import dataclasses
import posixpath
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from experiment.data.image_layout import Fault, Layout, advice
from experiment.system.names import counted, more, some

PATHS = 3  # that are named where many have the same fault
LINES = 20  # of one kind


@dataclasses.dataclass(frozen=True)
class File:
    """One picture: its path as the set has it, what errors call it, part, class, content's SHA-256, group.

    ``group`` is '' where pictures have none.
    """

    path: str
    shown: str
    part: str
    class_name: str
    content: str
    group: str = ""


def problems(layout: Layout, files: Sequence[File]) -> list[list[str]]:
    """Return what is wrong with parts and classes as a whole, given the usable files; kind by kind."""
    classes = {place.class_name for place in layout.places}
    found = [list(layout.problems)]
    if len(classes) < 2:
        few = f"{counted(len(classes), 'class folder')}: there must be two at least, one a class"
        found.append([few + advice(layout.outside)])
    counts = Counter((file.part, file.class_name) for file in files)
    empty = [place for place in layout.places if not counts[place.part, place.class_name]]
    found.append(
        [f"{layout.shown(place.folder)}: an empty class: no picture in it can be used" for place in empty]
    )
    classes_of = defaultdict(set)
    for place in layout.places:
        classes_of[place.part].add(place.class_name)
    in_train, train = classes_of.pop("train", set()), layout.shown(layout.parts.get("train", layout.root))
    for part, others in sorted(classes_of.items()):
        name = layout.shown(layout.parts[part])
        extra, missing = sorted(others - in_train), sorted(in_train - others)
        found.append([f"{name}/{each}: a class that {train}/ has not" for each in extra])
        found.append([f"{name}/{each}: missing, while {train}/ has it" for each in missing])
    return found


def duplicates(files: Sequence[File], facts: Mapping[str, Mapping[str, object]]) -> list[list[File]]:
    """Return groups of files of the same pixels that lie in different parts or classes.

    Args:
        files: those that can be used.
        facts: of each content, ``pixels`` among them: the SHA-256 of what it decodes to.
    """
    groups = defaultdict(list)
    for file in files:
        groups[facts[file.content]["pixels"]].append(file)
    return [group for group in groups.values() if len({(file.part, file.class_name) for file in group}) > 1]


def fault_lines(faults: Sequence[Fault]) -> list[str]:
    """Return lines that name faults: one for all of the same reason and the same ending of files' names."""
    groups = defaultdict(list)
    for fault in faults:
        groups[fault.reason, _ending(fault.path).casefold()].append(fault.path)
    return first_lines(
        [
            f"{_listed(paths, ', ')}: {reason} (skip-bad leaves {'it' if len(paths) == 1 else 'them'} out)"
            for (reason, _), paths in groups.items()
        ]
    )


def duplicate_lines(groups: Sequence[Sequence[File]], facts: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return a line for each group of the same picture in different parts or classes."""
    lines = []
    for group in groups:
        same = "the same picture"
        if len({file.content for file in group}) > 1:
            same += " once decoded"
        if facts[group[0].content]["constant"]:
            same += ", of a single colour"
        paths = _listed([file.shown for file in group], " = ")
        lines.append(f"{paths}: {same} (allow-duplicates lets it be)")
    return first_lines(lines)


def _listed(paths: Sequence[str], between: str) -> str:
    ends = {_ending(path) for path in paths}
    kind = ends.pop() if len(ends) == 1 else ""
    return some(paths, PATHS, f"{kind} files".strip(), between)


def _ending(path: str) -> str:
    return posixpath.splitext(path.rstrip("'"))[1]


def first_lines(lines: Sequence[str]) -> list[str]:
    """Return the first lines of a kind and how many more there are."""
    rest = len(lines) - LINES
    if rest <= 1:
        return list(lines)
    return [*lines[:LINES], f"… {more(rest, 'of that kind')} (all of them: inspect --json)"]
