"""Write docs/parameters.md from the declarations in params/groups/: ``python -m params.document``."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, get_args

from pydantic import BeforeValidator

from params.groups import Group, parameter_name
from params.spec import GROUPS, Params, condition, presets

PAGE = Path(__file__).parent.parent / "docs" / "parameters.md"
WIDTH = 118
INTRODUCTION = """\
# Parameters

<!-- Written by `python -m params.document` from params/groups/. Do not edit it by hand. -->

A parameter changes the result of a run. It has one spelling everywhere: the flag `--batch-size`, the key
`batch-size` in a TOML file and the column `batch-size` in Comet. `python train.py --help` lists all of them.

A parameter file given with `--params FILE` overrides the defaults, and flags override both. `FILE` is a TOML
file, or the name of one in `params/`: `python train.py --params mnist-cnn --epochs 3`. `params/` holds
`mnist-mlp` (the tutorial's values, which are the defaults), `mnist-cnn` and `fashion-cnn`
([speed](speed.md#recipes) has their results), and `pictures`, for a [folder of
pictures](pictures.md#a-pretrained-backbone).

## Errors and notices

Bad input ends the command with one sentence and exit code 2, before anything is written:

- An unknown name, a wrong type or a value out of range: `epochs = 0: should be an integer from 1 to 100,000`.
- A name that other tools use, such as `lr` or `val-split`, with the name here: `did you mean '--initial-lr'?`
- A flag that cannot act on this run: `filters = 64 has no effect: it applies with model cnn`. If a parameter
  file or a program sets such a parameter, the run prints the same sentence as a notice and goes on.

A switch needs no value: `--augment-flip` means `--augment-flip true`, and `--augment-flip false` turns off
what a file turned on.

## How parameters act

A run logs the parameters that apply to it and reads every one of them back from the experiment where it acts.
A parameter that is logged but never read triggers a notice.

The learning rate follows `schedule` with every optimizer. At a step, it is `initial-lr` times

- `decay-rate^(step / decay-steps)` with `exponential`, the tutorial's schedule and the default;
- 1 with `constant`;
- `(1 + cos(π · step / steps)) / 2` with `cosine`, over all steps of the run, so that it ends at 0;
- `plateau-factor` for each plateau of `monitor` so far with `plateau` (Keras' `ReduceLROnPlateau`).

Steps are counted from the end of the warm-up, in which the rate rises from 0 to `initial-lr` in a line. With
`ema`, metrics, the best epoch and the saved model are of the averaged weights.

Optimizers, schedules but for warm-up with `exponential`, weight decay, clipping and averaging are Keras' own,
and the saved file holds them as such: plain Keras loads it. Each equals stock `fit` to 1e-12 in float64, is
on a CPU resumed and repeated bit-identically (`tests/training/test_optimizers.py`). A file that is
loaded for further training decays biases and norms, too: Keras does not save which weights are left out.

`augment-mixup` and `augment-cutmix` mix images before all other augmentation, each with another of its batch,
by the formulas of Keras' `MixUp` and `CutMix`; CutMix's shares are Beta(a, a) as in its paper, not Keras' own
draw. The `accuracy` of training is Keras': how often the prediction is the larger part of a mixed label, and
lies below `val_accuracy`. Class weights are mixed as labels are. What is drawn follows from (seed, epoch).

With a mixed `precision`, layers compute in 16 bits inside the steps of training, and in float32 everywhere
else: weights, logits, loss, validation, test and the saved model, which runs on any machine. Layers that
change images by chance and layers that were given a dtype of their own stay in float32, too. `mixed_float16`
scales the loss (Keras' `LossScaleOptimizer`) and leaves out steps whose gradients are not finite; checkpoints
hold the scale. A machine that would emulate a precision refuses it: [speed](speed.md#mixed-precision).

With `compile = auto` the steps of an epoch are one XLA program for dense networks and on GPUs, and a graph
for convolutions on a CPU. There a graph, too, is what XLA would compile for longer than it saves: the last,
smaller batch of an epoch, and evaluation. `off` is Keras' stock `fit`.
"""


def render() -> str:
    """Return the whole page: an introduction, then the groups, with a section for each parameter."""
    return "\n".join([INTRODUCTION, *[_group(group) for group in GROUPS]])


def _group(group: type[Group]) -> str:
    sections = [_section(field) for field in group.model_fields]
    return "\n".join([f"## {group.__name__}\n\n{group.__doc__}\n", *sections])


def _section(field: str) -> str:
    """Describe a parameter: what it does, its default, what is allowed, when it applies."""
    declared = Params.model_fields[field]
    others = [f"`{_toml(each.value)}` with {each.when.text}" for each in presets(field)]
    default = ", ".join([f"`{_toml(declared.default)}`", *others])
    facts = [f"default {default}", f"allowed: {_allowed(declared)}"]
    if when := condition(field):
        facts.append(f"applies with {when.text}")
    paragraphs = [textwrap.fill(f"{text}.", WIDTH) for text in (declared.description, "; ".join(facts))]
    return f"### {parameter_name(field)}\n\n" + "\n\n".join(paragraphs) + "\n"


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _allowed(declared: Any) -> str:
    """Say in words which values a field takes: its checker's own words, its choices, or its range."""
    for part in declared.metadata:
        if isinstance(part, BeforeValidator):
            return _words_of(part)
    if declared.annotation is bool:
        return "`true` or `false`"
    if choices := get_args(declared.annotation):
        return ", ".join(f"`{choice}`" for choice in choices)
    if declared.annotation is str:
        return "any text that is not empty"
    return _range(declared)


def _words_of(checker: Any) -> str:
    """Return what a checker says is allowed, by asking it about a value that none of them takes."""
    try:
        checker.func(None)
    except ValueError as error:
        return str(error).removeprefix("should be ")
    raise TypeError(f"{checker.func.__name__} takes None: it cannot say what is allowed")


def _range(declared: Any) -> str:
    """Say a number's bounds in words; an integer's are both allowed themselves."""
    bounds = {
        name: getattr(part, name)
        for part in declared.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(part, name, None) is not None
    }
    if declared.annotation is int:
        lowest, highest = bounds["ge"], bounds.get("le", bounds["lt"] - 1 if "lt" in bounds else None)
        return (
            f"an integer, {lowest:,} or more" if highest is None else f"an integer, {lowest:,} to {highest:,}"
        )
    low = f"{bounds['ge']:g} or more" if "ge" in bounds else f"more than {bounds['gt']:g}"
    high = f"{bounds['le']:g} at most" if "le" in bounds else f"less than {bounds['lt']:g}"
    return f"a number, {low} and {high}"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
