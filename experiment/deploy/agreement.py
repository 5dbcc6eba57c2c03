"""Does an export say what Keras says, and how long does each take? Measured on a run's test images."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiment.data.arrays import Examples
from experiment.data.splits import Dataset
from experiment.deploy.formats import Runner
from experiment.errors import UserError

# Of logits, as a part of the largest one (or of 1, where all are smaller). Float32 sums in another order
# differ by some 1e-6; a scaling forgotten or an axis transposed by more than 1.
TOLERANCE = 1e-4
BATCH = 256
ROUNDS = {1: 200, BATCH: 10}
# Of a large network 10 batches take minutes: after so long for each size, 3 rounds are enough.
SECONDS, LEAST_ROUNDS = 1.0, 3


def keras_runner(model: Any, dataset: Dataset) -> Runner:
    """Run the model as a run's evaluation prepares images for it."""
    from experiment.training import batches

    classes, nobody = len(dataset.class_names), np.zeros(BATCH, np.int32)

    def run(images: np.ndarray) -> np.ndarray:
        pixels, _ = batches.pixels_and_targets(model, Examples(images, nobody[: len(images)]), classes)
        return model.predict_on_batch(pixels)

    return run


def compare(keras: Runner, exported: Runner, examples: Examples) -> dict[str, Any]:
    """Return how far logits differ over all examples, and how many images get another class.

    Where no logit differs by more than the tolerance, only images whose two best classes lie within twice
    of it can get another class: the tolerance is all that is asked.
    """
    parts = range(0, len(examples), BATCH)
    ours, theirs = (
        np.concatenate([run(examples.images[start : start + BATCH]) for start in parts]).astype(np.float64)
        for run in (keras, exported)
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
    """Return median milliseconds an image, each runner in its turn, one image a call and BATCH a call.

    Of each size there are ``ROUNDS``; fewer where they take longer than ``SECONDS``, but ``LEAST_ROUNDS``.
    """
    found = {}
    for size, rounds in ROUNDS.items():
        # Repeated where the test set is smaller than a batch.
        batch = np.resize(images, (size, *images.shape[1:]))
        seconds: dict[str, list[float]] = {name: [] for name in runners}
        end = time.perf_counter() + SECONDS
        for number in range(rounds):
            if number >= LEAST_ROUNDS and time.perf_counter() > end:
                break
            # In turn, so that a slow moment of the machine meets both.
            for name, run in runners.items():
                started = time.perf_counter()
                run(batch)
                seconds[name].append(time.perf_counter() - started)
        for name, taken in seconds.items():
            found[f"{name}_ms_by_{size}"] = statistics.median(taken) * 1000 / size
    return found


def export_text(figures: Mapping[str, Any]) -> str:
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
