"""Formats to export to: how each is written, and how it is run by the runtime that will serve it."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Runner = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Format:
    """A format: the packages it needs, how to write a serving model, how to run what was written.

    ``write`` takes (serving model, path, texts by name) and ``open`` a path; what ``open`` returns turns
    images uint8 [N, H, W, C] into logits float32 [N, classes].
    """

    packages: tuple[str, ...]
    write: Callable[[Any, Path, Mapping[str, str]], None]
    open: Callable[[Path], Runner]


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
    # Written again: Keras' exporter has no place for a model's own texts.
    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(texts))
    onnx.save(model, path)


def _open_onnx(path: Path) -> Runner:
    import onnxruntime

    # Named, as builds with accelerators ask for it; the same on every machine.
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
