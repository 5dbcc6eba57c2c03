"""What is done with a run's model, predict and export, and with pictures before there is one: inspect."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from experiment.console import Console, without_stderr
from experiment.rundir import find_run


def inspect_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``inspect``."""
    parser.add_argument(
        "folder", metavar="DIR|FILE|NAME", help="a sub-folder a class, perhaps below train/ …; or arrays"
    )
    parser.add_argument("--image-size", metavar="INT", help="as in training")
    parser.add_argument("--channels", metavar="INT", help="as in training")


def inspect_command(options: argparse.Namespace) -> int:
    """Say what a folder of pictures or a set of arrays holds and what is wrong with it, without training."""
    from experiment import array_report, image_folder, image_report
    from params.load import load_params

    if array_report.is_array_set(options.folder):
        return array_report.inspect(options.folder, options.json)
    if not Path(options.folder).is_dir():
        raise ValueError(f"'{options.folder}' is no folder")
    flags = {"image-size": options.image_size, "channels": options.channels}
    params = load_params(flags={name: text for name, text in flags.items() if text is not None})
    with Console(options.json).counting() as progress:
        inspection = image_folder.inspect_folder(
            Path(options.folder), params.image_size, params.channels, progress
        )
    wrong = image_folder.reasons(inspection)
    if options.json:
        print(json.dumps(image_report.facts(inspection), ensure_ascii=False))
    else:
        print(image_report.describe(inspection))
        print("\n  ".join([f"{len(wrong)} thing(s) wrong:", *wrong]) if wrong else "fit to train on")
    return 1 if wrong else 0


def predict_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``predict``."""
    parser.add_argument("run", metavar="RUN", help="key, its beginning, name, directory, or a copy of model/")
    parser.add_argument("images", nargs="+", metavar="IMAGE|DIR", help="pictures, or folders of them")
    parser.add_argument("--top", type=int, default=3, metavar="K", help="classes to name (default: 3)")


def predict_command(options: argparse.Namespace) -> int:
    """Classify pictures; what is wrong with one does not stop the others."""
    if options.top < 1:
        raise ValueError(f"top = {options.top}: should be 1 or more")
    from experiment.bundle import FILE, read_bundle

    run = options.run
    folder = Path(run) if (Path(run) / FILE).is_file() else find_run(options.runs, run).model
    bundle = read_bundle(folder)
    with without_stderr():
        from experiment import predict
    paths = predict.find_images(options.images)
    if not paths:
        raise ValueError(f"no picture in {', '.join(options.images)}")
    results = []
    for result in predict.classify(predict.load_model(folder, bundle), bundle, paths, options.top):
        results.append(result)
        if "error" in result:
            print(f"{result['image']}: {result['error']}", file=sys.stderr)
        elif not options.json:
            named = (f"{each['class']} {each['probability']:.1%}" for each in result["classes"])
            print(f"{result['image']}  {'  '.join(named)}", flush=True)
    if options.json:
        print(json.dumps(results, ensure_ascii=False))
    return 1 if any("error" in result for result in results) else 0


def export_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``export``."""
    parser.add_argument("run", metavar="RUN", help="key, its beginning, name, or directory")
    parser.add_argument("--to", required=True, choices=("savedmodel", "onnx", "tflite"))
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: export/ and the key's start")


def export_command(options: argparse.Namespace) -> int:
    """Export the saved model of a run, checked against Keras."""
    from experiment import export

    try:
        figures = export.export(find_run(options.runs, options.run), options.to, options.out)
    except export.ExportFailed as failure:
        print(f"python -m experiment: {failure}", file=sys.stderr)
        return 1
    print(json.dumps(figures, ensure_ascii=False) if options.json else export.describe(figures))
    return 0
