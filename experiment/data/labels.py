"""Pictures whose labels stand in a table: CSV with a row for each picture; read, and every fault found."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

from experiment.data import image_checks
from experiment.data.image_fit import Target
from experiment.data.image_layout import PARTS
from experiment.data.image_set import Inspection, Listed, read_pictures
from experiment.data.label_checks import Row, Table, is_whole, row_problems, set_problems
from experiment.data.parallel import ProgressCallback
from experiment.errors import UserError
from experiment.system.names import printable, some
from params.conditions import is_table
from params.words import did_you_mean

REQUIRED, OPTIONAL = ("file-column", "label-column"), ("split-column", "group-column")
COLUMNS = (*REQUIRED, *OPTIONAL)
_DELIMITERS = ",;\t"
_SHOWN = 8  # columns of a table
_OTHERWISE = (  # how files begin that are no table, and what they are
    (b"PK\x03\x04", "a spreadsheet or a zip archive: save the table as CSV"),
    (b"\xff\xfe", "in UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "in UTF-16: save it as UTF-8"),
)


def is_labels(dataset: str) -> bool:
    """Tell whether a dataset is the path of a table of labels: a file that ends in .csv or .tsv."""
    return is_table(dataset) and os.path.isfile(os.path.expanduser(dataset))


def inspect_labels(
    path: Path,
    columns: Mapping[str, str],
    target: Target,
    progress: ProgressCallback = lambda *_: None,
) -> Inspection:
    """Look at every row of a table and every picture that it names; say what is wrong instead of raising.

    Args:
        path: CSV in UTF-8, with or without BOM, separated by ``,``, ``;`` or tabs. The first row names the
            columns; paths of pictures are relative to the table's folder.
        columns: the names of the columns of files, labels, parts and groups, by ``COLUMNS``. The latter two
            may be missing under their default names.
        target: what pictures are decoded to.
        progress: told of what is done, how many are done, and of how many.

    Raises:
        UserError: the table cannot be read, lacks a column, or decoded images cannot be cached.
    """
    path = path.expanduser().absolute()
    table = read_table(path, columns)
    wholes = [row for row in table.rows if is_whole(row, table)]
    listed = [_listed(row, table, path.parent) for row in wholes]
    pictures = read_pictures(listed, target, progress)
    return Inspection(
        source=path,
        name=printable(path.name),
        parts=tuple(part for part in PARTS if part in {row.part for row in wholes}) or ("train",),
        class_names=tuple(sorted({row.label for row in wholes})),
        files=pictures.files,
        faults=pictures.faults,
        problems=[*row_problems(table), *set_problems(table, wholes, pictures.files)],
        duplicates=[
            group
            for group in image_checks.duplicates(pictures.files, pictures.decoded.facts)
            if len({os.path.normpath(file.path) for file in group}) > 1  # else told as listed twice
        ],
        contents=pictures.contents,
        facts=pictures.decoded.facts,
        depth=pictures.decoded.depth,
        notices=[f"columns that are not read: {some(table.unused, _SHOWN)}"] if table.unused else [],
        columns=table.columns,
    )


def _listed(row: Row, table: Table, folder: Path) -> Listed:
    return Listed(
        path=folder / os.path.expanduser(row.file),
        name=row.file,
        shown=f"row {row.number}, {table.columns['file-column']} '{printable(row.file)}'",
        part=row.part,
        class_name=row.label,
        group=row.group,
    )


def read_table(path: Path, columns: Mapping[str, str]) -> Table:
    """Read a table's rows as they stand; their faults are left to ``label_checks``.

    Raises:
        UserError: it cannot be read, or lacks a column.
    """
    where, text = f"dataset '{printable(str(path))}'", _read_text(path)
    delimiter = max(_DELIMITERS, key=lambda each: _fitness(text, each, columns))
    records = _records(text, delimiter, where)
    _, header = next(records, (1, []))
    names = [cell.strip() for cell in header]
    found = _find_columns(names, columns, where)
    places = {name: names.index(column) for name, column in found.items()}
    rows = []
    for number, cells in records:
        if any(cell.strip() for cell in cells):
            texts = {
                name: cells[place].strip() if place < len(cells) else "" for name, place in places.items()
            }
            label = unicodedata.normalize("NFC", printable(texts["label-column"]))
            split, group = texts.get("split-column", ""), texts.get("group-column", "")
            fits = len(cells) == len(names) or not any(cell.strip() for cell in cells[len(names) :])
            rows.append(
                Row(number, texts["file-column"], label, split, group, len(cells) if not fits else None)
            )
    unused = [name for name in names if name and name not in found.values()]
    empty = {name for name in OPTIONAL if not any(getattr(row, name.removesuffix("-column")) for row in rows)}
    kept = {name: column for name, column in found.items() if name not in empty}
    return Table(path, kept, rows, len(names), delimiter, [printable(name) for name in unused])


def _read_text(path: Path) -> str:
    where = f"dataset '{printable(str(path))}'"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{where} cannot be read: {error.strerror}") from None
    for start, kind in _OTHERWISE:
        if content.startswith(start):
            raise UserError(f"{where} is {kind}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise UserError(f"{where}, row {row}: byte 0x{byte:02x} is no UTF-8: save it as UTF-8") from None


def _records(text: str, delimiter: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield a table's records and their numbers as a spreadsheet counts them: the first is 1.

    Raises:
        UserError: quotes are out of order, or a cell is of absurd length.
    """
    number = 0
    try:
        for number, cells in enumerate(
            csv.reader(io.StringIO(text, ""), delimiter=delimiter, strict=True), 1
        ):
            yield number, cells
    except csv.Error as error:
        raise UserError(f"{where}, row {number + 1}: no CSV: {error}") from None


def _fitness(text: str, delimiter: str, columns: Mapping[str, str]) -> tuple[int, int]:
    """Rank a delimiter: by how many wanted columns the first row then has, then by how many of any name."""
    try:
        first = next(csv.reader(io.StringIO(text, ""), delimiter=delimiter), [])
    except csv.Error:  # told by what reads the whole
        return 0, 0
    return len({cell.strip() for cell in first} & set(columns.values())), len(first)


def _find_columns(names: list[str], columns: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the columns that there are, by their parameters' names.

    Raises:
        UserError: one is missing that must be there, or stands there twice.
    """
    from params.spec import Params

    found = {}
    for parameter, column in columns.items():
        default = Params.model_fields[parameter.replace("-", "_")].default
        if names.count(column) > 1:
            raise UserError(f"{where}, row 1: column '{printable(column)}' stands there twice: rename one")
        if column in names:
            found[parameter] = column
        elif parameter in REQUIRED or column != default:
            held = some([printable(name) for name in names if name], _SHOWN) or "none"
            hint = did_you_mean(column, names) or f": --{parameter} says which it is"
            many = "; of pixels, make images and save them as .npz" if len(names) > 100 else ""
            raise UserError(f"{where}, row 1: no column '{printable(column)}' among {held}{hint}{many}")
    if len(set(found.values())) < len(found):
        twice = next(column for column in found.values() if list(found.values()).count(column) > 1)
        both = " and ".join(f"--{name}" for name, column in found.items() if column == twice)
        raise UserError(f"{where}, row 1: {both} name the same column '{printable(twice)}'")
    return found
