"""What a saved model needs beside its weights to be used: how images are read, what its outputs mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiment.rundir import read_json, write_json

FILE = "bundle.json"


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A saved model's description, ``bundle.json`` beside it.

    ``image`` holds height, width and channels (1 or 3) in pixels, and how values become the model's input;
    ``temperature`` divides the model's logits before the softmax, fitted on the set that is named.
    """

    key: str
    model_file: str
    class_names: list[str]
    image: dict[str, Any]
    dataset: dict[str, str]
    parameters: dict[str, Any]
    metrics: dict[str, float]
    temperature: float
    temperature_fitted_on: str
    format: int = 1


def image_facts(shape: tuple[int, ...]) -> dict[str, Any]:
    """Describe images [H, W, C] and their way into the network."""
    height, width, channels = shape
    return {"height": height, "width": width, "channels": channels, "scaling": "float32, value / 255"}


def write_bundle(folder: Path, bundle: Bundle) -> Path:
    """Write a bundle's description into its folder, atomically; return its path."""
    write_json(folder / FILE, dataclasses.asdict(bundle))
    return folder / FILE


def read_bundle(folder: Path) -> Bundle:
    """Read the description of the model in a folder.

    Raises:
        ValueError: there is none, or it is damaged or from a later version.
    """
    path = folder / FILE
    try:
        content: Mapping[str, Any] = read_json(path)
        known = {field.name for field in dataclasses.fields(Bundle)}
        bundle = Bundle(**{name: value for name, value in content.items() if name in known})
    except FileNotFoundError:
        raise ValueError(
            f"'{folder}' holds no {FILE}: its run did not finish, or is of an older version"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"'{path}' cannot be read: {error}") from None
    if bundle.format != 1 or Path(bundle.model_file).name != bundle.model_file:
        raise ValueError(f"'{path}' is of a format that is not known here: {bundle.format}")
    return bundle
