"""A folder of pictures, one sub-folder a class: what is in it, what is wrong with it, and its arrays."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiment.data import image_cache, image_checks
from experiment.data.array_files import is_idx_folder
from experiment.data.arrays import Arrays, Examples, StoredImages
from experiment.data.image_checks import File
from experiment.data.image_layout import PARTS, Fault, Layout, find_layout
from experiment.data.image_walk import look, unlisted
from experiment.data.named_sets import DATASETS, load_arrays
from experiment.errors import UserError
from experiment.system.names import printable


@dataclasses.dataclass(frozen=True)
class Inspection:
    """All that is known of a folder before training: usable files in order of their paths, and what is wrong.

    ``parts`` are those that the folder has sub-folders for, only 'train' where it has classes right away;
    ``duplicates`` are groups of the same pixels in different parts or classes; ``outside`` counts files that
    lie in no class, ``droppings`` those that systems left, by their names; ``notices`` say what else is left
    out. ``contents`` holds a path for each content, and ``facts`` what decoding told of it; ``depth`` is how
    many of 16 bits a pixel are in use (``images.read_image``).
    """

    folder: Path
    parts: tuple[str, ...]
    class_names: tuple[str, ...]
    files: Sequence[File]
    faults: Sequence[Fault]
    problems: Sequence[str]
    duplicates: Sequence[Sequence[File]]
    outside: int
    droppings: Mapping[str, int]
    notices: Sequence[str]
    contents: Mapping[str, Path]
    facts: Mapping[str, Mapping[str, Any]]
    depth: int

    @property
    def name(self) -> str:
        """The name by which the set is logged; its slash tells it from a file or a named set."""
        return f"{printable(self.folder.name)}/"


def is_image_folder(dataset: str) -> bool:
    """Tell whether a dataset is a path of a folder of pictures: one without any of MNIST's IDX files."""
    path = Path(os.path.expanduser(dataset))
    if dataset in ("auto", *DATASETS) or not os.path.isdir(path):  # unlike Path's, false for a name too long
        return False
    return not is_idx_folder(path)


def inspect_folder(
    folder: Path, image_size: int, channels: int, progress: image_cache.ProgressCallback = lambda *_: None
) -> Inspection:
    """Look at every file of a folder: decode all, compare all, and say what is wrong instead of raising.

    Args:
        folder: holds a sub-folder a class; or a part each for training and perhaps validation and test, which
            hold them (``image_layout.find_layout``).
        image_size: height and width to decode to, in pixels.
        channels: 1 for grey, 3 for colour.
        progress: told of what is done, how many are done, and of how many.

    Raises:
        UserError: the folder cannot be read, or decoded images cannot be cached.
    """
    layout = find_layout(folder.expanduser().resolve())
    faults, droppings = list(layout.faults), Counter(layout.droppings)
    files, contents = _files(layout, faults, droppings, progress)
    decoded = image_cache.decode(contents, image_size, image_size, channels, progress)
    broken = decoded.faults
    faults += [Fault(file.path, broken[file.content]) for file in files if file.content in broken]
    usable = [file for file in files if file.content not in broken]
    return Inspection(
        folder=layout.root,
        parts=tuple(part for part in PARTS if part in layout.parts) or ("train",),
        class_names=tuple(sorted({place.class_name for place in layout.places})),
        files=usable,
        faults=sorted(faults, key=lambda fault: fault.path),
        problems=image_checks.problems(layout, usable),
        duplicates=image_checks.duplicates(usable, decoded.facts),
        outside=len(layout.outside),
        droppings=droppings,
        notices=layout.notices,
        contents=contents,
        facts=decoded.facts,
        depth=decoded.depth,
    )


