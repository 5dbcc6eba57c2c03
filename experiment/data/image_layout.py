"""Where a folder of pictures keeps its parts and classes: as asked for, and as people have them."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiment.data.image_walk import Found, look, unlisted
from experiment.errors import UserError
from experiment.system.names import counted, printable, some

PARTS = ("train", "validation", "test")
_PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_AROUND = re.compile(r"^seg[-_ ]|[-_ ]?(set|data)?[-_ ]?\d*$")  # seg_train, training_set, test1
_PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".heic")
_TABLES = (".csv", ".json", ".jsonl", ".tsv", ".txt", ".xls", ".xlsx", ".xml")
# More beginnings of names are words of single files, no classes.
MOST_BEGINNINGS = 20
_BEGINNING = re.compile(r"[^\W\d_]+")  # cat of cat.0.jpg


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder that holds the pictures of a class, and the part that it is in."""

    part: str
    class_name: str
    folder: Path


@dataclasses.dataclass(frozen=True)
class Fault:
    """A file, folder or link that cannot be used, and why."""

    path: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where pictures lie below ``root``, before any of them is read.

    ``parts`` are the folders of those parts that there are, only 'train' where classes lie right away;
    ``outside`` are files in no class; ``notices`` say what is left out or lies deeper, ``problems`` what
    cannot be made out.
    """

    root: Path
    places: Sequence[Place]
    parts: Mapping[str, Path]
    outside: Sequence[Path]
    faults: Sequence[Fault]
    droppings: Mapping[str, int]
    notices: Sequence[str]
    problems: Sequence[str]

    def shown(self, path: Path) -> str:
        """Return a path below the root as text that can be printed and stored."""
        return shown_below(self.root, path)


def part_named(name: str) -> str | None:
    """Return the part that a folder of this name is, 'validation' for ``Val`` or ``valid_set``, or None."""
    return _PART_NAMES.get(_AROUND.sub("", name.casefold()))


def find_layout(root: Path) -> Layout:
    """Find the parts and classes of a resolved folder.

    A folder that holds nothing but one folder of folders is passed through. Sub-folders are parts where one
    is called as training parts are, and either all others are called as parts or that one holds folders.

    Raises:
        UserError: the folder cannot be listed.
    """
    try:
        return _Finder(root).find()
    except OSError as error:
        where = printable(str(root))
        raise UserError(f"dataset folder '{where}' cannot be read: {error.strerror}") from None


@dataclasses.dataclass(frozen=True)
class _Level:
    """What a folder holds, in order: folders, files, what cannot be used, what systems left."""

    folder: Path
    folders: Sequence[Path]
    files: Sequence[Path]
    unusable: Sequence[Found]
    droppings: Sequence[Path]

    @property
    def holds_pictures(self) -> bool:
        return any(looks_like_a_picture(path) for path in self.files)


class _Finder:
    """Gathers a layout from the top down."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._levels: list[_Level] = []
        self._places: list[Place] = []
        self._parts: dict[str, Path] = {}
        self._notices: list[str] = []
        self._problems: list[str] = []

    def find(self) -> Layout:
        top = self._pass_through(self._level(self._root))
        if top.folder != self._root:
            self._notices.append(f"{self._shown(top.folder)}/ is what is read: nothing else holds folders")
        named = {folder: part_named(folder.name) for folder in top.folders}
        if self._are_parts(named):
            self._levels.append(top)
            for folder, part in named.items():
                self._add_part(folder, part)
        else:
            if named and all(named.values()):
                names = ", ".join(self._shown(folder) for folder in named)
                self._problems.append(f"sub-folders are {names}: parts, of which none is called train")
            elif alike := [self._shown(folder) for folder, part in named.items() if part]:
                self._notices.append(
                    f"{', '.join(alike)}: taken as a class, though called as a part would be"
                )
            self._add_classes("train", top)
        unusable = [found for level in self._levels for found in level.unusable]
        return Layout(
            root=self._root,
            places=self._places,
            parts=self._parts,
            outside=[path for level in self._levels for path in level.files],
            faults=[Fault(self._shown(found.path), found.reason) for found in unusable],
            droppings=Counter(path.name for level in self._levels for path in level.droppings),
            notices=self._notices,
            problems=self._problems,
        )

    def _level(self, folder: Path) -> _Level:
        try:
            found = look(folder, self._root)
        except OSError as error:
            if folder == self._root:
                raise
            return _Level(folder, [], [], [unlisted(folder, error)], [])
        usable = [each for each in found if not each.reason and not each.dropping]
        return _Level(
            folder,
            folders=[each.path for each in usable if each.is_folder],
            files=[each.path for each in usable if not each.is_folder],
            unusable=[each for each in found if each.reason],
            droppings=[each.path for each in found if each.dropping],
        )

    def _pass_through(self, level: _Level, part: str | None = None) -> _Level:
        """Return the level of the folder that holds classes or parts, below folders that only wrap it."""
        # Archives often unpack to a folder in a folder of the same name.
        while len(level.folders) == 1 and not level.holds_pictures:
            inner = self._level(level.folders[0])
            inner_part = part_named(inner.folder.name)
            wrapped = bool(inner.folders) and not inner.holds_pictures and (part or not inner_part)
            if not wrapped and not (part and inner_part == part):
                break
            self._levels.append(level)
            level = inner
        return level

    def _are_parts(self, named: Mapping[Path, str | None]) -> bool:
        training = [self._level(folder) for folder, part in named.items() if part == "train"]
        if not training or all(named.values()):
            return bool(training)
        return any(level.folders and not level.holds_pictures for level in training)

    def _add_part(self, folder: Path, part: str | None) -> None:
        level, name = self._pass_through(self._level(folder), part), f"{self._shown(folder)}/"
        if part in self._parts:
            other = self._shown(self._parts[part])
            self._problems.append(f"{other}/ and {name} are both the {part} part: keep one of them here")
        elif part is None and len(level.folders) > 1:
            self._problems.append(f"{name} is called neither train, validation nor test: move it elsewhere")
        elif part is None or (part != "train" and not level.folders):
            files = (
                f"{counted(len(level.files), 'file lies', 'files lie')} in no class folder"
                if level.files
                else "no picture in it"
            )
            self._notices.append(f"{name} is left out: {files if part else 'no part, and no classes in it'}")
            self._levels.append(dataclasses.replace(level, files=[]))  # counted by the notice
        else:
            self._parts[part] = level.folder
            self._add_classes(part, level)

    def _add_classes(self, part: str, level: _Level) -> None:
        self._levels.append(level)
        self._parts.setdefault(part, level.folder)
        self._places += [Place(part, class_name(folder), folder) for folder in level.folders]

    def _shown(self, path: Path) -> str:
        return shown_below(self._root, path)


