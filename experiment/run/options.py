"""The options of a run: what does not change its result."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiment.comet import session
from experiment.errors import UserError
from params.words import refusal

if TYPE_CHECKING:
    import keras

LEAST_INTERVAL, MOST_INTERVAL = 1, 3600  # seconds


@dataclasses.dataclass(frozen=True)
class Options:
    """What does not change a run's result: where it lies, what it is called, who is told of it.

    Attributes:
        mode: auto, online, offline or disabled.
        runs: the folder of run directories; text is taken for a path.
        name: of the run; by default its data set, model, optimizer and key.
        tags: further ones.
        workspace: in Comet; by default the one that the SDK is configured with.
        project: in Comet, likewise.
        register: make the model a version of this one in Comet's registry; online only.
        quiet: say nothing but notices and errors.
        memory_gb: GB that a folder's pictures may take; by default half of the machine's.
        system_metrics_every: seconds from one sample of what the machine does to the next; 0 for none.
        notify: let Comet send its notification when the run ends, fails or is interrupted; online only.
        log_dataset: make the data set an Artifact of Comet, by reference; the run uses its version.
        figures: draw curves, confusion matrix and weights; their numbers are kept either way.
        callbacks: of Keras; told of epochs once those are safely on disk.
        on_notice: called with each notice instead of printing it.
        typed: names of the parameters and options that a person typed for this run: one that has no effect
            on it is refused; of other parameters that have none, a notice tells.

    Raises:
        UserError: one sentence that names the option, its value and what is allowed.
    """

    mode: str = session.AUTO
    runs: Path = Path("runs")
    name: str | None = None
    tags: Sequence[str] = ()
    workspace: str | None = None
    project: str | None = None
    register: str | None = None
    quiet: bool = False
    memory_gb: float | None = None
    system_metrics_every: float = 10.0
    notify: bool = False
    log_dataset: bool = False
    figures: bool = True
    callbacks: Sequence[keras.callbacks.Callback] = ()
    on_notice: Callable[[str], None] | None = None
    typed: Collection[str] = ()

    def __post_init__(self) -> None:
        for name, (is_allowed, rule) in _RULES.items():
            if not is_allowed(value := getattr(self, name)):
                raise UserError(refusal(name, value, f"should be {rule}"))
        # A frozen dataclass has no other way to change its own field.
        object.__setattr__(self, "runs", Path(self.runs))


def _is_text_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value != "")


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str) and all(map(_is_text, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _is_size(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value is None or (is_number and 0 < value < math.inf)


def _is_interval(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and (value == 0 or LEAST_INTERVAL <= value <= MOST_INTERVAL)


_TEXT = (_is_text_or_none, "text that is not empty, or None")
_TEXTS = (_are_texts, "a list of texts")
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "mode": (lambda value: value in session.MODES, " or ".join(map(repr, session.MODES))),
    "runs": (lambda value: isinstance(value, (str, os.PathLike)) and str(value) != "", "a path"),
    **dict.fromkeys(("name", "workspace", "project", "register"), _TEXT),
    **dict.fromkeys(("tags", "typed"), _TEXTS),
    **dict.fromkeys(("quiet", "notify", "log_dataset", "figures"), (_is_truth, "True or False")),
    "memory_gb": (_is_size, "a number greater than 0, or None"),
    "system_metrics_every": (_is_interval, f"0, or {LEAST_INTERVAL} to {MOST_INTERVAL} seconds"),
    "callbacks": (_is_sequence, "a list of Keras callbacks"),
    "on_notice": (lambda value: value is None or callable(value), "a function of a text, or None"),
}
