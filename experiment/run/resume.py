"""Going on with a run: under its own key, parameters and data, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from experiment.comet import session
from experiment.data.image import other_decoder
from experiment.errors import UserError
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json
from experiment.store.record import FINISHED
from experiment.system.names import short
from params.spec import Params, default_parameters


def check_resumable(
    directory: RunDirectory,
    params: Params,
    facts: Mapping[str, Any],
    notify: Callable[[str], None],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Refuse to go on with a run that would become another one; say what else is different today.

    Raises:
        UserError: the run is alive or finished, or parameters or data differ.
    """
    run, stored = read_json(directory.run_file), read_json(directory.params_file)
    name = short(directory.key)
    if directory.is_alive():
        raise UserError(f"run {name} is alive: a process is working on it")
    _check_epochs(directory, params, run, stored)
    # A run made before a parameter was there had what is its default today.
    defaults = default_parameters()
    for parameter, value in (params.applicable() | dict(extra or {})).items():
        own = stored.get(parameter, defaults.get(parameter, value))
        if parameter != "epochs" and own != value:
            raise UserError(f"{parameter} = {value!r}: a resumed run keeps its own, {own!r}")
    if (now := facts.get("backbone")) and now["sha256"] != run.get("backbone", now)["sha256"]:
        raise UserError(
            f"backbone-weights = '{params.backbone_weights}' are not those that run {name} began with: "
            "their SHA-256 differs"
        )
    for part in ("fingerprint", "split_fingerprint"):
        if facts["dataset"][part] != run["dataset"][part]:
            raise UserError(
                f"dataset '{params.dataset}' is not what run {name} was trained on: its {part} differs"
                f"{other_decoder(run['dataset'])}"
            )
    # Told, not refused: a fault in the code may be the very reason why a run has to go on.
    own = [each.get("own_code", {}).get("fingerprint") for each in (facts, run)]
    differ = [part for part in ("code_fingerprint", "packages", "python") if facts[part] != run[part]]
    for part in [*differ, *(["the program's own code"] if own[0] != own[1] else [])]:
        notify(f"{part} differs from when run {name} began: results may differ from an unbroken run's")


def _check_epochs(
    directory: RunDirectory, params: Params, run: Mapping[str, Any], stored: Mapping[str, Any]
) -> None:
    """Refuse a number of epochs that does not go on from what the run had."""
    name = short(directory.key)
    if run["status"] == FINISHED and params.epochs <= stored["epochs"]:
        raise UserError(
            f"run {name} is finished; to train it further, give more than --epochs {stored['epochs']}"
        )
    if stored.get("fine-tune-epochs") and params.epochs != stored["epochs"]:
        raise UserError(
            f"epochs = {params.epochs}: run {name} is fine-tuned after {stored['epochs']} and keeps them"
        )
    if run["status"] == FINISHED and not any(directory.checkpoints.glob("*")):
        raise UserError(
            f"run {name} cannot be trained further: it has no checkpoint any more; "
            f"train a new one: --epochs {params.epochs}"
        )
    if params.epochs < stored["epochs"]:
        raise UserError(
            f"epochs = {params.epochs}: a resumed run can have more epochs than {stored['epochs']}, not fewer"
        )
    if params.epochs != stored["epochs"] and params.schedule == "cosine":
        raise UserError(
            f"epochs = {params.epochs}: a resumed run with schedule cosine keeps its own, "
            f"{stored['epochs']}, as its learning rate ends at 0 there"
        )


def destination_of(directory: RunDirectory, mode: str) -> tuple[str, session.Destination]:
    """Return how a run that is gone on with is tracked, and its place and name in Comet: those that it has.

    A run is tracked or not, as it began; ``mode`` says whether one that is may go on online.
    """
    run = read_json(directory.run_file)
    if run["mode"] == session.DISABLED:
        mode = session.DISABLED
    elif mode == session.DISABLED:
        mode = session.OFFLINE
    return mode, session.Destination(run["workspace"], run["project"], run["name"], run["tags"])
