"""What a run is made of: its data, opened and split; and all of it logged before training."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiment.comet import settings
from experiment.comet.tracker import Tracker
from experiment.data import image_report, pictures
from experiment.data.arrays import Arrays, StoredImages
from experiment.data.image import DECODER
from experiment.data.image_fit import FULL_DEPTH
from experiment.data.image_set import Inspection, load_images
from experiment.data.named_sets import load_arrays
from experiment.data.program_sets import read_program_set
from experiment.data.splits import FOLD, Dataset, check_repeats, default_validation, split_arrays
from experiment.errors import UserError
from experiment.run import figures, provenance
from experiment.run.own_code import PATCH as OWN_PATCH
from experiment.run.own_code import OwnCode
from experiment.store.directory import RunDirectory
from experiment.store.files import write_json
from experiment.system import machine, process_clock
from experiment.system.console import Console
from params.load import write_params
from params.spec import Params

COMMAND_CHARACTERS = 990  # the SDK cuts a value at 1,000
STREAMED = "the pictures exceed their memory budget (--memory-gb), so they are read from disk batch by batch"


@dataclasses.dataclass(frozen=True)
class Opened:
    """A set of images as it was asked for and found, checked, not yet split.

    Attributes:
        source: what the parameter ``dataset`` said.
        arrays: what is in it; pictures stay on disk here.
        inspection: what was found in a set of pictures; None for arrays.
    """

    source: str
    arrays: Arrays
    inspection: Inspection | None = None

    @property
    def depth(self) -> int:
        """How many of 16 bits of grey the pictures' files use."""
        return self.inspection.depth if self.inspection else FULL_DEPTH

    @property
    def decoder(self) -> dict[str, int]:
        """Which version of the decoder made arrays of pictures, for ``run.json``; of arrays nothing."""
        return {"decoder": DECODER} if self.inspection else {}

    def split(self, get_parameter: Callable[[str], Any]) -> Dataset:
        """Split it; see ``split_arrays``.

        Raises:
            UserError: images are in two parts or classes, or it cannot be split like that.
        """
        check_repeats(self.arrays, get_parameter)
        return split_arrays(self.arrays, get_parameter)

    def load(self, get_parameter: Callable[[str], Any], memory_gb: float | None, console: Console) -> Dataset:
        """Read pictures into memory, as far as they fit; return the set, split."""
        if not self.inspection:
            return self.split(get_parameter)
        arrays = load_images(self.inspection, get_parameter, machine.budget(memory_gb))
        if isinstance(arrays.train.images, StoredImages):
            console.notice(STREAMED)
        return dataclasses.replace(self, arrays=arrays).split(get_parameter)


def open_data(
    params: Params,
    dataset: Any,
    console: Console,
    class_names: Sequence[str] = (),
    memory_gb: float | None = None,
) -> Opened:
    """Open a set: arrays that a program gives, or what the parameter ``dataset`` names.

    Raises:
        UserError: it cannot be read, or is not fit to train on.
    """
    if dataset is not None:
        return Opened(params.dataset, read_program_set(dataset, class_names, machine.budget(memory_gb)))
    if class_names:
        raise UserError(
            "class_names: give them with dataset; a named set, a file and pictures have their own"
        )
    if not pictures.is_pictures(params.dataset):
        return Opened(params.dataset, load_arrays(params.dataset))
    values = params.model_dump(by_alias=True)
    with console.counting() as progress:
        inspection = pictures.inspect(params.dataset, values.__getitem__, progress)
    console.say(image_report.pictures_text(inspection))
    arrays = load_images(inspection, values.__getitem__, memory=0)
    return Opened(params.dataset, arrays, inspection)


def resolve(params: Params, arrays: Arrays) -> Params:
    """Put names in the place of the paths of set and network; take the set's own validation part."""
    found: dict[str, Any] = {"dataset": arrays.name} | ({"model": params.own.name} if params.own else {})
    # Another part is validated on where it was asked for, by flag, file or program.
    if "validation" not in params.model_fields_set:
        folded = params.folds and arrays.test is not None
        found["validation"] = FOLD if folded else default_validation(arrays)
    return params.model_copy(update=found)