def load_images(inspection: Inspection, get_parameter: Callable[[str], Any], memory: int) -> Arrays:
    """Return the arrays of an inspected folder.

    Args:
        inspection: of the folder.
        get_parameter: reads ``image-size``, ``channels``, ``skip-bad`` and ``allow-duplicates``.
        memory: bytes that the images may take; more stay on disk and are read batch by batch.

    Raises:
        UserError: the folder is not fit to train on; every reason, one a line after the first.
    """
    if wrong := reasons(inspection, get_parameter("skip-bad"), get_parameter("allow-duplicates")):
        things = "one thing is" if len(wrong) == 1 else f"{len(wrong)} things are"
        where = printable(str(inspection.folder))
        raise UserError("\n  ".join([f"dataset '{where}': {things} wrong with it", *wrong]))
    size, channels = get_parameter("image-size"), get_parameter("channels")
    decoded = image_cache.decode(inspection.contents, size, size, channels)  # from the cache, as a rule
    labels = {name: label for label, name in enumerate(inspection.class_names)}
    on_disk = len(inspection.files) * decoded.pixels[0].nbytes > memory
    same: dict[str, int] = {}  # the first row that holds the same pixels
    for content, row in decoded.rows.items():
        if content in decoded.facts:
            same.setdefault(decoded.facts[content]["pixels"], row)
    examples, groups = {}, {}
    digest = hashlib.sha256(f"{decoded.pixels.shape[1:]}{inspection.class_names}".encode())
    for part in inspection.parts:
        files = [file for file in inspection.files if file.part == part]
        rows = np.array([decoded.rows[file.content] for file in files], np.int64)
        stored = StoredImages(decoded.pixels, rows)
        numbers = np.array([labels[file.class_name] for file in files], np.int32)
        pixels = [decoded.facts[file.content]["pixels"] for file in files]
        examples[part] = Examples(stored if on_disk else stored[:], numbers)
        groups[part] = np.array([same[each] for each in pixels], np.int64)
        digest.update(f"{part}{''.join(pixels)}".encode() + numbers.tobytes())
    return Arrays(
        inspection.name,
        examples["train"],
        examples.get("test"),
        inspection.class_names,
        digest.hexdigest(),
        validation=examples.get("validation"),
        groups=groups["train"],
    )


def load_set(source: str, get_parameter: Callable[[str], Any]) -> Arrays:
    """Load the set of a finished run into memory, whatever kind it is, from where ``run.json`` says it lay.

    Raises:
        UserError: it is not there any more, or is no longer fit.
    """
    if not is_image_folder(source):
        return load_arrays(source)
    inspection = inspect_folder(Path(source), get_parameter("image-size"), get_parameter("channels"))
    return load_images(inspection, get_parameter, memory=sys.maxsize)


def _files(
    layout: Layout, faults: list[Fault], droppings: Counter[str], progress: image_cache.ProgressCallback
) -> tuple[list[File], dict[str, Path]]:
    """Return the readable files of class folders and a path for each content; others become faults."""
    found: list[tuple[Path, str, str]] = []
    for place in layout.places:
        try:
            entries = look(place.folder, layout.root)
        except OSError as error:
            entries = [unlisted(place.folder, error)]
        for entry in entries:
            reason = entry.reason or ("a folder inside a class" if entry.is_folder else "")
            if entry.dropping:
                droppings[entry.path.name] += 1
            elif reason:
                faults.append(Fault(layout.shown(entry.path), reason))
            else:
                found.append((entry.path, place.part, place.class_name))
    files: list[File] = []
    contents: dict[str, Path] = {}
    hashes = image_cache.hash_files([path for path, _, _ in found], progress)
    for (path, part, class_name), (content, reason) in zip(found, hashes, strict=True):
        if content is None:
            faults.append(Fault(layout.shown(path), reason))
        else:
            files.append(File(layout.shown(path), part, class_name, content))
            contents.setdefault(content, path)
    return files, contents


def reasons(inspection: Inspection, skip_bad: bool = False, allow_duplicates: bool = False) -> list[str]:
    """Return each reason why a folder is not fit to train on, the worst first; one line for many alike."""
    found = list(inspection.problems)
    if not skip_bad:
        found += image_checks.fault_lines(inspection.faults)
    if not allow_duplicates:
        found += image_checks.duplicate_lines(inspection.duplicates, inspection.facts)
    return found
