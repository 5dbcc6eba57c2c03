"""The verdict on a rerun: bit-identical, same within noise, or different, and where the two first diverged.

A rerun is **bit-identical** if every point of every metric but timings, and every predicted probability on
the test set, is equal to the last bit. It is the **same within noise** if the two sets of predictions differ
in accuracy by no more than chance allows (McNemar's exact test, p ≥ 0.05) and the two test losses by no more
than a tenth. Otherwise it is **different**.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from experiment.evaluation import significance as statistics
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json
from experiment.store.journal import Point, read_metrics
from experiment.store.predictions import Predictions, stored_predictions
from experiment.store.record import FINISHED, RunRecord
from experiment.system.names import counted

IDENTICAL, WITHIN_NOISE, DIFFERENT = "bit-identical", "same within noise", "different"
# The customary level: one rerun in twenty that is as good is called different.
CHANCE = 0.05
# Accuracy counts examples; a network that is far less sure of the same answers is another one.
LOSS_TOLERANCE = 0.1
BY_STEP = "batch_loss"  # the one metric that has several points an epoch

Places = Mapping[tuple[str, int], Point]


def judge(original: RunRecord, directory: RunDirectory) -> dict[str, Any]:
    """Compare a rerun with its original.

    Args:
        original: the run that was repeated.
        directory: the rerun's; its metrics, test metrics included, and predictions are written.

    Returns:
        The verdict, the first point at which the two diverge, how many points differ, and, where both runs
        were finished on the same test set, what their predictions say.
    """
    then, now = _by_place(original.points()), _by_place(read_metrics(directory.metrics_file))
    whole = original.status == FINISHED
    places = _compared(then, now, whole)
    apart = [place for place in places if not _equal(then.get(place), now.get(place))]
    facts = (original.run, read_json(directory.run_file))
    tests = [each["dataset"].get("test_fingerprint") for each in facts]
    on_test = None
    before, after = original.predictions(), stored_predictions(directory.predictions_file)
    if before and after and tests[0] == tests[1]:
        on_test = _compare_predictions(before, after, then, now)
    equal = places and not apart and not (on_test and on_test["probabilities_differ"])
    verdict = IDENTICAL if equal else WITHIN_NOISE if on_test and on_test["within_noise"] else DIFFERENT
    first = _first([*(now.get(place) or then[place] for place in apart)], then, now)
    return {
        "verdict": verdict,
        "first_divergence": first,
        "points": len(places),
        "points_differ": len(apart),
        "predictions": on_test,
    }


def rerun_text(rerun: Mapping[str, Any]) -> str:
    """Return the verdict in words, from what ``rerun.announce`` and ``judge`` return."""
    on_test, first = rerun["predictions"], rerun["first_divergence"]
    if rerun["verdict"] == IDENTICAL:
        also = f" and {counted(on_test['images'], 'prediction')}" if on_test else ""
        return f"verdict  {IDENTICAL}: {counted(rerun['points'], 'point')}{also} are equal, bit for bit"
    lines = [
        f"verdict  {rerun['verdict']}: {rerun['points_differ']} of {counted(rerun['points'], 'point')} differ"
    ]
    if first:
        by = "" if first["difference"] is None else f" ({float(first['difference']):+.3g})"
        place = f"epoch {first['epoch']}, step {first['step']}"
        lines.append(f"diverged {place}: {first['metric']} {first['then']} → {first['now']}{by}")
    if on_test:
        value = {name: float(number) for name, number in on_test.items()}
        lines.append(
            f"test     accuracy {value['accuracy_then']:.4f} → {value['accuracy_now']:.4f} "
            f"(McNemar's p = {value['mcnemar_p']:.3g}), loss {value['loss_then']:.4f} → "
            f"{value['loss_now']:.4f} ({value['loss_change']:+.1%})"
        )
    elif rerun["verdict"] == DIFFERENT:
        lines.append("test     not compared image by image: not the same test set, or no predictions")
    return "\n".join(lines)


def log_verdict(tracker: Any, rerun: Mapping[str, Any]) -> None:
    """Log the verdict on the rerun's experiment."""
    tracker.log_others({"rerun_of": rerun["of"], "rerun_verdict": rerun["verdict"]})
    first = rerun["first_divergence"]
    if first:
        tracker.log_other(
            "rerun_diverged", f"epoch {first['epoch']}, step {first['step']}: {first['metric']}"
        )
    if rerun["differences"]:
        # Comet cuts a value after 1,000 characters.
        tracker.log_other("rerun_differences", ", ".join(d["what"] for d in rerun["differences"])[:990])


