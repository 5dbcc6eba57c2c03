"""All that is settled of a run before its first line is written: what can be refused is refused here."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Container, Mapping
from typing import TYPE_CHECKING, Any

from experiment.comet import dataset_artifact, session, settings
from experiment.data import backbone_checks
from experiment.data.image_report import split_text
from experiment.data.labels import OPTIONAL
from experiment.data.splits import PICTURES_VALIDATION, Dataset, splits_by_chance
from experiment.errors import UserError
from experiment.run import provenance
from experiment.run.inputs import Opened, class_counts, data_facts, resolve
from experiment.run.options import Options
from experiment.run.own_code import OwnCode, find_own_code
from experiment.run.own_model import try_out
from experiment.run.purpose import Purpose
from experiment.run.resume import check_resumable, destination_of
from experiment.store.directory import RunDirectory
from experiment.system import arithmetic, keras_settings
from experiment.system.console import Console
from experiment.system.secrets import REDACTED, redact
from params.checks import check_top_k, check_warmup
from params.conditions import PICTURES
from params.groups import parameter_name
from params.groups.network import Network
from params.load import check_extra, without_effect
from params.spec import Params

if TYPE_CHECKING:
    from experiment.training.models import ModelBuilder

# Of a program's own model these are logged when it reads them: it may read some of the stock ones, or none.
MODEL_PARAMETERS = tuple(map(parameter_name, Network.model_fields))
MODEL_CHARACTERS = 50  # of a program's own model, in names and tags

VALIDATED_ON = {
    PICTURES_VALIDATION: "this part of the training set is held out (validation = test is the test set)",
    "test": "a class has too few pictures to hold some out, so each epoch is validated on the test set",
}


@dataclasses.dataclass(frozen=True)
class Setup:
    """A run that is about to begin.

    Attributes:
        params: as they were resolved by the data.
        values: those of them that apply, by their names.
        optional: names of those that are logged only when they are read.
        facts: what the run is made of: fields of ``run.json``.
        split: the data; pictures stay on disk.
        own_code: what a program added to this project's code.
    """

    params: Params
    values: Mapping[str, Any]
    optional: Collection[str]
    facts: Mapping[str, Any]
    opened: Opened
    split: Dataset
    mode: str
    destination: session.Destination
    directory: RunDirectory
    build_model: ModelBuilder | None
    options: Options
    purpose: Purpose
    console: Console
    own_code: OwnCode | None

    @property
    def is_pretrained(self) -> bool:
        """Whether the network is ours with a pretrained backbone, not a program's own."""
        return "backbone" in self.facts

    def certain(self) -> dict[str, Any]:
        """Return the parameters that are logged whether they are read or not."""
        return {name: value for name, value in self.values.items() if name not in self.optional}


def check_early(params: Params, options: Options) -> None:
    """Refuse what needs no look at the data.

    Raises:
        UserError: a typed parameter or option has no effect on any run like this, there is no API key, an
            imported Keras has settings that the pipeline cannot train under, or this machine would emulate
            the precision.
    """
    keras_settings.check()
    arithmetic.check_precision(params.precision)
    mode = session.resolve_mode(options.mode)
    _refuse_without_effect(params, params.may_apply(), options)
    if options.register and "register" in options.typed and mode != session.ONLINE:
        raise UserError(f"register = '{options.register}' needs mode online; this run's is {mode}")


def describe(
    params: Params,
    opened: Opened,
    build_model: ModelBuilder | None,
    options: Options,
    purpose: Purpose,
    resume: RunDirectory | None,
    console: Console,
    extra: Mapping[str, Any] | None = None,
) -> Setup:
    """Settle parameters, data, name and place of a run, and make its directory.

    Raises:
        UserError: something does not go together, or the run cannot be gone on with.
    """
    asked, params = params, resolve(params, opened.arrays)
    _tell_of_validation(asked, params, opened, console)
    values = _applicable(params, opened) | check_extra(extra or {}, params, build_model is not None)
    _check_effects(params, values, opened, options, console, tell=not (resume or purpose.chose_parameters))
    split = _split(params, values, opened, console)
    own_code = find_own_code(build_model, (settings.api_key(),))
    facts = _facts(opened, split, own_code, console)
    facts |= _model_facts(params, values, split, build_model, purpose)
    if options.log_dataset:
        facts["dataset_artifact"] = dataset_artifact.describe(facts["dataset"], class_counts(split))
    if resume:
        check_resumable(resume, params, facts, console.notice, extra)
    facts |= purpose.facts(values, facts, console.say)
    directory = resume or RunDirectory(options.runs / (purpose.key or session.new_key()))
    mode = session.resolve_mode(options.mode)
    where = _destination(params, own_code, options, purpose, directory.key)
    # The last step: up to here anything may be refused, and nothing was written.
    directory.create()
    if resume:
        mode, where = destination_of(directory, mode)
    if REDACTED in " ".join([*facts["command"], where.name, *where.tags]):
        console.notice("the command line holds what looks like a secret; it is left out of all records")
    return Setup(
        *(params, values, _optional(params, build_model), facts, opened, split, mode, where, directory),
        *(build_model, options, purpose, console, own_code),
    )


