"""What is done with a run's model, predict and export, and with pictures before there is one: inspect."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import get_args

from experiment.commands.choice import add_where, chosen
from experiment.commands.registry import RUNS, local
from experiment.errors import UserError
from experiment.store.find import find_run
from experiment.system import keras_settings, streams
from experiment.system.console import Console
from experiment.system.names import counted, printable, short
from params.groups.data import Resize

# The parameters that say how pictures and tables of labels are read.
COLUMNS = ("file-column", "label-column", "split-column", "group-column")
INSPECTED = ("image-size", "resize", "channels", *COLUMNS)
_METAVARS = {"image-size": "INT", "resize": "|".join(get_args(Resize)), "channels": "INT"}


def inspect_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``inspect``."""
    parser.add_argument(
        "folder",
        metavar="DIR|FILE|NAME",
        help="a sub-folder a class, perhaps below train/ …; a table of labels; or arrays",
    )
    for name in INSPECTED:
        metavar = _METAVARS.get(name, "NAME")
        parser.add_argument(f"--{name}", metavar=metavar, help="as in training")


def inspect_command(options: argparse.Namespace) -> int:
    """Say what a folder of pictures or a set of arrays holds and what is wrong with it, without training."""
    from experiment.data import array_report, image_report, image_set, pictures
    from experiment.data.splits import default_validation, split_arrays
    from params.load import load_params

    if array_report.is_array_set(options.folder):
        return array_report.inspect(options.folder, options.json)
    if not options.folder or not pictures.is_pictures(options.folder):
        raise UserError(f"'{printable(options.folder)}' is no folder, and no file that is there")
    named = {name: getattr(options, name.replace("-", "_")) for name in INSPECTED}
    params = load_params(flags={name: text for name, text in named.items() if text is not None})
    values = params.model_dump(by_alias=True)
    with Console(options.json).counting() as progress:
        inspection = pictures.inspect(options.folder, values.__getitem__, progress)
    wrong, split = image_set.reasons(inspection), None
    if not wrong:
        arrays = image_set.load_images(inspection, values.__getitem__, memory=0)
        values["validation"] = default_validation(arrays)
        try:
            split = split_arrays(arrays, values.__getitem__)
        except UserError as error:
            wrong = [str(error)]
    if options.json:
        streams.print_json(image_report.facts(inspection, split))
    else:
        print(image_report.pictures_text(inspection))
        if split:
            print(image_report.split_text(inspection, split))
        print("\n  ".join([f"{counted(len(wrong), 'thing')} wrong:", *wrong]) if wrong else "fit to train on")
    return 1 if wrong else 0


def predict_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``predict``."""
    parser.add_argument("run", metavar="RUN", help=f"{RUNS}, or a copy of model/")
    parser.add_argument("images", nargs="+", metavar="IMAGE|DIR", help="pictures, or folders of them")
    parser.add_argument(
        "--model", metavar="FILE.py:FUNCTION", help="where layers of your own are (default: where they were)"
    )
    parser.add_argument("--top", type=int, default=3, metavar="K", help="classes to name (default: 3)")


def predict_command(options: argparse.Namespace) -> int:
    """Classify pictures; what is wrong with one does not stop the others."""
    if options.top < 1:
        raise UserError(f"top = {options.top}: should be 1 or more")
    from experiment.store.bundle import FILE, read_bundle

    run = local(options.run)
    copied = run and os.path.isfile(os.path.join(run, FILE))
    found = None if copied else find_run(options.runs, run)
    folder = found.model if found else Path(run)
    bundle = read_bundle(folder)
    keras_settings.check()
    from experiment.deploy import own_layers, predict

    own_layers.import_for(options.model, found.path if found else None)

    files, droppings = predict.find_images(options.images)
    if droppings:
        left = ", ".join(f"{printable(name)} {count}" for name, count in sorted(droppings.items()))
        print(f"notice: what systems leave is left out: {left}", file=sys.stderr)
    if not files:
        raise UserError(f"no picture in {', '.join(map(printable, options.images))}")
    results = []
    for result in predict.classify(predict.load_model(folder, bundle), bundle, files, options.top):
        results.append(result)
        image = printable(result["image"])
        if "error" in result or "notice" in result:
            print(f"{image}: {result.get('error') or result['notice']}", file=sys.stderr)
        if "classes" in result and not options.json:
            named = (f"{printable(each['class'])} {each['probability']:.1%}" for each in result["classes"])
            print(f"{image}  {'  '.join(named)}", flush=True)
    if options.json:
        streams.print_json(results)
    return 1 if any("error" in result for result in results) else 0


def export_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``export``."""
    parser.add_argument("run", nargs="*", metavar="RUN", help=RUNS)
    add_where(parser)
    parser.add_argument("--to", required=True, choices=("savedmodel", "onnx", "tflite"))
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="default: export/KEY; of several runs, DIR/KEY"
    )


def export_command(options: argparse.Namespace) -> int:
    """Export saved models of runs, checked against Keras; one that fails does not stop the others."""
    from experiment.deploy import agreement, export

    keras_settings.check()
    options.run = [local(run) for run in options.run]
    directories = chosen(options)
    exported, alone = [], len(directories) == 1
    for directory in directories:
        out = options.out if alone or options.out is None else options.out / short(directory.key)
        try:
            figures = export.export(directory, options.to, out)
        except (export.ExportFailed, UserError) as failure:
            if alone and isinstance(failure, UserError):
                raise
            print(f"python -m experiment: {failure}", file=sys.stderr)
            continue
        exported.append(figures)
        if not options.json:
            print(agreement.export_text(figures))
    if options.json and exported:
        streams.print_json(exported[0] if alone else exported)
    return 0 if len(exported) == len(directories) else 1
