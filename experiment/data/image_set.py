"""A set of pictures as it was found, wherever its labels are: read, compared, and made arrays."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiment.data import image_cache, image_checks, image_reading
from experiment.data.arrays import Arrays, Examples, StoredImages
from experiment.data.image_checks import File
from experiment.data.image_fit import Target
from experiment.data.image_layout import Fault
from experiment.data.parallel import ProgressCallback
from experiment.errors import UserError
from experiment.system.names import printable
from params.groups.data import Resize


@dataclasses.dataclass(frozen=True)
class Inspection:
    """All that is known of a set before training: usable files, part by part, and what is wrong.

    ``source`` is the folder, or the table of labels; ``name`` is what the set is called in logs. ``parts``
    are those that it has, only 'train' where it names none; ``problems`` are lines, those of a kind together;
    ``duplicates`` are groups of the same pixels in different parts or classes; ``outside`` counts files that
    lie in no class, ``droppings`` those that systems left, by their names; ``notices`` say what else is left
    out. ``contents`` holds a path for each content, and ``facts`` what decoding told of it; ``depth`` is how
    many of 16 bits a pixel are in use (``images.read_image``). ``columns`` are those of a table that were
    read, by their parameters' names.
    """

    source: Path
    name: str
    parts: tuple[str, ...]
    class_names: tuple[str, ...]
    files: Sequence[File]
    faults: Sequence[Fault]
    problems: Sequence[Sequence[str]]
    duplicates: Sequence[Sequence[File]]
    contents: Mapping[str, Path]
    facts: Mapping[str, Mapping[str, Any]]
    depth: int
    outside: int = 0
    droppings: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notices: Sequence[str] = ()
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def place(self, file: File) -> Path:
        """Return where a picture lies."""
        folder = self.source if self.source.is_dir() else self.source.parent
        path = folder / Path(file.path).expanduser()
        return path if path.exists() else self.contents[file.content]  # its name was no text

    @property
    def grouped(self) -> bool:
        """Whether pictures belong to groups that no split may divide, beside those of equal pixels."""
        return any(file.group for file in self.files)


@dataclasses.dataclass(frozen=True)
class Listed:
    """A picture that a folder holds or a table names, not yet read.

    ``name`` is what the set calls it, ``shown`` what errors call it: in a table, with its row.
    """

    path: Path
    name: str
    shown: str
    part: str
    class_name: str
    group: str = ""


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Listed pictures, read and decoded: those that can be used, and the faults of the others."""

    files: Sequence[File]
    faults: Sequence[Fault]
    contents: Mapping[str, Path]
    decoded: image_cache.Decoded


def read_pictures(listed: Sequence[Listed], target: Target, progress: ProgressCallback) -> Pictures:
    """Read and decode every listed picture; say of each that cannot be used what is wrong with it.

    Args:
        listed: the pictures.
        target: what they are decoded to.
        progress: told of what is done, how many are done, and of how many.

    Raises:
        UserError: decoded images cannot be cached.
    """
    files: list[File] = []
    faults: list[Fault] = []
    contents: dict[str, Path] = {}
    read, decoded = image_reading.read_files([each.path for each in listed], target, progress)
    for each, found in zip(listed, read, strict=True):
        if found.sha256 is None:
            faults.append(Fault(each.shown, found.reason))
        else:
            files.append(File(each.name, each.shown, each.part, each.class_name, found.sha256, each.group))
            contents.setdefault(found.sha256, each.path)
    broken = decoded.faults
    faults += [Fault(file.shown, broken[file.content]) for file in files if file.content in broken]
    return Pictures([file for file in files if file.content not in broken], faults, contents, decoded)


def target(get_parameter: Callable[[str], Any]) -> Target:
    """Return what the pictures of a run are decoded to, by ``image-size``, ``channels`` and ``resize``."""
    size = get_parameter("image-size")
    try:
        resize: Resize = get_parameter("resize")
    except KeyError:  # a run's record lacks what was not asked for yet
        resize = "squash"
    return Target(size, size, get_parameter("channels"), resize)


def reasons(inspection: Inspection, skip_bad: bool = False, allow_duplicates: bool = False) -> list[str]:
    """Return each reason why a set is not fit to train on, the worst first; one line for many alike."""
    found = [line for kind in inspection.problems for line in image_checks.first_lines(kind)]
    if not skip_bad:
        found += image_checks.fault_lines(inspection.faults)
    if not allow_duplicates:
        found += image_checks.duplicate_lines(inspection.duplicates, inspection.facts)
    return found


def load_images(inspection: Inspection, get_parameter: Callable[[str], Any], memory: int) -> Arrays:
    """Return the arrays of an inspected set.

    Args:
        inspection: of the folder or table.
        get_parameter: reads what ``target`` does, ``skip-bad``, ``allow-duplicates``, and a table's columns.
        memory: bytes that the images may take; more stay on disk and are read batch by batch.

    Raises:
        UserError: the set is not fit to train on; every reason, one a line after the first.
    """
    for name, column in inspection.columns.items():
        if get_parameter(name) != column:
            raise RuntimeError(f"{name} = {get_parameter(name)!r}, but the table was read by {column!r}")
    if wrong := reasons(inspection, get_parameter("skip-bad"), get_parameter("allow-duplicates")):
        things = "one thing is" if len(wrong) == 1 else f"{len(wrong)} things are"
        where = printable(str(inspection.source))
        raise UserError("\n  ".join([f"dataset '{where}': {things} wrong with it", *wrong]))
    decoded = image_reading.decode(inspection.contents, target(get_parameter))  # from the cache, as a rule
    labels = {name: label for label, name in enumerate(inspection.class_names)}
    on_disk = len(inspection.files) * decoded.pixels[0].nbytes > memory
    examples = {}
    digest = hashlib.sha256(f"{decoded.pixels.shape[1:]}{inspection.class_names}".encode())
    for part in inspection.parts:
        files = [file for file in inspection.files if file.part == part]
        rows = np.array([decoded.rows[file.content] for file in files], np.int64)
        stored = StoredImages(decoded.pixels, rows)
        numbers = np.array([labels[file.class_name] for file in files], np.int32)
        names = np.array([file.path for file in files], object)
        examples[part] = Examples(stored if on_disk else stored[:], numbers, names)
        pixels = "".join(decoded.facts[file.content]["pixels"] for file in files)
        digest.update(f"{part}{pixels}".encode() + numbers.tobytes())
    return Arrays(
        inspection.name,
        examples["train"],
        examples.get("test"),
        inspection.class_names,
        digest.hexdigest(),
        validation=examples.get("validation"),
        groups=_groups([file for file in inspection.files if file.part == "train"], decoded),
        grouped=inspection.grouped,
    )


def _groups(files: Sequence[File], decoded: image_cache.Decoded) -> np.ndarray:
    """Number files int64 [N]: alike where a chain of equal pixels and groups leads from one to another."""
    first: dict[str, int] = {}  # the first content of the same pixels
    for number, content in enumerate(decoded.rows):
        if content in decoded.facts:
            first.setdefault(decoded.facts[content]["pixels"], number)
    same = np.array([first[decoded.facts[file.content]["pixels"]] for file in files], np.int64)
    if not any(file.group for file in files):
        return same
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers = {name: number for number, name in enumerate(sorted({file.group for file in files}))}
    group = np.array([numbers[file.group] for file in files], np.int64)
    pictures = len(decoded.rows)
    edges = coo_array((np.ones(len(files)), (same, pictures + group)), shape=(pictures + len(numbers),) * 2)
    return connected_components(edges, directed=False)[1][same].astype(np.int64)
