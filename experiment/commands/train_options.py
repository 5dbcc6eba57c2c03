"""The options of ``train.py``, and a flag for each parameter, made from its declaration."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic.fields import FieldInfo

from experiment.errors import UserError
from experiment.system.environment import switched_on
from experiment.system.parser import RUNS, Parser
from params.groups import parameter_name
from params.load import NAMES, names_of
from params.spec import GROUPS, SYNONYMS, Params, condition, presets

if TYPE_CHECKING:
    from experiment.run import Options

# What options are called elsewhere; those of parameters are declared with them.
OPTION_SYNONYMS = {
    **dict.fromkeys(("config", "cfg", "params-file"), "params"),
    **dict.fromkeys(("run-name", "experiment-name", "exp-name"), "name"),
    **dict.fromkeys(("out", "output", "output-dir", "log-dir", "logdir", "save-dir"), "runs"),
    **dict.fromkeys(("tags",), "tag"),
    **dict.fromkeys(("project-name",), "project"),
    **dict.fromkeys(("restore", "checkpoint", "ckpt"), "resume"),
    **dict.fromkeys(("memory", "memory-limit"), "memory-gb"),
    **dict.fromkeys(("offline", "online"), "mode"),
    **dict.fromkeys(("system-metrics", "sample-every", "log-system-metrics"), "system-metrics-every"),
    **dict.fromkeys(("silent", "verbose"), "quiet"),
    **dict.fromkeys(
        ("gpu", "gpus", "device", "cuda"),
        "TensorFlow takes every GPU that it finds; CUDA_VISIBLE_DEVICES=0 before the command chooses one",
    ),
}
MODES = ("auto", "online", "offline", "disabled")
SWEEP_ONLY = ("seeds", "workers", "scheduler", "ray_address")


def build_parser(description: str, spec: type[Params] = Params) -> argparse.ArgumentParser:
    """Build the parser: options by hand, one flag for each parameter from its declaration.

    Raises:
        UserError: a network of the user's own declares a parameter that is called as an option is.
    """
    parser = Parser(
        prog="train.py",
        synonyms=SYNONYMS | OPTION_SYNONYMS,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_options(parser)
    _add_sweep_options(parser.add_argument_group("sweeps"))
    for group in GROUPS:
        title = f"parameters: {group.__name__.lower()}"
        _add_parameters(parser.add_argument_group(title, group.__doc__), group.model_fields, spec)
    if own := spec.own:
        title, text = "parameters: your own", f"Declared in {own.file.name}, for {own.name}."
        added = {name: spec.model_fields[name.replace("-", "_")] for name in own.parameters}
        fields = {name: field for name, field in added.items() if name not in NAMES}
        _add_parameters(parser.add_argument_group(title, text), fields, spec)
    parser.set_defaults(parameters=names_of(spec))
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--params", metavar="FILE", help="TOML file, or the name of one in params/")
    parser.add_argument("--mode", choices=MODES, default="auto", help="auto: online if an API key is set")
    parser.add_argument("--name", help="name of the run (default: dataset, model, optimizer, key)")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="tag; may be repeated")
    parser.add_argument("--workspace", help="Comet workspace (default: COMET_WORKSPACE)")
    parser.add_argument("--project", help="Comet project (default: COMET_PROJECT_NAME)")
    parser.add_argument("--register", metavar="NAME", help="make the model a version of NAME in the registry")
    parser.add_argument(
        "--log-dataset", action="store_true", help="make the data set an Artifact of Comet, by reference"
    )
    parser.add_argument(
        "--notify", action="store_true", help="let Comet notify you of the end (default: COMET_NOTIFY)"
    )
    parser.add_argument("--resume", metavar="RUN", help="go on with a run from its last checkpoint")
    parser.add_argument(
        "--rerun", metavar="RUN", help="repeat a run, or an archive, and say if it is the same"
    )
    parser.add_argument("--runs", default=RUNS, metavar="DIR", help="folder of run directories")
    parser.add_argument(
        "--memory-gb",
        type=_gigabytes,
        metavar="GB",
        help="memory that a folder's pictures may take; more are read batch by batch (default: half, "
        "divided among the workers of a sweep)",
    )
    parser.add_argument(
        "--system-metrics-every",
        type=_interval,
        default=10.0,
        metavar="SECONDS",
        help="how often to sample CPU, memory, disk, network and GPU; 0: never (default: 10)",
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but notices and errors")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object, last line")


def _add_sweep_options(sweeps: argparse._ArgumentGroup) -> None:
    sweeps.add_argument(
        "--sweep", metavar="FILE", help="Comet Optimizer file, or the name of one in params/sweeps/"
    )
    sweeps.add_argument(
        "--seeds", type=_count, metavar="N", help="run each point, or fold, N times, each with the next seed"
    )
    sweeps.add_argument(
        "--workers", type=_count, metavar="N", help="runs side by side (default: one a core or GPU)"
    )
    sweeps.add_argument("--scheduler", choices=("asha",), help="asha: end hopeless runs early")
    sweeps.add_argument("--ray-address", metavar="ADDRESS", help="of a Ray cluster (default: this machine)")


def _add_parameters(
    arguments: argparse._ArgumentGroup, fields: Mapping[str, FieldInfo], spec: type[Params]
) -> None:
    for name in fields:
        python_name = name.replace("-", "_")
        field, when = spec.model_fields[python_name], condition(python_name, spec)
        others = [f"{_shown(each.value)} with {each.when.text}" for each in presets(python_name, spec)]
        default = ", ".join([str(_shown(field.default)), *others])
        help_text = f"{field.description} (default: {default}{f'; with {when.text}' if when else ''})"
        bare: dict[str, Any] = {"nargs": "?", "const": "true"} if field.annotation is bool else {}
        flag = parameter_name(name)
        try:
            arguments.add_argument(
                f"--{flag}", dest=flag, metavar=_metavar(field.annotation), help=help_text, **bare
            )
        except argparse.ArgumentError:
            raise UserError(f"parameter {flag}: --{flag} is an option already: take another name") from None


def check_together(options: argparse.Namespace) -> None:
    """Refuse options that say nothing together.

    Raises:
        UserError: one sentence that names them.
    """
    given = [name for name in ("resume", "rerun", "sweep") if getattr(options, name)]
    if len(given) > 1:
        raise UserError(f"--{given[0]} and --{given[1]}: give one of them")
    if options.resume:
        kept = ("name", "tag", "workspace", "project", "register", "log_dataset")
        _refuse(options, kept, "not with --resume, as a run keeps what it began with")
    if options.mode == "disabled":
        untold = ("workspace", "project", "register", "log_dataset", "notify")
        _refuse(options, untold, "not with --mode disabled, which tells Comet nothing")
    if options.sweep:
        check_many(options, "--sweep")
    else:
        each_fold = options.folds is not None and options.fold is None
        _refuse(options, [name for name in SWEEP_ONLY if name != "seeds"], "only with --sweep")
        _refuse(options, [] if each_fold else ["seeds"], "only with --sweep, or --folds without --fold")


def check_many(options: argparse.Namespace, what: str) -> None:
    """Refuse options that only a single run can have, where ``what`` makes many.

    Raises:
        UserError: one sentence that names the option.
    """
    _refuse(options, ("name", "register", "notify"), f"not with {what}, which makes many runs")


def _refuse(options: argparse.Namespace, names: Sequence[str], reason: str) -> None:
    for name in names:
        if getattr(options, name):
            raise UserError(f"--{name.replace('_', '-')}: {reason}")


def given_flags(options: argparse.Namespace) -> dict[str, str]:
    """Return the parameters that were typed, by their names, as text; an option has another kind of name."""
    return {name: text for name in options.parameters if (text := getattr(options, name)) is not None}


def typed(options: argparse.Namespace) -> list[str]:
    """Return the names of what was typed and must have an effect: parameters, and options that need not."""
    given = list(given_flags(options))
    return given + [name for name in ("memory-gb", "register") if getattr(options, name.replace("-", "_"))]


def run_options(options: argparse.Namespace) -> Options:
    """Return what was typed that is no parameter, as the options of a run."""
    from experiment.run import Options

    names = (
        *("mode", "runs", "name", "workspace", "project", "register", "quiet"),
        *("memory_gb", "system_metrics_every", "log_dataset"),
    )
    return Options(
        **{name: getattr(options, name) for name in names},
        notify=options.notify or _notify_by_default(options),
        tags=options.tag,
        typed=typed(options),
    )


def _notify_by_default(options: argparse.Namespace) -> bool:
    """Return what COMET_NOTIFY says, for a single tracked run."""
    many = options.sweep or (options.folds is not None and options.fold is None)
    return switched_on("COMET_NOTIFY") and not many and options.mode != "disabled"


def _gigabytes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}': should be a number greater than 0")
    return value


def _interval(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if value != 0 and not 1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"'{text}': should be 0, or 1 to 3600 seconds")
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"'{text}': should be an integer from 1 to 10,000")
    return int(text)


def _shown(value: object) -> object:
    return "off" if value is False else "on" if value is True else value


def _metavar(annotation: Any) -> str:
    choices = getattr(annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return "|".join(choices)
    return {int: "INT", float: "FLOAT", bool: "BOOL"}.get(annotation, "VALUE")
