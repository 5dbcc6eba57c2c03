"""Export a run's model for TensorFlow Serving, ONNX Runtime or LiteRT, and check what was exported.

Whatever the format, an export takes uint8 images as they come, scales them itself as in training, and returns
logits and probabilities; it carries the class names. It is run on the run's test images beside Keras before
it gets its name, and thrown away where its logits differ.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import shutil
import statistics
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiment.data.arrays import Examples
from experiment.data.image_folder import load_set
from experiment.data.splits import Dataset, split_arrays
from experiment.errors import UserError
from experiment.store.directory import RunDirectory
from experiment.store.directory_reader import read_record
from experiment.store.files import atomic_path, sync_folder
from experiment.store.record import RunRecord
from experiment.system.console import without_stderr
from experiment.system.names import printable

# Of logits, as a part of the largest one (or of 1, where all are smaller). Float32 sums in another order
# differ by some 1e-6; a scaling forgotten or an axis transposed by more than 1.
TOLERANCE = 1e-4
BATCH = 256
ROUNDS = {1: 200, BATCH: 10}
CARD, LABELS = "model.json", "labels.txt"

Runner = Callable[[np.ndarray], np.ndarray]


class ExportFailed(Exception):
    """No export was left: the format cannot hold the model, or the check found that it differs."""


@dataclasses.dataclass(frozen=True)
class Format:
    """A format: the packages it needs, how to write a serving model, how to run what was written.

    ``write`` takes (serving model, path, texts by name) and ``open`` a path; what ``open`` returns turns
    images uint8 [N, H, W, C] into logits float32 [N, classes].
    """

    packages: tuple[str, ...]
    write: Callable[[Any, Path, Mapping[str, str]], None]
    open: Callable[[Path], Runner]


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
        raise UserError(f"run {record.key[:12]} has no saved model: its status is '{record.status}'")
    dataset = _load_dataset(record)
    folder = out or Path("export") / record.key[:12]
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
    name = f"run {record.key[:12]}"
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
    from experiment.system import keras_settings
    from experiment.training import checkpoints

    keras_settings.import_keras()
    model = checkpoints.load_model(saved)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tf2onnx, about NumPy's old names
        FORMATS[to].write(_serving_model(model, dataset), path, _texts(record, dataset))
    runners = {"keras": _keras_runner(model, dataset), "export": FORMATS[to].open(path)}
    return {
        **compare(runners["keras"], runners["export"], dataset.test),
        "bytes": _size(path),
        "model_file_bytes": saved.stat().st_size,
        **time_runners(runners, dataset.test.images),
    }


def compare(keras_runner: Runner, runner: Runner, examples: Examples) -> dict[str, Any]:
    """Return how far logits differ over all examples, and how many images get another class.

    Where no logit differs by more than the tolerance, only images whose two best classes lie within twice
    of it can get another class: the tolerance is all that is asked.
    """
    parts = range(0, len(examples), BATCH)
    ours, theirs = (
        np.concatenate([run(examples.images[start : start + BATCH]) for start in parts]).astype(np.float64)
        for run in (keras_runner, runner)
    )
    if ours.shape != theirs.shape:
        raise UserError(f"its logits are {list(theirs.shape)}, Keras' {list(ours.shape)}")
    agree = ours.argmax(-1) == theirs.argmax(-1)
    return {
        "images": len(examples),
        "max_logit_difference": float(np.abs(ours - theirs).max()),
        "tolerance": float(TOLERANCE * max(1.0, np.abs(ours).max())),
        "classes_agree": float(agree.mean()),
        "test_accuracy": float(np.mean(theirs.argmax(-1) == examples.labels)),
    }


def time_runners(runners: Mapping[str, Runner], images: np.ndarray) -> dict[str, float]:
    """Return median milliseconds an image, each runner in its turn, one image a call and BATCH a call."""
    found = {}
    for size, rounds in ROUNDS.items():
        batch = np.resize(images, (size, *images.shape[1:]))
        seconds: dict[str, list[float]] = {name: [] for name in runners}
        for _ in range(rounds):
            for name, run in runners.items():
                started = time.perf_counter()
                run(batch)
                seconds[name].append(time.perf_counter() - started)
        for name, taken in seconds.items():
            found[f"{name}_ms_by_{size}"] = statistics.median(taken) * 1000 / size
    return found


def describe(figures: Mapping[str, Any]) -> str:
    """Return what ``export`` returned, for people."""
    difference, tolerance = figures["max_logit_difference"], figures["tolerance"]
    one, many = (f"{figures[f'{who}_ms_by_{BATCH}']:.4f}" for who in ("export", "keras"))
    single, keras_single = (f"{figures[f'{who}_ms_by_1']:.3f}" for who in ("export", "keras"))
    return (
        f"{figures['path']}: {figures['bytes'] / 1000:,.0f} kB "
        f"(Keras' file, optimizer and all, {figures['model_file_bytes'] / 1000:,.0f} kB)\n"
        f"checked on {figures['images']} test images: logits differ by {difference:.2g} at most "
        f"({tolerance:.2g} allowed), classes agree on {figures['classes_agree']:.2%}, "
        f"accuracy {figures['test_accuracy']:.4f}\n"
        f"ms an image: {single} one a call, {one} by {BATCH}; Keras {keras_single} and {many}"
    )


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
        raise UserError(f"run {record.key[:12]} cannot be checked without its test images: {error}") from None
    if arrays.fingerprint != facts["fingerprint"]:
        raise UserError(
            f"run {record.key[:12]} cannot be checked: '{facts['source']}' is not what it was trained on"
        )
    return split_arrays(arrays, record.params.__getitem__)


def _texts(record: RunRecord, dataset: Dataset) -> dict[str, str]:
    """Return what travels with an export: the class names, a line each, and its card."""
    shape = ", ".join(map(str, dataset.test.images.shape[1:]))
    card = {
        "run": record.key,
        "name": record.name,
        "images": f"uint8 [N, {shape}], 0-255; scaled to 0-1 inside",
        "logits, probabilities": f"float32 [N, {len(dataset.class_names)}]",
        "classes": list(dataset.class_names),
        "dataset_fingerprint": dataset.fingerprint,
        "test_accuracy": record.results.get("test_accuracy"),
    }
    labels = "".join(f"{printable(name)}\n" for name in dataset.class_names)
    return {CARD: json.dumps(card, ensure_ascii=False, indent=2) + "\n", LABELS: labels}


def _keras_runner(model: Any, dataset: Dataset) -> Runner:
    """Run the model as a run's evaluation prepares images for it."""
    from experiment.training import trainer

    classes, nobody = len(dataset.class_names), np.zeros(BATCH, np.int32)

    def run(images: np.ndarray) -> np.ndarray:
        pixels, _ = trainer.prepare(model, Examples(images, nobody[: len(images)]), classes)
        return model.predict_on_batch(pixels)

    return run


