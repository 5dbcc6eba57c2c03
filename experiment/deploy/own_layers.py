"""Layers of the user's own, which a saved model may need to be read back: imported from where they are."""

from __future__ import annotations

from pathlib import Path

from experiment.errors import UserError
from experiment.run.own_model import spec_of
from experiment.store.record import read_run
from params.checks import OWN_MODEL


def import_for(model: str | None, run: Path | None) -> None:
    """Import the module of a network of the user's own, if there is one and it is still there.

    Args:
        model: FILE.py:FUNCTION, as it was asked for; None for what the run says.
        run: the directory of the run whose model is read back; None for a copy of ``model/``.

    Raises:
        UserError: what was asked for is none, or the module cannot be imported.
    """
    if model and not OWN_MODEL.fullmatch(model):
        raise UserError(f"model = '{model}': should be FILE.py:FUNCTION or package.module:FUNCTION")
    source = model or (read_run(run).get("model", {}).get("source", "") if run else "")
    place = source.rpartition(":")[0]
    # A model of stock layers needs no module: one that is gone is missed only where Keras says so.
    if model or (source and (not place.endswith(".py") or Path(place).is_file())):
        spec_of(source)
