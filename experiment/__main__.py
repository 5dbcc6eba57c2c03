"""What is done with runs afterwards, list, show, recover, upload, predict; and before: inspect pictures."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiment.command_line import Parser
from experiment.console import Console, without_stderr
from experiment.rundir import RUNNING, RunDirectory, RunRecord, find_run, list_runs, read_json, read_record


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 not all of it, 2 bad input."""
    parser = Parser(prog="python -m experiment", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for name, (function, help_text, several) in COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=help_text)
        command.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="run directories")
        command.add_argument("--json", action="store_true", help="print JSON")
        if several is not None:
            command.add_argument(
                "run", nargs="*" if several else 1, metavar="RUN", help="key, its beginning, or path"
            )
        if several:
            command.add_argument("--all", action="store_true", help="every run that needs it")
        if name == "upload":
            command.add_argument("--workspace", help="instead of the run's own")
            command.add_argument("--project", help="instead of the run's own")
        if name == "predict":
            command.add_argument(
                "images", nargs="+", metavar="IMAGE|DIR", help="pictures, or folders of them"
            )
            command.add_argument(
                "--top", type=int, default=3, metavar="K", help="classes to name (default: 3)"
            )
        if name == "inspect":
            command.add_argument("folder", metavar="DIR", help="a sub-folder a class, perhaps below train/ …")
            command.add_argument("--image-size", metavar="INT", help="as in training")
            command.add_argument("--channels", metavar="INT", help="as in training")
        command.set_defaults(function=function)
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        return options.function(options)
    except ValueError as error:
        parser.error(str(error))


def list_command(options: argparse.Namespace) -> int:
    """List runs, newest first."""
    records = []
    for path in list_runs(options.runs):
        try:
            records.append(read_record(path))
        except ValueError as error:
            print(f"left out: {error}", file=sys.stderr)
    records.sort(key=lambda record: record.run["started"], reverse=True)
    rows = [_row(record) for record in records]
    if options.json:
        print(json.dumps(rows, ensure_ascii=False))
    elif not rows:
        print(f"no runs in {options.runs}", file=sys.stderr)
    else:
        _print_table(rows)
    return 0


def show_command(options: argparse.Namespace) -> int:
    """Show one run whole."""
    directory = find_run(options.runs, options.run[0])
    record = read_record(directory.path)
    whole = {"run": record.run, "params": record.params, "results": record.results}
    if options.json:
        print(json.dumps(whole, ensure_ascii=False))
        return 0
    for title, values in whole.items():
        print(f"{title}")
        for name, value in _flatten(values):
            print(f"  {name:<28} {value}")
    print(f"files\n  {directory.path}")
    return 0


def recover_command(options: argparse.Namespace) -> int:
    """Build the archives of runs that were killed."""
    from experiment import archives

    results = []
    for directory in _chosen(options, lambda directory: _status(directory) == RUNNING):
        missing = archives.recover(directory)
        results.append({"key": directory.key, "archive": str(directory.archive), "missing": missing})
        if not options.json:
            print(f"run {directory.key[:12]}: {directory.archive}")
            for sentence in missing:
                print(f"  {sentence}")
    _close(options, results, "no run waits for recovery")
    return 0


def upload_command(options: argparse.Namespace) -> int:
    """Send runs to Comet and verify that they arrived."""
    from dotenv import find_dotenv, load_dotenv

    load_dotenv(find_dotenv(usecwd=True))
    from experiment import upload

    ledgers = []
    for directory in _chosen(options, _needs_upload):
        ledger = upload.upload(
            directory, lambda text: print(text, file=sys.stderr), options.workspace, options.project
        )
        ledgers.append(ledger)
        if not options.json:
            print(
                f"run {directory.key[:12]}: {upload.counted(ledger)} verified"
                if ledger["verified"]
                else f"run {directory.key[:12]}: not verified: {', '.join(ledger['missing'])}"
            )
    _close(options, ledgers, "no run waits for upload")
    return 0 if all(ledger["verified"] for ledger in ledgers) else 1


