"""What a saved model needs beside its weights to be used: how images are read, what its outputs mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from experiment.errors import UserError
from experiment.store.files import write_json
from experiment.system.names import counted
from params.groups.data import Resize
from params.words import place, sentence_of_file

FILE = "bundle.json"
# Of a sentence that quotes what people wrote into the file.
MOST_LETTERS = 300
Side = Annotated[int, Field(ge=1, le=65536)]


class _Described(BaseModel):
    """A part of ``bundle.json``: what a later version adds is ignored, nothing is converted."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class ImageFacts(_Described):
    """How images become the model's input: their size in pixels, and how values are scaled.

    ``depth`` is how many of 16 bits of grey the training's files used; ``resize`` is what becomes of
    pictures that are not square.
    """

    height: Side
    width: Side
    channels: Literal[1, 3]
    scaling: Literal["float32, value / 255"]
    depth: Annotated[int, Field(ge=8, le=16)] = 16
    resize: Resize = "squash"


class Bundle(_Described):
    """A saved model's description, ``bundle.json`` beside it.

    ``temperature`` divides the model's logits before the softmax, fitted on the set that is named.
    ``backbone`` names a pretrained one inside: its weights' SHA-256, where they came from, their licence.
    """

    key: str
    model_file: Annotated[str, StringConstraints(pattern=r"^[^/\\\x00]+\.(h5|keras)$")]
    class_names: Annotated[list[str], Field(min_length=2)]
    image: ImageFacts
    dataset: dict[str, str]
    parameters: dict[str, Any]
    metrics: dict[str, float | Literal["NaN", "Infinity", "-Infinity"]]
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    temperature_fitted_on: str
    backbone: dict[str, str] | None = None
    format: Literal[1] = 1

    @model_validator(mode="after")
    def _agree(self) -> Bundle:
        """Compare with the parameters what pictures were decoded to."""
        asked = [self.parameters.get(name) for name in ("image-size", "image-size", "channels")]
        stated = [self.image.height, self.image.width, self.image.channels]
        if any(one is not None and one != other for one, other in zip(asked, stated, strict=True)):
            raise ValueError(
                f"image is {stated[0]} × {stated[1]} pixels of {counted(stated[2], 'channel')}, "
                f"but parameters say "
                f"image-size {asked[0]}, channels {asked[2]}"
            )
        resize = self.parameters.get("resize", self.image.resize)
        if resize != self.image.resize:
            raise ValueError(f"image.resize is {self.image.resize}, but parameters say {resize!r}")
        return self


def image_facts(shape: tuple[int, ...], depth: int = 16, resize: Resize = "squash") -> ImageFacts:
    """Describe images [H, W, C] and their way into the network, unchecked: a run has had them by now."""
    height, width, channels = shape
    return ImageFacts.model_construct(
        height=height,
        width=width,
        channels=channels,
        scaling="float32, value / 255",
        depth=depth,
        resize=resize,
    )


def write_bundle(folder: Path, bundle: Bundle) -> Path:
    """Write a bundle's description into its folder, atomically; return its path."""
    write_json(folder / FILE, bundle.model_dump())
    return folder / FILE


def read_bundle(folder: Path) -> Bundle:
    """Read the description of the model in a folder, as its run wrote it or as people changed it.

    Raises:
        UserError: there is none, or it is damaged, does not hold what it must, or is of a later version; one
            sentence with its path.
    """
    path = folder / FILE
    try:
        return Bundle.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"'{folder}' holds no {FILE}: its run did not finish, or is of an older version"
        ) from None
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise UserError(f"'{path}' cannot be read: {_sentence(error)}") from None


def _sentence(error: ValidationError) -> str:
    """Return what is wrong first of all: a format that is not known makes all else moot."""
    found = error.errors(include_url=False)
    details = next((each for each in found if each["loc"] == ("format",)), found[0])
    name = place(details["loc"])
    if details["type"] == "missing":
        return f"{name} is missing"
    if name == "format":
        return f"it is of a format that is not known here: {details['input']!r}"
    return (
        sentence_of_file(details, name)[:MOST_LETTERS]
        if name
        else details["msg"].removeprefix("Value error, ")
    )