def _is_timing(name: str) -> bool:
    return name.endswith(("_seconds", "_s"))


def _by_place(points: Iterable[Point]) -> dict[tuple[str, int], Point]:
    """Index points, timings aside, by name and by step or epoch, in their order."""
    return {
        (point.name, point.step if point.name == BY_STEP else point.epoch): point
        for point in points
        if not _is_timing(point.name)
    }


def _compared(then: Places, now: Places, whole: bool) -> list[tuple[str, int]]:
    """Return which points are compared: of what only one run has, the epochs' metrics count, and the test's.

    Steps are thinned by the number of epochs, so not each is in both; an original that was resumed for more
    epochs has test results of its earlier ends; one that broke off has neither its last epochs nor a test.
    """
    if not whole:
        return [place for place in now if place in then]
    known = {name for name, _ in then} - {BY_STEP}  # an older version did not have every metric of today
    only_now = [place for place in now if place not in then and place[0] in known]
    only_then = [place for place in then if place not in now and not place[0].startswith(("test_", BY_STEP))]
    return [*(place for place in now if place in then), *only_now, *only_then]


def _equal(one: Point | None, other: Point | None) -> bool:
    # By bits: NaN is not equal to itself, and 0.0 is to -0.0.
    return bool(one and other and struct.pack("d", one.value) == struct.pack("d", other.value))


def _first(apart: list[Point], then: Places, now: Places) -> dict[str, Any] | None:
    """Return the earliest of the points that differ, with both values."""
    if not apart:
        return None
    first = min(apart, key=lambda point: (point.epoch, point.step))
    place = (first.name, first.step if first.name == BY_STEP else first.epoch)
    old, new = (values[place].value if place in values else None for values in (then, now))
    difference = None if old is None or new is None else new - old
    return {
        "epoch": first.epoch,
        "step": first.step,
        "metric": first.name,
        "then": old,
        "now": new,
        "difference": difference,
    }


def _compare_predictions(
    original: Predictions,
    rerun: Predictions,
    then: Places,
    now: Places,
) -> dict[str, Any]:
    """Compare predictions on the same test images: equal bits, and McNemar's exact test."""
    labels, before, after = original.labels, original.probabilities, rerun.probabilities
    right_then, right_now = (each.argmax(-1) == labels for each in (before, after))
    lost, won, p = statistics.mcnemar(right_then, right_now)
    losses = [_last_loss(places) for places in (then, now)]
    change = losses[1] / losses[0] - 1 if losses[0] else math.inf
    return {
        "images": len(labels),
        "probabilities_differ": int(np.sum((before.view(np.uint8) != after.view(np.uint8)).any(-1))),
        "largest_difference": float(np.abs(before - after).max()),
        "classes_differ": int(np.sum(before.argmax(-1) != after.argmax(-1))),
        "accuracy_then": float(right_then.mean()),
        "accuracy_now": float(right_now.mean()),
        "right_only_then": lost,
        "right_only_now": won,
        "mcnemar_p": p,
        "loss_then": losses[0],
        "loss_now": losses[1],
        "loss_change": change,
        "within_noise": p >= CHANCE and abs(change) <= LOSS_TOLERANCE,
    }


def _last_loss(places: Places) -> float:
    return [point.value for (name, _), point in places.items() if name == "test_loss"][-1]
