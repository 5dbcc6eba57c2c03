"""A sweep, tracked, beside the same trials one after the other, tracked, and Keras Tuner, untracked."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rounds import ROOT, Result, compare, peer, run, train
from experiment.sweep.file import read_sweep
from experiment.sweep.points import points
from params.spec import Params

EPOCHS, ALONE = 5, 4  # of a trial; trials of those that do not run side by side


def time_sweeps(data: Path, options: argparse.Namespace) -> None:
    """Print seconds a trial: of a sweep of so many trials, and of a few of them in other ways."""
    content = read_sweep("tutorial", Params()).content
    spec = {**content["spec"], "maxCombo": options.trials, "seed": 0}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "sweep.json")
        file.write_text(json.dumps({**content, "algorithm": "random", "spec": spec}), encoding="utf-8")
        chosen = points(read_sweep(str(file), Params()), Params())[:ALONE]
        compare(
            {
                "tuner": lambda: _tuner(data, options.trials),
                "alone": lambda: _one_by_one(data, chosen),
            },
            lambda: _sweep(data, file, options.trials),
            options.rounds,
            (
                (f"Keras Tuner, untracked ÷ ours: a trial of {options.trials}, s", "tuner", "trial_s"),
                (f"train.py in a loop ÷ ours: a trial of {options.trials}, s", "alone", "trial_s"),
            ),
        )


def _sweep(data: Path, file: Path, trials: int) -> Result:
    flags = ("--sweep", str(file), "--dataset", str(data), "--epochs", str(EPOCHS))
    found = run(str(ROOT / "train.py"), *flags, "--mode", "offline", "--json", "--quiet")
    # Ray's processes are nobody's children, so they would count as others.
    return {"trial_s": found["wall_s"] / trials, "others_cores": 0.0}


def _tuner(data: Path, trials: int) -> Result:
    found = peer("keras_tuner_search", data, EPOCHS, str(ALONE))
    start = found["wall_s"] - found["search_s"]  # shared by as many trials as the sweep's
    return found | {"trial_s": found["search_s"] / ALONE + start / trials}


def _one_by_one(data: Path, chosen: list[dict[str, Any]]) -> Result:
    found = [
        train(data, EPOCHS, *(word for name, value in point.items() for word in (f"--{name}", str(value))))
        for point in chosen
    ]
    others = max(each["others_cores"] for each in found)
    return {"trial_s": statistics.mean(each["wall_s"] for each in found), "others_cores": others}