def class_name(folder: Path) -> str:
    """Return a class's name; one that macOS wrote decomposed equals the one that others write."""
    return unicodedata.normalize("NFC", printable(folder.name))


def shown_below(root: Path, path: Path) -> str:
    """Return a path relative to a folder, as text that can be printed and stored."""
    return printable(path.relative_to(root).as_posix())


def looks_like_a_picture(path: Path) -> bool:
    """Tell by a file's ending alone whether people would call it a picture."""
    return path.suffix.casefold() in _PICTURES


def advice(outside: Sequence[Path]) -> str:
    """Return what would make classes of files in none, as the rest of a sentence; '' without files."""
    loose = [path for path in outside if looks_like_a_picture(path)]
    tables = [printable(path.name) for path in outside if path.suffix.casefold() in _TABLES]
    found = ""
    if loose:
        found = f"; {counted(len(loose), 'picture lies', 'pictures lie')} loose, "
        found += f"such as {printable(loose[0].name)}: move each into a folder named after its class"
        begins = sorted({match.group() for path in loose if (match := _BEGINNING.match(path.name))})
        if 2 <= len(begins) <= MOST_BEGINNINGS:
            found += f", as their names begin: {', '.join(begins)}"
    if tables:
        found += f"; labels in a table ({some(tables, 3)}) are read where it is --dataset itself"
    return found
