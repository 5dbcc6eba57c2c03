"""What is done with runs afterwards (list, compare, upload, predict …), and with pictures before: inspect."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from experiment import not_installed

try:
    from experiment.commands import (
        comet,
        compare,
        labels,
        list_runs,
        mistakes,
        models,
        registry,
        remove,
        show,
        watch,
    )
    from experiment.errors import UserError
    from experiment.system import streams
    from experiment.system.parser import RUNS, Parser, end, with_signs
except ModuleNotFoundError as error:
    sys.exit(f"python -m experiment: {not_installed(error)}")


@dataclasses.dataclass(frozen=True)
class Command:
    """A subcommand: what it is for, the arguments it takes beside ``--runs`` and ``--json``, what it does."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 not all of it, 2 bad input."""
    parser = Parser(prog="python -m experiment", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(name, help=command.help, description=command.help)
        subparser.add_argument("--runs", type=Path, default=Path(RUNS), metavar="DIR", help="run directories")
        subparser.add_argument("--json", action="store_true", help="print JSON")
        command.add_arguments(subparser)
        subparser.set_defaults(run_command=command.run)
    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(with_signs(given, "--sort"))
    try:
        return options.run_command(options)
    except UserError as error:
        parser.error(str(error))
    except ModuleNotFoundError as error:  # of what is imported only where it is needed
        sys.exit(f"python -m experiment: {not_installed(error)}")


COMMANDS = {
    "list": Command("list runs: which, in which order, as what", list_runs.add_arguments, list_runs.run),
    "show": Command("show one run", show.add_arguments, show.run),
    "compare": Command(
        "compare runs: what differs, groups of seeds, verdicts, one HTML file",
        *(compare.add_arguments, compare.run),
    ),
    "watch": Command("look at runs in the terminal while they train", watch.add_arguments, watch.run),
    "suspects": Command(
        "name labels of pictures that are probably wrong, from what runs say that were not trained on them",
        *(mistakes.suspects_arguments, mistakes.suspects_command),
    ),
    "tag": Command("add tags to runs, or remove them", labels.tag_arguments, labels.tag_command),
    "note": Command("write a note on a run, or print it", labels.note_arguments, labels.note_command),
    "rename": Command("give a run another name", labels.rename_arguments, labels.rename_command),
    "remove": Command("move runs to the trash, and back", remove.add_arguments, remove.run),
    "recover": Command(
        "build the archives of runs that were killed", comet.runs_or_all, comet.recover_command
    ),
    "upload": Command(
        "send runs to Comet and verify that they arrived", comet.upload_arguments, comet.upload_command
    ),
    "register": Command(
        "make the model of a run that is in Comet a version in its registry",
        *(registry.add_arguments, registry.run),
    ),
    "inspect": Command(
        "look at a folder of pictures, or at arrays, as training would, without training",
        *(models.inspect_arguments, models.inspect_command),
    ),
    "predict": Command(
        "classify pictures with a run's model, or with a copy of its model/",
        *(models.predict_arguments, models.predict_command),
    ),
    "export": Command(
        "export a run's model, checked against Keras",
        *(models.export_arguments, models.export_command),
    ),
}


if __name__ == "__main__":
    streams.settle_for_command("python -m experiment")
    end(main)
