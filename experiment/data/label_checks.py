"""What is wrong with a table of labels: in its rows, and in its labels, parts and groups as a whole."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from experiment.data.image_checks import File
from experiment.data.image_layout import PARTS, part_named
from experiment.system.names import counted, printable, some

ROWS = 5  # that are named where many have the same fault


@dataclasses.dataclass(frozen=True)
class Row:
    """What a table says of a picture; ``number`` counts as spreadsheets do, ``cells`` if those do not fit."""

    number: int
    file: str
    label: str
    split: str = ""
    group: str = ""
    cells: int | None = None

    @property
    def part(self) -> str:
        """The part of the set that it is in; 'train' where none is named."""
        return part_named(self.split) or "train" if self.split else "train"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table as it was read.

    ``columns`` holds names by their parameters, without those that are empty throughout; ``unused`` names the
    others; ``width`` is the number of all.
    """

    path: Path
    columns: Mapping[str, str]
    rows: Sequence[Row]
    width: int
    delimiter: str
    unused: Sequence[str]

    def column(self, part: str) -> str:
        """Return a column's own name, given 'file', 'label', 'split' or 'group'."""
        return printable(self.columns.get(f"{part}-column", part))


def is_whole(row: Row, table: Table) -> bool:
    """Tell whether a row says all that it takes to use its picture."""
    if row.cells is not None or not row.file or not row.label:
        return False
    return "split-column" not in table.columns or part_named(row.split) is not None


def row_problems(table: Table) -> list[list[str]]:
    """Return lines about single rows, kind by kind: of other lengths, with empty cells, or named twice."""
    name = table.column
    by_length = defaultdict(list)
    for row in table.rows:
        if row.cells is not None:
            by_length[row.cells].append(row)
    quotes = f"put a cell that holds '{table.delimiter}' into quotes".replace("\t", "\\t")
    kinds = [
        [
            f"{_rows(rows)}: {cells} cells, where row 1 has {table.width} ({quotes})"
            for cells, rows in by_length.items()
        ]
    ]
    fitting = [row for row in table.rows if row.cells is None]
    for column in ("file", "label", "split", "group"):
        empty = [row for row in fitting if not getattr(row, column)]
        if empty and f"{column}-column" in table.columns:
            kinds.append([f"{_rows(empty)}, {name(column)} '': empty"])
    kinds.append(_listed_twice(table, fitting))
    return kinds


def _listed_twice(table: Table, rows: Iterable[Row]) -> list[str]:
    """Return lines about files that several rows name, however they write the path."""
    by_file = defaultdict(list)
    for row in rows:
        if row.file:
            by_file[os.path.normpath(os.path.expanduser(row.file))].append(row)
    lines = []
    for same in by_file.values():
        if len(same) > 1:
            labels = list(dict.fromkeys(row.label for row in same))
            under = f" under {some([repr(label) for label in labels], ROWS)}" if len(labels) > 1 else ""
            times = "twice" if len(same) == 2 else f"{len(same)} times"
            lines.append(
                f"{_rows(same)}, {table.column('file')} '{printable(same[0].file)}': listed {times}{under}"
            )
    return lines


def set_problems(table: Table, rows: Sequence[Row], files: Sequence[File]) -> list[list[str]]:
    """Return lines about spellings of labels and parts, classes that parts lack, and groups that cross parts.

    Args:
        table: the whole of it.
        rows: those that say all it takes.
        files: those of their pictures that can be used.
    """
    return [
        _spellings(table.column("label"), [row for row in rows if row.label], "label"),
        _split_spellings(table),
        _classes(table, rows, files),
        _crossing(table, rows),
    ]


def _spellings(column: str, rows: Iterable[Row], attribute: str) -> list[str]:
    """Return lines about labels that differ in case or spaces alone, the rarer ones with their rows."""
    by_key: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        text = getattr(row, attribute)
        by_key["".join(text.split()).casefold()][text].append(row)
    lines = []
    for spelled in by_key.values():
        usual, *others = sorted(spelled.items(), key=lambda item: (-len(item[1]), item[0]))
        for text, found in others:
            lines.append(
                f"{_rows(found)}, {column} '{text}': differs only in case or spaces from '{usual[0]}' "
                f"({_rows(usual[1])})"
            )
    return lines


def _split_spellings(table: Table) -> list[str]:
    """Return lines about parts that are unknown, or that are spelled in more than one way."""
    if "split-column" not in table.columns:
        return []
    column, by_text = table.column("split"), defaultdict(list)
    for row in table.rows:
        if row.cells is None and row.split:
            by_text[row.split].append(row)
    lines, by_part = [], defaultdict(list)
    for text, rows in by_text.items():
        by_part[part_named(text)].append((text, rows))
    for text, rows in by_part.pop(None, []):
        lines.append(
            f"{_rows(rows)}, {column} '{printable(text)}': should be {', '.join(PARTS[:2])} or {PARTS[2]}"
        )
    for part, spelled in by_part.items():
        usual, *others = sorted(spelled, key=lambda item: (-len(item[1]), item[0]))
        lines += [
            f"{_rows(rows)}, {column} '{printable(text)}': another spelling of '{printable(usual[0])}', "
            f"which is {part} ({_rows(usual[1])})"
            for text, rows in others
        ]
    return lines


def _classes(table: Table, rows: Sequence[Row], files: Sequence[File]) -> list[str]:
    """Return lines about too few labels, labels without usable pictures, and labels that a part lacks."""
    column, labels = table.column("label"), sorted({row.label for row in rows})
    lines = []
    if len(labels) < 2:
        named = f": '{labels[0]}'" if labels else ""
        lines.append(f"column {column}: {counted(len(labels), 'label')}{named}; there must be two at least")
    usable = Counter(file.class_name for file in files)
    lines += [f"{column} '{label}': no picture of it can be used" for label in labels if not usable[label]]
    by_part = defaultdict(set)
    for row in rows:
        by_part[row.part].add(row.label)
    in_train = by_part.pop("train", set())
    if rows and not in_train:
        return [*lines, f"column {table.column('split')}: no row is in train"]
    for part, others in sorted(by_part.items()):
        lines += [f"{column} '{label}': in {part}, not in train" for label in sorted(others - in_train)]
        lines += [f"{column} '{label}': in train, not in {part}" for label in sorted(in_train - others)]
    return lines


def _crossing(table: Table, rows: Sequence[Row]) -> list[str]:
    """Return lines about groups whose pictures are in more than one part."""
    by_group: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.group:
            by_group[row.group][row.part].append(row)
    return [
        f"{table.column('group')} '{printable(group)}': in "
        + " and in ".join(f"{part} ({_rows(found)})" for part, found in parts.items())
        + ", so it crosses parts"
        for group, parts in by_group.items()
        if len(parts) > 1
    ]


def _rows(rows: Sequence[Row]) -> str:
    """Name rows by their numbers: 'row 3', 'rows 3, 7 and 2 more'."""
    numbers = [str(row.number) for row in rows]
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    return (
        f"rows {some(numbers, ROWS)}"
        if len(numbers) > ROWS
        else f"rows {', '.join(numbers[:-1])} and {numbers[-1]}"
    )