def predict_command(options: argparse.Namespace) -> int:
    """Classify pictures; what is wrong with one does not stop the others."""
    if options.top < 1:
        raise ValueError(f"top = {options.top}: should be 1 or more")
    from experiment.bundle import FILE, read_bundle

    run = options.run[0]
    folder = Path(run) if (Path(run) / FILE).is_file() else find_run(options.runs, run).model
    bundle = read_bundle(folder)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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


def inspect_command(options: argparse.Namespace) -> int:
    """Say what a folder of pictures holds and what is wrong with it, without training."""
    from experiment import image_folder, image_report
    from params.load import load_params

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


COMMANDS: dict[str, tuple[Any, str, bool | None]] = {
    "list": (list_command, "list runs, newest first", None),
    "show": (show_command, "show one run whole", False),
    "recover": (recover_command, "build the archives of runs that were killed", True),
    "upload": (upload_command, "send runs to Comet and verify that they arrived", True),
    "predict": (predict_command, "classify pictures with a run's model, or with a copy of its model/", False),
    "inspect": (inspect_command, "look at a folder of pictures as training would, without training", None),
}


def _chosen(options: argparse.Namespace, needs: Any) -> list[RunDirectory]:
    """Return the runs that were named, or with --all those that need it and are not alive."""
    if bool(options.run) == options.all:
        raise ValueError("name runs, or give --all")
    if options.run:
        return [find_run(options.runs, run) for run in options.run]
    directories = [RunDirectory(path) for path in list_runs(options.runs)]
    return [each for each in directories if not each.is_alive() and needs(each)]


def _status(directory: RunDirectory) -> str:
    return read_json(directory.run_file)["status"]


def _needs_upload(directory: RunDirectory) -> bool:
    from experiment import upload

    run = read_json(directory.run_file)
    return run["mode"] != "disabled" and run["status"] != RUNNING and not upload.is_verified(directory)


def _close(options: argparse.Namespace, results: list[Any], nothing: str) -> None:
    if options.json:
        print(json.dumps(results, ensure_ascii=False))
    elif not results:
        print(nothing, file=sys.stderr)


def _row(record: RunRecord) -> dict[str, Any]:
    from params.load import check_params
    from params.spec import Params

    defaults = Params().applicable()
    try:
        check_params(record.params)
    except ValueError:
        defaults = {}
    results = record.results
    return {
        "key": record.key,
        "name": record.name,
        "started": record.run["started"],
        "status": record.status if record.status != RUNNING or _alive(record) else "killed",
        "mode": record.mode,
        "dataset": record.run["dataset"]["name"],
        "changed": {name: value for name, value in record.params.items() if defaults.get(name) != value},
        "epochs": results.get("epochs"),
        "best_val_accuracy": results.get("best", {}).get("val_accuracy"),
        "val_accuracy": results.get("last", {}).get("val_accuracy"),
        "test_accuracy": results.get("test_accuracy"),
        "seconds": results.get("process_s"),
    }


def _alive(record: RunRecord) -> bool:
    return RunDirectory(Path(record.source)).is_alive()


def _print_table(rows: list[dict[str, Any]]) -> None:
    header = (
        "run",
        "started",
        "status",
        "mode",
        "dataset",
        "epochs",
        "best val",
        "last val",
        "test",
        "seconds",
        "name, changes",
    )
    lines = [header]
    for row in rows:
        accuracies = (row["best_val_accuracy"], row["val_accuracy"], row["test_accuracy"])
        changed = " ".join(f"{name}={value}" for name, value in row["changed"].items() if name != "dataset")
        lines.append(
            (
                row["key"][:12],
                time.strftime("%Y-%m-%d %H:%M", time.localtime(row["started"])),
                *(row["status"], row["mode"], row["dataset"], str(row["epochs"] or "")),
                *("" if value is None else f"{value:.4f}" for value in accuracies),
                "" if row["seconds"] is None else f"{row['seconds']:.0f}",
                f"{row['name']}  {changed}".rstrip(),
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _flatten(values: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += _flatten(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", " ".join(map(str, value)) if isinstance(value, list) else value))
    return found


if __name__ == "__main__":
    sys.exit(main())