def _serving_model(model: Any, dataset: Dataset) -> Any:
    """Put the preprocessing of training before a model, and a softmax after it."""
    import keras

    from experiment.training.batches import input_shape

    images = keras.Input(dataset.test.images.shape[1:], dtype="uint8", name="images")
    pixels = keras.ops.cast(images, keras.config.floatx()) / 255
    shaped = keras.ops.reshape(pixels, (-1, *input_shape(model, dataset.test)))
    logits = model(shaped, training=False)  # or what was built to be random in training would stay so
    outputs = {"logits": logits, "probabilities": keras.ops.softmax(logits)}
    serving = keras.Model({"images": images}, outputs, name="serving")
    serving({"images": dataset.test.images[:1]})  # Keras exports to ONNX only what was called once
    return serving


def _write_savedmodel(serving: Any, path: Path, texts: Mapping[str, str]) -> None:
    serving.export(str(path), format="tf_saved_model", verbose=False)
    extra = path / "assets.extra"  # the place in a SavedModel for what TensorFlow itself does not read
    extra.mkdir()
    for name, text in texts.items():
        (extra / name).write_text(text, encoding="utf-8")


def _open_savedmodel(path: Path) -> Runner:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))

    def run(images: np.ndarray) -> np.ndarray:
        serve = loaded.signatures["serving_default"]  # which does not keep its model alive by itself
        return serve(images=tf.constant(images))["logits"].numpy()

    return run


def _write_onnx(serving: Any, path: Path, texts: Mapping[str, str]) -> None:
    import onnx

    serving.export(str(path), format="onnx", verbose=False)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(texts))
    onnx.save(model, path)


def _open_onnx(path: Path) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"images": images})[0]


def _write_tflite(serving: Any, path: Path, texts: Mapping[str, str]) -> None:
    serving.export(str(path), format="litert", verbose=False)
    with zipfile.ZipFile(path, "a") as archive:  # where the format's metadata keeps associated files
        for name, text in texts.items():
            with archive.open(name, "w") as file:  # dated 1980: a clock may stand before a zip's first year
                file.write(text.encode())


def _open_tflite(path: Path) -> Runner:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    serve = interpreter.get_signature_runner("serving_default")
    return lambda images: serve(images=images)["logits"]


FORMATS = {
    "savedmodel": Format((), _write_savedmodel, _open_savedmodel),
    "onnx": Format(("onnx", "onnxruntime", "tf2onnx"), _write_onnx, _open_onnx),
    "tflite": Format(("ai_edge_litert",), _write_tflite, _open_tflite),
}


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
