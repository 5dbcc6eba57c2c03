"""A folder of pictures, one sub-folder a class: what is in it, what is wrong with it, and its arrays."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiment import image_cache
from experiment.array_files import is_idx_folder
from experiment.data import DATASETS, Arrays, Examples, StoredImages, load_arrays

PARTS = ("train", "validation", "test")
IGNORED = ("Thumbs.db", "desktop.ini", "__MACOSX")


@dataclasses.dataclass(frozen=True)
class File:
    """One file of a class: its path below the folder, the part and class it is in, its content's SHA-256."""

    path: str
    part: str
    class_name: str
    content: str


@dataclasses.dataclass(frozen=True)
class Fault:
    """A file or link that cannot be used, and why."""

    path: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Inspection:
    """All that is known of a folder before training: usable files in order of their paths, and what is wrong.

    ``parts`` are those that the folder has sub-folders for, only 'train' where it has classes right away;
    ``duplicates`` are groups of equal files in different parts or classes; ``outside`` counts files that lie
    in no class; ``contents`` holds a path for each content, and ``facts`` what decoding told of it.
    """

    folder: Path
    parts: tuple[str, ...]
    class_names: tuple[str, ...]
    files: Sequence[File]
    faults: Sequence[Fault]
    problems: Sequence[str]
    duplicates: Sequence[Sequence[File]]
    outside: int
    contents: Mapping[str, Path]
    facts: Mapping[str, Mapping[str, Any]]

    @property
    def name(self) -> str:
        """The name by which the set is logged; its slash tells it from a file or a named set."""
        return f"{self.folder.name}/"


def is_image_folder(dataset: str) -> bool:
    """Tell whether a dataset is a path of a folder of pictures: one without any of MNIST's IDX files."""
    path = Path(dataset).expanduser()
    if dataset in ("auto", *DATASETS) or not path.is_dir():
        return False
    return not is_idx_folder(path)


def inspect_folder(
    folder: Path, image_size: int, channels: int, progress: image_cache.Progress = lambda *_: None
) -> Inspection:
    """Look at every file of a folder: decode all, compare all, and say what is wrong instead of raising.

    Args:
        folder: holds a sub-folder a class; or train/ and perhaps validation/ and test/, which hold them.
        image_size: height and width to decode to, in pixels.
        channels: 1 for grey, 3 for colour.
        progress: told of what is done, how many are done, and of how many.

    Raises:
        ValueError: the folder cannot be read, or decoded images cannot be cached.
    """
    root = folder.expanduser().resolve()
    places, outside, faults = _places(root)
    files, contents = _files(root, places, faults, progress)
    decoded = image_cache.decode(contents, image_size, image_size, channels, progress) if contents else None
    broken = decoded.faults if decoded else {}
    faults += [Fault(file.path, broken[file.content]) for file in files if file.content in broken]
    usable = [file for file in files if file.content not in broken]
    classes = sorted({class_name for _, class_name, _ in places})
    return Inspection(
        folder=root,
        parts=tuple(part for part in PARTS if part in {part for part, _, _ in places}) or ("train",),
        class_names=tuple(classes),
        files=usable,
        faults=sorted(faults, key=lambda fault: fault.path),
        problems=_problems(root, places, classes, usable),
        duplicates=_duplicates(usable),
        outside=outside,
        contents=contents,
        facts=decoded.facts if decoded else {},
    )


def load_images(inspection: Inspection, get_parameter: Callable[[str], Any], memory: int) -> Arrays:
    """Return the arrays of an inspected folder.

    Args:
        inspection: of the folder.
        get_parameter: reads ``image-size``, ``channels``, ``skip-bad`` and ``allow-duplicates``.
        memory: bytes that the images may take; more stay on disk and are read batch by batch.

    Raises:
        ValueError: the folder is not fit to train on; every reason, one a line after the first.
    """
    if wrong := reasons(inspection, get_parameter("skip-bad"), get_parameter("allow-duplicates")):
        things = "one thing is" if len(wrong) == 1 else f"{len(wrong)} things are"
        raise ValueError("\n  ".join([f"dataset '{inspection.folder}': {things} wrong with it", *wrong]))
    size, channels = get_parameter("image-size"), get_parameter("channels")
    decoded = image_cache.decode(inspection.contents, size, size, channels)  # from the cache, as a rule
    labels = {name: label for label, name in enumerate(inspection.class_names)}
    on_disk = len(inspection.files) * decoded.pixels[0].nbytes > memory
    examples, groups = {}, {}
    digest = hashlib.sha256(f"{decoded.pixels.shape[1:]}{inspection.class_names}".encode())
    for part in inspection.parts:
        files = [file for file in inspection.files if file.part == part]
        rows = np.array([decoded.rows[file.content] for file in files], np.int64)
        stored = StoredImages(decoded.pixels, rows)
        numbers = np.array([labels[file.class_name] for file in files], np.int32)
        examples[part] = Examples(stored if on_disk else stored[:], numbers)
        groups[part] = rows
        pixels = "".join(decoded.facts[file.content]["pixels"] for file in files)
        digest.update(f"{part}{pixels}".encode() + numbers.tobytes())
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
        ValueError: it is not there any more, or is no longer fit.
    """
    if not is_image_folder(source):
        return load_arrays(source)
    inspection = inspect_folder(Path(source), get_parameter("image-size"), get_parameter("channels"))
    return load_images(inspection, get_parameter, memory=sys.maxsize)


def _places(root: Path) -> tuple[list[tuple[str, str, Path]], int, list[Fault]]:
    """Return (part, class, folder) of each class folder, how many files lie outside, and links refused."""
    top, outside, faults = _folders(root, root)
    names = {path.name for path in top}
    if "train" not in names or not names <= set(PARTS):
        return [("train", _class_name(path), path) for path in top], outside, faults
    places = []
    for part in top:
        folders, loose, refused = _folders(part, root)
        places += [(part.name, _class_name(path), path) for path in folders]
        outside, faults = outside + loose, faults + refused
    return places, outside, faults


def _folders(folder: Path, root: Path) -> tuple[list[Path], int, list[Fault]]:
    """Return a folder's sub-folders, how many files lie beside them, and links to folders, refused."""
    folders, files, faults = [], 0, []
    for path in _entries(folder):
        if path.is_symlink() and path.is_dir():
            faults.append(Fault(_shown(path, root), "a symbolic link to a folder"))
        elif path.is_dir():
            folders.append(path)
        else:
            files += 1
    return folders, files, faults


