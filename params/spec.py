"""Which parameters exist: name, default, type, range or choices, help — declared once, here.

The command-line flags, their help, the TOML files and every error message are derived from this model. A
parameter has one spelling everywhere, the one with hyphens: TOML key = flag = column in Comet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from experiment.errors import UserError
from params.checks import check_channels, check_model_file, check_validation
from params.conditions import CNN, COLUMN, MLP, OWN, PICTURES, SPLIT, STOPPING, TABLE, Synonyms, When
from params.words import did_you_mean, sentence

GetParameter = Callable[[str], Any]  # from a name with hyphens to the value that the experiment has


def parameter_name(field: str) -> str:
    """Turn a Python attribute's name into the parameter's: ``batch_size`` into ``batch-size``."""
    return field.replace("_", "-")


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
        Synonyms(("img-size", "imgsz", "input-size", "resolution")),
    ] = 64
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
        Literal["test", "folder"] | float,
        BeforeValidator(check_validation),
        Field(
            description="what each epoch is validated on: test, a fraction of the training set, or folder: "
            "the set's own, in validation/ or x_val and y_val (the default where there is one)"
        ),
        Synonyms(("val-split", "validation-split", "val-fraction")),
    ] = "test"
    split_seed: Annotated[
        int, Field(ge=0, lt=2**31, description="seed of the split, independent of seed"), SPLIT
    ] = 0
    # Model
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
    # Training
    batch_size: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="examples in each step"),
        Synonyms(("batch", "bs", "b", "batchsize")),
    ] = 128
    epochs: Annotated[
        int,
        Field(ge=1, le=100_000, description="passes over the training set"),
        Synonyms(("epoch", "num-epochs", "n-epochs", "max-epochs", "nb-epoch", "ep")),
    ] = 50
    optimizer: Annotated[
        Literal["adamax", "adam", "rmsprop", "sgd"],
        Field(description="optimizer"),
        Synonyms(("opt", "optim")),
    ] = "adamax"
    initial_lr: Annotated[
        float,
        Field(gt=0, le=100, description="learning rate of the first step"),
        Synonyms(("lr", "learning-rate", "lr0", "base-lr", "init-lr")),
    ] = 0.01
    decay_steps: Annotated[
        int,
        Field(ge=1, le=1_000_000_000, description="steps after which the learning rate has decayed once"),
        Synonyms(("lr-decay-steps", "step-size")),
    ] = 2000
    decay_rate: Annotated[
        float,
        Field(gt=0, le=1, description="factor by which the learning rate decays"),
        Synonyms(("lr-decay", "gamma")),
    ] = 0.9
    label_smoothing: Annotated[
        float,
        Field(ge=0, lt=1, description="part of each target to spread over all classes; val_loss includes it"),
        Synonyms(("smoothing",)),
    ] = 0.0
    class_weights: Annotated[
        Literal["none", "balanced"],
        Field(description="`balanced` gives examples of rarer classes more weight in training"),
        Synonyms(("class-weight",)),
    ] = "none"
    early_stopping: Annotated[
        bool, Field(description="stop when val_loss no longer falls, and keep the best weights")
    ] = False
    patience: Annotated[
        int,
        Field(ge=0, le=100_000, description="epochs without a lower val_loss before stopping"),
        STOPPING,
        Synonyms(("early-stopping-patience",)),
    ] = 5
    on_nan: Annotated[
        Literal["stop", "continue"], Field(description="what to do when a loss is NaN or infinite")
    ] = "stop"
    seed: Annotated[
        int,
        Field(
            ge=0, lt=2**31, description="seed of first weights, order of examples, dropout and augmentation"
        ),
        Synonyms(("random-seed", "random-state", "rng")),
    ] = 0
    compile: Annotated[
        Literal["auto", "xla", "graph", "off"],
        Field(description="compile each epoch as one program: by XLA, as a graph, or not at all (plain fit)"),
        Synonyms(("jit", "jit-compile", "xla")),
    ] = "auto"
    # Result
    model_file: Annotated[
        str,
        BeforeValidator(check_model_file),
        Field(description="file name of the saved model"),
        Synonyms(("model-name", "output-file")),
    ] = "tf-mnist-comet.h5"

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


SYNONYMS = {
    name: parameter_name(field)
    for field, declared in Params.model_fields.items()
    for part in declared.metadata
    if isinstance(part, Synonyms)
    for name in part
}
