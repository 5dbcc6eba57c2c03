"""Export a run's model for TensorFlow Serving, ONNX Runtime or LiteRT, and check what was exported.

Whatever the format, an export takes uint8 images as they come, scales them itself as in training, and returns
logits and probabilities; it carries the class names. It is run on the run's test images beside Keras before
it gets its name, and thrown away where its logits differ.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiment.data.image import other_decoder
from experiment.data.pictures import load_set
from experiment.data.splits import Dataset, split_arrays
from experiment.deploy import agreement, own_layers
from experiment.deploy.formats import FORMATS
from experiment.errors import UserError
from experiment.store.directory import RunDirectory
from experiment.store.directory_reader import read_record
from experiment.store.files import atomic_path, sync_folder
from experiment.store.record import RunRecord
from experiment.system.console import without_stderr
from experiment.system.names import printable, short

CARD, LABELS = "model.json", "labels.txt"


class ExportFailed(Exception):
    """No export was left: the format cannot hold the model, or the check found that it differs."""


def export(directory: RunDirectory, to: str, out: Path | None = None) -> dict[str, Any]:
    """Export the saved model of a run and check it.

    Args:
        directory: the run's.
        to: one of ``FORMATS``.
        out: the folder to write to; by default ``export/`` and the first 12 digits of the run's key.

    Returns:
        Where the export is, the figures of its check, sizes in bytes, and milliseconds an image.

    Raises:
        UserError: a package is missing, the run has no model, its test images are not to be had, or the
            place is taken.
        ExportFailed: the format cannot hold the model, or the export differs from Keras.
    """
    _check_packages(to)
    record = read_record(directory.path)
    saved = directory.model / record.params["model-file"]
    if not saved.is_file():
        raise UserError(f"run {short(record.key)} has no saved model: its status is '{record.status}'")
    dataset = _load_dataset(record)
    folder = out or Path("export") / short(record.key)
    with _destination(folder, to, saved.stem) as (beside, path):
        figures = _write_and_check(record, dataset, saved, to, beside)
    return {"key": record.key, "format": to, "path": str(path), **figures}


def _write_and_check(record: RunRecord, dataset: Dataset, saved: Path, to: str, path: Path) -> dict[str, Any]:
    """Write an export to ``path`` and compare it with Keras; return the figures.

    Raises:
        ExportFailed: it cannot be written, or it differs.
    """
    with without_stderr():  # TensorFlow, converters and runtimes greet there
        try:
            figures, problem = _compared_with_keras(record, dataset, saved, to, path), None
        except Exception as error:  # whatever a converter or a runtime makes of a model of one's own
            problem = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"
    name = f"run {short(record.key)}"
    if problem:
        raise ExportFailed(f"{name} cannot be exported to {to}: {problem}")
    difference, tolerance = figures["max_logit_difference"], figures["tolerance"]
    if not difference <= tolerance:  # not a number is no agreement
        raise ExportFailed(
            f"{name} is not exported to {to}: logits differ from Keras' by up to {difference:.3g}, more than "
            f"{tolerance:.3g}, on its {figures['images']} test images"
        )
    return figures


def _compared_with_keras(
    record: RunRecord, dataset: Dataset, saved: Path, to: str, path: Path
) -> dict[str, Any]:
    from experiment.training import checkpoints

    own_layers.import_for(None, saved.parents[1])
    model = checkpoints.load_model(saved)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tf2onnx, about NumPy's old names
        FORMATS[to].write(_serving_model(model, dataset), path, _texts(record, dataset))
    runners = {"keras": agreement.keras_runner(model, dataset), "export": FORMATS[to].open(path)}
    return {
        **agreement.compare(runners["keras"], runners["export"], dataset.test),
        "bytes": _size(path),
        "model_file_bytes": saved.stat().st_size,
        **agreement.time_runners(runners, dataset.test.images),
    }


def _check_packages(to: str) -> None:
    missing = [package for package in FORMATS[to].packages if not importlib.util.find_spec(package)]
    if missing:
        raise UserError(f"export to {to} needs {' and '.join(missing)}: pip install -e '.[export]'")


def _load_dataset(record: RunRecord) -> Dataset:
    """Load the run's own test images.

    Raises:
        UserError: they are gone, or are not what they were.
    """
    facts = record.run["dataset"]
    try:
        arrays = load_set(facts["source"], record.params.__getitem__)
    except UserError as error:
        raise UserError(
            f"run {short(record.key)} cannot be checked without its test images: {error}"
        ) from None
    if arrays.fingerprint != facts["fingerprint"]:
        raise UserError(
            f"run {short(record.key)} cannot be checked: '{facts['source']}' is not what it was trained on"
            f"{other_decoder(facts)}"
        )
    return split_arrays(arrays, record.params.__getitem__)


def _texts(record: RunRecord, dataset: Dataset) -> dict[str, str]:
    """Return what travels with an export: the class names, a line each, and its card."""
    shape = ", ".join(map(str, dataset.test.images.shape[1:]))
    card = {
        "run": record.key,
        "name": record.name,
        "images": f"uint8 [N, {shape}], 0-255; scaled to 0-1 inside",
        **_reading(record),
        "logits, probabilities": f"float32 [N, {len(dataset.class_names)}]",
        "classes": list(dataset.class_names),
        "dataset_fingerprint": dataset.fingerprint,
        "test_accuracy": record.results.get("test_accuracy"),
    }
    labels = "".join(f"{printable(name)}\n" for name in dataset.class_names)
    return {CARD: json.dumps(card, ensure_ascii=False, indent=2) + "\n", LABELS: labels}


def _reading(record: RunRecord) -> dict[str, str]:
    """Return how the run made images of files of pictures, which an export leaves to who calls it."""
    if "image-size" not in record.params:
        return {}
    return {"resize": record.params.get("resize", "squash")}


def _serving_model(model: Any, dataset: Dataset) -> Any:
    """Put the preprocessing of training before a model, and a softmax after it."""
    import keras

    from experiment.training.batches import input_shape, scaled

    images = keras.Input(dataset.test.images.shape[1:], dtype="uint8", name="images")
    shaped = keras.ops.reshape(scaled(images), (-1, *input_shape(model, dataset.test)))
    logits = model(shaped, training=False)  # or what was built to be random in training would stay so
    outputs = {"logits": logits, "probabilities": keras.ops.softmax(logits)}
    serving = keras.Model({"images": images}, outputs, name="serving")
    serving({"images": dataset.test.images[:1]})  # Keras exports to ONNX only what was called once
    return serving


@contextlib.contextmanager
def _destination(folder: Path, to: str, name: str) -> Iterator[tuple[Path, Path]]:
    """Give a place to write to and the place where it stands after the block, if that raised nothing.

    A SavedModel becomes the next version in ``folder/name/``, as TensorFlow Serving wants it; it, too, loads
    a version once the folder is there, so that must appear whole.

    Raises:
        UserError: the place is taken or cannot be written to.
    """
    path = folder / name / "1" if to == "savedmodel" else folder / f"{name}.{to}"
    if to != "savedmodel" and path.exists():
        raise UserError(f"'{path}' exists: give another --out")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out = '{folder}' cannot be written to: {error.strerror}") from None
    if to != "savedmodel":
        with atomic_path(path) as beside:
            yield beside, path
        return
    versions = [int(found.name) for found in path.parent.iterdir() if found.name.isdigit()]
    path = path.with_name(str(max(versions, default=0) + 1))
    beside = Path(tempfile.mkdtemp(prefix=".tmp-", dir=path.parent))
    try:
        yield beside, path
        beside.chmod(0o755)
        beside.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
