"""A folder of pictures, one sub-folder a class: what is in it, and what is wrong with it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from experiment.data import image_checks
from experiment.data.array_files import is_idx_folder
from experiment.data.image_fit import Target
from experiment.data.image_layout import PARTS, Fault, Layout, find_layout
from experiment.data.image_set import Inspection, Listed, read_pictures
from experiment.data.image_walk import look, unlisted
from experiment.data.named_sets import DATASETS
from experiment.data.parallel import ProgressCallback
from experiment.system.names import printable


def is_image_folder(dataset: str) -> bool:
    """Tell whether a dataset is a path of a folder of pictures: one without any of MNIST's IDX files."""
    path = Path(os.path.expanduser(dataset))
    if dataset in ("auto", *DATASETS) or not os.path.isdir(path):  # unlike Path's, false for a name too long
        return False
    return not is_idx_folder(path)


def inspect_folder(folder: Path, target: Target, progress: ProgressCallback = lambda *_: None) -> Inspection:
    """Look at every file of a folder: decode all, compare all, and say what is wrong instead of raising.

    Args:
        folder: holds a sub-folder a class; or a part each for training and perhaps validation and test, which
            hold them (``image_layout.find_layout``).
        target: what pictures are decoded to.
        progress: told of what is done, how many are done, and of how many.

    Raises:
        UserError: the folder cannot be read, or decoded images cannot be cached.
    """
    layout = find_layout(folder.expanduser().resolve())
    faults, droppings = list(layout.faults), Counter(layout.droppings)
    pictures = read_pictures(_listed(layout, faults, droppings), target, progress)
    return Inspection(
        source=layout.root,
        name=f"{printable(layout.root.name)}/",  # the slash tells it from a file or a named set
        parts=tuple(part for part in PARTS if part in layout.parts) or ("train",),
        class_names=tuple(sorted({place.class_name for place in layout.places})),
        files=pictures.files,
        faults=sorted([*faults, *pictures.faults], key=lambda fault: fault.path),
        problems=image_checks.problems(layout, pictures.files),
        duplicates=image_checks.duplicates(pictures.files, pictures.decoded.facts),
        contents=pictures.contents,
        facts=pictures.decoded.facts,
        depth=pictures.decoded.depth,
        outside=len(layout.outside),
        droppings=droppings,
        notices=layout.notices,
    )


def _listed(layout: Layout, faults: list[Fault], droppings: Counter[str]) -> list[Listed]:
    """Return the files of class folders; what cannot be a picture becomes a fault or a dropping."""
    found: list[Listed] = []
    for place in layout.places:
        try:
            entries = look(place.folder, layout.root)
        except OSError as error:
            entries = [unlisted(place.folder, error)]
        for entry in entries:
            reason = entry.reason or ("a folder inside a class" if entry.is_folder else "")
            shown = layout.shown(entry.path)
            if entry.dropping:
                droppings[entry.path.name] += 1
            elif reason:
                faults.append(Fault(shown, reason))
            else:
                found.append(Listed(entry.path, shown, shown, place.part, place.class_name))
    return found