def _entries(folder: Path) -> list[Path]:
    try:
        found = [Path(entry) for entry in os.scandir(folder)]
    except OSError as error:
        raise ValueError(f"dataset folder '{folder}' cannot be read: {error.strerror}") from None
    return sorted(path for path in found if not path.name.startswith(".") and path.name not in IGNORED)


def _files(
    root: Path, places: Sequence[tuple[str, str, Path]], faults: list[Fault], progress: image_cache.Progress
) -> tuple[list[File], dict[str, Path]]:
    """Return the readable files of class folders and a path for each content; others become faults."""
    found: list[tuple[Path, str, str]] = []
    for part, class_name, place in places:
        for path, reason in _walk(root, place):
            if reason:
                faults.append(Fault(_shown(path, root), reason))
            else:
                found.append((path, part, class_name))
    files: list[File] = []
    contents: dict[str, Path] = {}
    hashes = image_cache.hash_files([path for path, _, _ in found], progress)
    for (path, part, class_name), (content, reason) in zip(found, hashes, strict=True):
        if content is None:
            faults.append(Fault(_shown(path, root), reason))
        else:
            files.append(File(_shown(path, root), part, class_name, content))
            contents.setdefault(content, path)
    return files, contents


def _walk(root: Path, folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield what a class folder holds, with the reason why it can't be used, if any, known by its kind."""
    for path in _entries(folder):
        reason = ""
        if path.is_symlink() and not path.exists():
            reason = "a symbolic link to nothing"
        elif path.is_symlink():
            if not path.resolve().is_relative_to(root):
                reason = "a symbolic link that leaves the folder"
            elif path.is_dir():
                reason = "a symbolic link to a folder"
        elif path.is_dir():
            reason = "a folder inside a class"
        yield path, reason


def _class_name(folder: Path) -> str:
    """Return a class's name; one that macOS wrote decomposed equals the one that others write."""
    return unicodedata.normalize("NFC", _printable(folder.name))


def _shown(path: Path, root: Path) -> str:
    return _printable(path.relative_to(root).as_posix())


def _printable(name: str) -> str:
    """Return a file name as text that can be printed and stored, even where it's not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _problems(
    root: Path, places: Sequence[tuple[str, str, Path]], classes: Sequence[str], files: Sequence[File]
) -> list[str]:
    """Return what is wrong with the classes as a whole."""
    parts = {part for part, _, _ in places}
    counts = Counter((file.part, file.class_name) for file in files)
    found = []
    if len(classes) < 2:
        found.append(f"{len(classes)} class folder(s): there must be two at least, one a class")
    elif "train" in classes and set(classes) & {"val", "valid", "dev", "validation", "test", "testing"}:
        found.append(
            f"sub-folders are {', '.join(classes)}: parts are called train, validation and test, and all "
            "sub-folders are parts then"
        )
    for part, class_name, place in places:
        if not counts[part, class_name]:
            found.append(f"{_shown(place, root)}: an empty class: no picture in it can be used")
    in_train = {class_name for part, class_name, _ in places if part == "train"}
    for part in sorted(parts - {"train"}):
        others = {class_name for each, class_name, _ in places if each == part}
        found += [f"{part}/{name}: a class that train/ has not" for name in sorted(others - in_train)]
        found += [f"{part}/{name}: missing, while train/ has it" for name in sorted(in_train - others)]
    return found


def _duplicates(files: Sequence[File]) -> list[list[File]]:
    """Return groups of files with equal content that lie in different parts or classes."""
    groups = defaultdict(list)
    for file in files:
        groups[file.content].append(file)
    return [group for group in groups.values() if len({(file.part, file.class_name) for file in group}) > 1]


def reasons(inspection: Inspection, skip_bad: bool = False, allow_duplicates: bool = False) -> list[str]:
    """Return each reason why a folder is not fit to train on, the worst first."""
    found = list(inspection.problems)
    if not skip_bad:
        found += [f"{fault.path}: {fault.reason} (skip-bad leaves it out)" for fault in inspection.faults]
    if not allow_duplicates:
        found += [
            f"{' = '.join(file.path for file in group)}: the same picture (allow-duplicates lets it be)"
            for group in inspection.duplicates
        ]
    return found
