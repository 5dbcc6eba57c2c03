"""What is trained, validated and tested on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from params.checks import check_channels, check_folds, check_validation
from params.conditions import COLUMN, FOLDS, OWN, PICTURES, PRETRAINED, SPLIT, TABLE, Preset, Synonyms
from params.groups import Group

Resize = Literal["squash", "crop", "pad"]


class Data(Group):
    """What is trained, validated and tested on."""

    dataset: Annotated[
        str,
        Field(
            min_length=1,
            description="auto (MNIST if it can be had, else mnist-5k), mnist, fashion-mnist, mnist-5k, "
            "the path of an .npz file in Keras' layout, of a folder of IDX files, of a folder of pictures, "
            "or of a CSV of pictures' files and labels",
        ),
        Synonyms(("data", "data-dir", "data-path", "data-set")),
    ] = "auto"
    file_column: Annotated[
        str, Field(min_length=1, description="the column of pictures' paths, relative to the CSV"), TABLE
    ] = "file"
    label_column: Annotated[
        str,
        Field(min_length=1, description="the column of labels"),
        TABLE,
        Synonyms(("label-col", "target-column", "target", "y-col")),
    ] = "label"
    split_column: Annotated[
        str, Field(min_length=1, description="the column that says train, validation or test"), COLUMN
    ] = "split"
    group_column: Annotated[
        str,
        Field(min_length=1, description="the column of groups, such as patients, which no split divides"),
        COLUMN,
        Synonyms(("group", "groups", "patient-column")),
    ] = "group"
    image_size: Annotated[
        int,
        Field(ge=4, le=1024, description="height and width that pictures are resized to"),
        PICTURES,
        Preset(PRETRAINED, 160),
        Synonyms(("img-size", "imgsz", "input-size", "resolution")),
    ] = 64
    resize: Annotated[
        Resize,
        Field(
            description="how pictures become square: squash (the whole, its sides' ratio lost), crop (the "
            "largest centred square) or pad (the whole, with black borders)"
        ),
        PICTURES,
        Synonyms(("resize-mode", "resize-method", "aspect-ratio", "keep-aspect-ratio", "letterbox")),
    ] = "squash"
    channels: Annotated[
        int, Field(description="1 for grey, 3 for colour"), BeforeValidator(check_channels), PICTURES
    ] = 3
    skip_bad: Annotated[
        bool, Field(description="leave out files that cannot be read instead of stopping"), PICTURES
    ] = False
    allow_duplicates: Annotated[
        bool,
        Field(description="accept the same image in two parts or classes instead of stopping"),
        OWN,
    ] = False
    validation: Annotated[
        Literal["test", "folder", "fold"] | float,
        BeforeValidator(check_validation),
        Field(
            description="what each epoch is validated on: test, a fraction of the training set, folder: "
            "the set's own, in validation/ or x_val and y_val (the default where there is one; else 0.15 of "
            "enough pictures), or fold"
        ),
        Synonyms(("val-split", "validation-split", "val-fraction")),
    ] = "test"
    split_seed: Annotated[
        int, Field(ge=0, lt=2**31, description="seed of the split, independent of seed"), SPLIT
    ] = 0
    folds: Annotated[
        int,
        BeforeValidator(check_folds),
        Field(
            description="deal the training set into so many folds, of which fold is held out: tested on, or "
            "validated on where the set has a test part; without --fold, each is held out in turn"
        ),
        Synonyms(("cv", "kfold", "k-fold", "n-folds", "num-folds", "n-splits", "cross-validation")),
    ] = 0
    fold: Annotated[
        int, Field(ge=1, le=100, description="which fold is held out, from 1 to folds"), FOLDS
    ] = 1