def _split(params: Params, values: Mapping[str, Any], opened: Opened, console: Console) -> Dataset:
    """Split the data, refuse what does not go with its sizes, and say what is odd about it."""
    for notice in opened.arrays.notices:
        console.notice(notice)
    split = opened.split(values.__getitem__)
    check_warmup(values.__getitem__, len(split.train))
    check_top_k(params, len(split.class_names))
    if opened.inspection:
        console.say(split_text(opened.inspection, split))
    return split


def _facts(opened: Opened, split: Dataset, own_code: OwnCode | None, console: Console) -> dict[str, Any]:
    """Return what a run is made of: code, packages, machine and data."""
    secrets = (settings.api_key(),)
    facts = provenance.describe_run(secrets, console.notice)
    facts |= {"dataset": data_facts(split, opened.source) | opened.decoder}
    return facts | ({"own_code": own_code.facts(secrets)} if own_code else {})


def _model_facts(
    params: Params,
    values: Mapping[str, Any],
    split: Dataset,
    build_model: ModelBuilder | None,
    purpose: Purpose,
) -> dict[str, Any]:
    """Return where a model comes from that is not made here, checked: a backbone, a user's own."""
    facts: dict[str, Any] = {}
    if params.model == "pretrained" and not build_model:
        facts |= backbone_checks.check(values, split.train.images.shape[1:])
    if params.own:
        facts["model"] = {"source": params.own.source}
        # A sweep's trial that cannot be built is a failed trial, not bad input.
        if not purpose.chose_parameters:
            try_out(params.own, values, split.train, len(split.class_names))
    return facts


def _tell_of_validation(asked: Params, params: Params, opened: Opened, console: Console) -> None:
    """Say what pictures are validated on where nobody chose: arrays have another default."""
    if opened.inspection and "validation" not in asked.model_fields_set and params.validation in VALIDATED_ON:
        console.say(f"validation = {params.validation}: {VALIDATED_ON[params.validation]}")


def _optional(params: Params, build_model: ModelBuilder | None) -> Collection[str]:
    """Return the parameters of stock networks that are logged only if the user's own reads them."""
    if not params.own:
        return MODEL_PARAMETERS if build_model else ()
    return set(MODEL_PARAMETERS) - {"model", *params.own.parameters}


def _applicable(params: Params, opened: Opened) -> dict[str, Any]:
    values = params.applicable()
    if not splits_by_chance(opened.arrays, params.validation, params.folds):
        values.pop("split-seed", None)
    if opened.inspection:
        for name in set(OPTIONAL) - set(opened.inspection.columns):
            values.pop(name, None)
    return values


def _check_effects(
    params: Params,
    values: Mapping[str, Any],
    opened: Opened,
    options: Options,
    console: Console,
    *,
    tell: bool,
) -> None:
    """Refuse what was typed and has no effect on this run; tell of what else was given and has none."""
    _refuse_without_effect(params, values, options)
    if options.memory_gb and "memory-gb" in options.typed and not opened.inspection:
        raise UserError(f"memory-gb = {options.memory_gb:g} has no effect: it applies with {PICTURES.text}")
    for sentence in without_effect(params, values).values() if tell else ():
        console.notice(sentence)


def _refuse_without_effect(params: Params, applying: Container[str], options: Options) -> None:
    """Refuse a parameter that was typed and is not among those that apply."""
    for name, sentence in without_effect(params, applying).items():
        if name in options.typed:
            raise UserError(sentence)


def _destination(
    params: Params, own_code: OwnCode | None, options: Options, purpose: Purpose, key: str
) -> session.Destination:
    """Name and tag the run, so that it can be told from others at a glance."""
    builder = own_code.builder if own_code and not params.own else None
    model = (builder or params.model)[-MODEL_CHARACTERS:]
    stock = f"{params.dataset} {model} {params.optimizer} {key[:6]}"
    name = options.name or purpose.label or stock
    tags = list(dict.fromkeys([params.dataset, model, *options.tags, *purpose.tags]))
    clean = [redact(text, (settings.api_key(),)) for text in (name, *tags)]
    return session.destination(clean[0], clean[1:], options.workspace, options.project)
