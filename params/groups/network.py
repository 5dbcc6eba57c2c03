"""The network, and what is done to images before it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from params.conditions import CNN, MLP, Synonyms
from params.groups import Group


class Network(Group):
    """The network, and what is done to images before it."""

    model: Annotated[
        Literal["mlp", "cnn"],
        Field(description="the network"),
        Synonyms(("arch", "architecture", "network", "net")),
    ] = "mlp"
    layer_1_size: Annotated[int, Field(ge=1, le=65536, description="units of the first layer"), MLP] = 128
    layer_2_size: Annotated[int, Field(ge=1, le=65536, description="units of the second layer"), MLP] = 128
    filters: Annotated[
        int, Field(ge=1, le=1024, description="filters of the first convolution; later ones have more"), CNN
    ] = 16
    dropout: Annotated[
        float,
        Field(ge=0, lt=1, description="fraction of units dropped in training"),
        Synonyms(("dropout-rate", "drop-rate", "drop")),
    ] = 0.25
    augment_flip: Annotated[
        bool,
        Field(description="in training, mirror half of the images left to right"),
        Synonyms(("flip", "hflip")),
    ] = False
    augment_shift: Annotated[
        float,
        Field(ge=0, le=0.5, description="in training, shift images by up to this fraction of their size"),
    ] = 0.0
    augment_rotation: Annotated[
        float,
        Field(ge=0, le=180, description="in training, turn images by up to this many degrees"),
        Synonyms(("rotation", "rotate")),
    ] = 0.0
