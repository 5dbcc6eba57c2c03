"""Time a folder of pictures from start to end: Keras' guide with a frozen backbone, beside ours.

python -m benchmarks.transfer FOLDER [--epochs 40] [--rounds 3]

Both train on the same pictures: the peer as Keras' guide has it, ours as ``--params pictures``, with empty
caches and with filled ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.rounds import Result, compare, peer, print_head, print_machine, train
from experiment.data import arrays, pictures, splits
from experiment.data.image_set import load_images
from params.load import load_params


def main() -> None:
    """Divide the folder, run all in alternation, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a sub-folder of pictures for each class")
    parser.add_argument("--epochs", type=int, default=40, help="of all (default: 40)")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each (default: 3)")
    options = parser.parse_args()
    print_machine()
    print_head()
    with tempfile.TemporaryDirectory() as scratch:
        divided, caches = Path(scratch, "divided"), str(Path(scratch, "caches"))
        divide(options.folder, divided)

        def ours(**variables: str) -> Result:
            return train(divided, options.epochs, "--params", "pictures", **variables)

        ours(XDG_CACHE_HOME=caches)
        compare(
            {
                "keras": lambda: peer("keras_transfer", divided, options.epochs),
                "again": lambda: ours(XDG_CACHE_HOME=caches),
            },
            ours,
            options.rounds,
            [
                *(
                    (f"{title} ÷ ours: the process, {options.epochs} epochs, {unit}", kind, field)
                    for kind, title in (("keras", "Keras' guide"), ("again", "ours, its caches filled"))
                    for unit, field in (("s", "wall_s"), ("CPU s", "cpu_s"))
                ),
                ("Keras' guide ÷ ours: test accuracy", "keras", "test_accuracy"),
            ],
        )


def divide(folder: Path, target: Path) -> None:
    """Copy pictures into train/, validation/ and test/, as a run of ours would split them."""
    values = load_params("pictures", {"dataset": str(folder)}).model_dump(by_alias=True)
    inspection = pictures.inspect(str(folder), values.__getitem__)
    found = load_images(inspection, values.__getitem__, memory=sys.maxsize)
    values["validation"] = splits.default_validation(found)
    numbered = arrays.Examples(np.arange(len(found.train)), found.train.labels)
    split = splits.split_arrays(dataclasses.replace(found, train=numbered), values.__getitem__)
    for part in ("train", "validation", "test"):
        for number in getattr(split, part).images:
            file = inspection.files[number]
            place = target / part / file.class_name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / file.path, place / f"{number}{Path(file.path).suffix}")


if __name__ == "__main__":
    main()