def data_facts(dataset: Dataset, source: str) -> dict[str, Any]:
    """Describe a split set for ``run.json``: where it came from, sizes, classes and SHA-256 fingerprints."""
    test = hashlib.sha256()
    for start in range(0, len(dataset.test), 1000):  # images may be more than fit in memory
        test.update(np.ascontiguousarray(dataset.test.images[start : start + 1000]).data)
    test.update(dataset.test.labels.tobytes())
    path = Path(os.path.expanduser(source))
    return {
        "name": dataset.name,
        "source": str(path.absolute()) if os.path.exists(path) else source,
        "fingerprint": dataset.fingerprint,
        "split_fingerprint": dataset.split_fingerprint,
        "test_fingerprint": test.hexdigest(),
        "classes": list(dataset.class_names),
        "image_shape": list(dataset.train.images.shape[1:]),
        "train": len(dataset.train),
        "validation": len(dataset.validation),
        "test": len(dataset.test),
    }


def class_counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Return how many examples of each class a part has; a validation part that is the test set's is none."""
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    if dataset.validation is dataset.test:
        del parts["validation"]
    return {
        part: {
            name: int(count)
            for name, count in zip(
                dataset.class_names,
                np.bincount(examples.labels, minlength=len(dataset.class_names)),
                strict=True,
            )
        }
        for part, examples in parts.items()
    }


@process_clock.phase(process_clock.LOGGING)
def log_inputs(
    tracker: Tracker,
    directory: RunDirectory,
    opened: Opened,
    dataset: Dataset,
    params: Params,
    facts: Mapping[str, Any],
    own_code: OwnCode | None = None,
) -> None:
    """Log what the run is made of: data, code, packages, machine, parameters as a file, samples."""
    tracker.log_others(_others(facts))
    tracker.set_pip_packages()
    _log_code(tracker, facts)
    if own_code:
        _log_own_code(tracker, own_code)
    write_params(params, directory.path / "params.toml")
    tracker.log_asset(str(directory.path / "params.toml"), file_name="params.toml", step=0)
    path = directory.figures / "samples.png"
    figures.log_samples(tracker, path, dataset.train.images, dataset.train.labels, dataset.class_names)
    if opened.inspection:
        _log_pictures(tracker, directory, image_report.facts(opened.inspection, dataset))


def _others(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Comet shows as single values; its readers are ``archive_reader`` and ``server``."""
    described = facts["dataset"]
    return {
        "dataset": described["name"],
        "dataset_fingerprint": described["fingerprint"],
        "split_fingerprint": described["split_fingerprint"],
        "test_fingerprint": described["test_fingerprint"],
        "train_examples": described["train"],
        "validation_examples": described["validation"],
        "test_examples": described["test"],
        "code_fingerprint": facts["code_fingerprint"],
        "python": facts["python"],
        **{f"backbone_{name}": value for name, value in facts.get("backbone", {}).items()},
        "command": " ".join(facts["command"])[:COMMAND_CHARACTERS],
        **{f"git_{name}": value for name, value in facts["git"].items() if value != ""},
        **{f"machine_{name}": value for name, value in facts["machine"].items()},
        **_own_others(facts.get("own_code")),
    }


def _own_others(own: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what ``others.own_code_from`` reads back."""
    if not own:
        return {}
    git = {f"own_git_{name}": value for name, value in own["git"].items() if value != ""}
    builder = {"own_code_builder": own["builder"]} if own["builder"] else {}
    return {"own_code_fingerprint": own["fingerprint"], **builder, **git}


def _log_code(tracker: Tracker, facts: Mapping[str, Any]) -> None:
    if facts["git"].get("dirty"):
        if patch := provenance.git_patch((settings.api_key(),)):
            tracker.log_asset_data(patch, name="git.patch", step=0)
        if provenance.git_hangs():
            tracker.notify(provenance.NO_ANSWER)
    for path in provenance.code_files():
        name = path.relative_to(provenance.ROOT).as_posix()
        if path.suffix == ".py":
            tracker.log_code(file_name=str(path), code_name=name)


def _log_own_code(tracker: Tracker, own_code: OwnCode) -> None:
    for name, text in own_code.files.items():
        tracker.log_code(code=text, code_name=name)
    if own_code.left_out:
        tracker.notify(f"of the program's own code {own_code.left_out} more files are not logged")
    if patch := own_code.patch((settings.api_key(),)):
        tracker.log_asset_data(patch, name=OWN_PATCH, step=0)


def _log_pictures(tracker: Tracker, directory: RunDirectory, report: Mapping[str, Any]) -> None:
    """Keep what a set of pictures held and which files were left out, but not where it lay."""
    path = directory.path / "pictures.json"
    write_json(path, {name: value for name, value in report.items() if name != "source"})
    tracker.log_asset(str(path), file_name=path.name, step=0)
