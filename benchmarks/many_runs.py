"""Time list, compare and its report over many run directories, as ratios to `import comet_ml`.

python -m benchmarks.many_runs [COUNT …] [--html 200] [--archive-mb 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
SEEDS, VARIANTS = 5, 200
REPEATS = 3
WHERE = "optimizer=adam and test_accuracy>0.952 and tag:made"  # about a ninth of the runs


def main() -> None:
    """Make runs, time the commands over them and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("counts", nargs="*", type=int, default=[100, 1000, 10000], metavar="COUNT")
    parser.add_argument("--html", type=int, default=200, help="runs in a report (default: 200)")
    parser.add_argument("--archive-mb", type=int, default=1000, help="size of an archive (default: 1000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        unit = statistics.median(timed("-c", "import comet_ml")[0] for _ in range(REPEATS))
        print(f"import comet_ml: {unit:.2f} CPU s\n{'what':<28}{'CPU s':>8}{'ratio':>8}{'MB':>7}")
        for count in options.counts:
            runs = Path(folder, f"runs-{count}")
            make_runs(runs, count)
            for command in (["list"], ["list", "--where", WHERE], ["compare"], ["compare", "--where", WHERE]):
                title = f"{' '.join(command[:2])}, {count} runs"
                show(title, unit, "-m", "experiment", *command, "--runs", str(runs))
        if options.html:
            time_report(Path(folder), options.html, unit)
        if options.archive_mb:
            archive = Path(folder, "large.zip")
            make_archive(archive, options.archive_mb * 1_000_000)
            show(
                f"compare, {archive.stat().st_size / 1e6:.0f} MB archive",
                *(unit, "-m", "experiment", "compare", str(archive)),
            )


def time_report(folder: Path, count: int, unit: float) -> None:
    """Time a report and, where playwright and Chromium are there, its opening and one click."""
    runs, page = folder / "runs-html", folder / "report.html"
    make_runs(runs, count)
    command = ("-m", "experiment", "compare", "--runs", str(runs), "--html", str(page))
    show(f"compare --html, {count} runs", unit, *command)
    print(f"{'its size, MB':<28}{page.stat().st_size / 1e6:8.1f}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return
    with sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        tab = browser.new_page()
        began = time.perf_counter()
        tab.goto(page.as_uri(), wait_until="commit")
        tab.click("#run-table th button >> nth=1")
        tab.wait_for_selector("#run-table th[aria-sort]")
        print(f"{'opened and a click answered':<28}{time.perf_counter() - began:8.2f}")
        tab.wait_for_selector("#curve-chart .main-svg", timeout=60_000)
        print(f"{'charts drawn':<28}{time.perf_counter() - began:8.2f}")
        browser.close()


def show(title: str, unit: float, *arguments: str) -> None:
    """Print a command's median CPU seconds, their ratio to the unit, and the largest memory."""
    results = [timed(*arguments) for _ in range(REPEATS)]
    seconds = statistics.median(result[0] for result in results)
    memory = max(result[1] for result in results)
    print(f"{title:<28}{seconds:8.2f}{seconds / unit:8.2f}{memory / 1e6:7.0f}", flush=True)


def timed(*arguments: str) -> tuple[float, int]:
    """Run Python; return its CPU seconds, which other processes disturb least, and its peak bytes."""
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, *arguments],
        {**os.environ, "PYTHONPATH": str(ROOT)},
        file_actions=[(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)],
    )
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"python {' '.join(arguments)} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def make_runs(folder: Path, count: int, epochs: int = 50, examples: int = 10_000) -> None:
    """Write run directories as training leaves them: settings in groups of five seeds.

    Large files are those of 200 different runs, linked.
    """
    for number in range(count):
        run = folder / f"{number:040x}"
        run.mkdir(parents=True)
        generator = np.random.default_rng(number)
        width, rate = 2 ** (4 + number // SEEDS % 5), round(0.001 * (1 + number // SEEDS), 6)
        params = {"dataset": "made", "validation": 0.1, "layer-1-size": width, "initial-lr": rate}
        params |= {
            "optimizer": ("adam", "sgd")[number // SEEDS % 2],
            "epochs": epochs,
            "seed": number % SEEDS,
        }
        _write(run / "params.json", params)
        model = folder / f"{number % VARIANTS:040x}"
        if model == run:
            _write_curves(run / "metrics.jsonl", epochs, generator)
            _write_predictions(run / "predictions.npz", examples, generator)
        else:
            for name in ("metrics.jsonl", "predictions.npz"):
                os.link(model / name, run / name)
        _write(run / "run.json", _facts(run.name, number))
        accuracy = 0.95 + 0.002 * (width > 64) + float(generator.normal(0, 0.001))
        last = {"loss": 0.1, "accuracy": 0.97, "val_loss": 0.12, "val_accuracy": accuracy}
        results = {"epochs": epochs, "last": last, "best": {"epoch": epochs - 1, **last}}
        results |= {"test_loss": 0.12, "test_accuracy": accuracy, "epoch_s": 0.3, "process_s": 20.0}
        _write(run / "results.json", results)


def make_archive(path: Path, size: int) -> None:
    """Write an archive of the SDK's format: a third of it metric messages, the rest one asset."""
    with zipfile.ZipFile(path, "w") as archive:
        described: dict[str, object] = {
            "offline_id": "b" * 40,
            "project_name": "p",
            "workspace": None,
            "tags": [],
        }
        archive.writestr("experiment.json", json.dumps(described | {"start_time": 1, "stop_time": 2}))
        with archive.open("messages.json", "w", force_zip64=True) as file:
            step = written = 0
            while written < size // 3:
                step += 1
                metric = {"metricName": "val_loss", "metricValue": 1 / step, "step": step, "epoch": step}
                payload = {"local_timestamp": step, "message_id": step, "metric": metric}
                written += file.write(json.dumps({"payload": payload, "type": "metric_msg"}).encode() + b"\n")
        with archive.open("asset", "w", force_zip64=True) as file:
            for _ in range(size * 2 // 3 // 1_000_000):
                file.write(bytes(1_000_000))


def _facts(key: str, number: int) -> dict[str, object]:
    prints = {f"{part}fingerprint": "a" * 64 for part in ("", "split_", "test_")}
    dataset = {"name": "made", "source": "made", "classes": list("0123456789"), **prints}
    return {
        **{"key": key, "name": f"run {number}", "tags": ["made"], "mode": "offline", "status": "finished"},
        **{"workspace": None, "project": "p", "url": None, "started": 1.7e9 + number, "ended": 1.7e9},
        **{"dataset": dataset, "code_fingerprint": "c" * 64, "git": {}, "command": ["train.py"]},
        "packages": {f"package-{index}": "1.0" for index in range(8)},
    }


def _write_curves(path: Path, epochs: int, generator: np.random.Generator) -> None:
    lines = []
    for epoch in range(1, epochs + 1):
        noise = float(generator.normal(0, 0.01))
        values = {"loss": 1 / epoch, "accuracy": 1 - 1 / epoch, "val_loss": 1.1 / epoch + noise}
        values |= {"val_accuracy": 0.97 - 1 / epoch + noise, "learning_rate": 0.01, "epoch_seconds": 0.3}
        rows = [("batch_loss", epoch * 400 - 400 + 20 * index, 1 / epoch) for index in range(20)]
        rows += [(name, epoch * 400, value) for name, value in values.items()]
        lines += [
            json.dumps({"name": name, "value": value, "step": step, "epoch": epoch, "time": 1.7e9})
            for name, step, value in rows
        ]
    path.write_text("\n".join(lines) + "\n")


def _write_predictions(path: Path, examples: int, generator: np.random.Generator) -> None:
    labels = (np.arange(examples) % 10).astype(np.int32)
    scores = generator.random((examples, 10), np.float32) + np.eye(10, dtype=np.float32)[labels]
    np.savez(path, labels=labels, probabilities=scores / scores.sum(-1, keepdims=True))


def _write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
