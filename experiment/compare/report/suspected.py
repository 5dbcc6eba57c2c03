"""Labels that are probably wrong, as pictures for the report: of each set that its runs held out."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiment.compare.suspects import Suspects, find_suspects
from experiment.data import image
from experiment.data.image_fit import Target
from experiment.errors import UserError
from experiment.store.record import FINISHED, RunRecord
from params.conditions import is_set_of_pictures

SHOWN = 60
SIDE = 96  # pixels of a picture on the page


def suspected(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return what the page shows of each set; nothing without cleanlab, or where no run keeps files.

    Pictures are read from where a run found them; those that are not here are named all the same.
    """
    if importlib.util.find_spec("cleanlab") is None:
        return []
    by_data: dict[str, list[RunRecord]] = {}
    for record in records:
        fingerprint = record.run.get("dataset", {}).get("fingerprint")
        of_pictures = is_set_of_pictures(str(record.params.get("dataset", "")))
        if fingerprint and of_pictures and record.status == FINISHED:
            by_data.setdefault(fingerprint, []).append(record)
    found = []
    for members in by_data.values():
        # Runs of older versions keep no files: they have no say.
        with contextlib.suppress(UserError, OSError):
            found.append(_section(find_suspects(members), members[0]))
    return [each for each in found if each["suspects"]]


def _section(suspects: Suspects, record: RunRecord) -> dict[str, Any]:
    described = record.run["dataset"]
    flagged = suspects.flagged
    return {
        "name": described.get("name", ""),
        **{"judged": len(suspects.judged), "pictures": suspects.pictures, "runs": suspects.runs},
        "count": len(flagged),
        "suspects": [
            {"picture": _picture(described.get("source", ""), each.file), "suspect": each}
            for each in flagged[:SHOWN]
        ],
    }


def _picture(source: str, file: str) -> str | None:
    """Return a picture as the address of its own content, None where it is not here or cannot be read."""
    from PIL import Image

    folder = Path(source) if os.path.isdir(source) else Path(source).parent
    try:
        with image.without_warnings():
            content = image.read_bytes(folder / os.path.expanduser(file))
            pixels = image.read_image(content, Target(SIDE, SIDE, 3)).pixels
    except (UserError, OSError, ValueError):
        return None
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
