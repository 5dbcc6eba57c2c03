"""What a run printed: in its directory, its archive and Comet, however it ended."""

import sys

import pytest

from experiment.comet import session
from experiment.comet.settings import import_comet
from experiment.run.lifecycle import RunFailed, recorded
from experiment.store.archive_format import archived_messages
from experiment.store.archive_writer import build_archive
from experiment.store.console_log import output_messages, read_console_log
from experiment.store.directory import RunDirectory
from experiment.system.console import Console

LINES = ["twice", "twice", "数字 to stderr"]


def write(directory: RunDirectory, fail: bool = False) -> RunDirectory:
    """Write a run that prints LINES."""
    directory.create()
    where = session.destination("talkative", [], None, None)
    facts = {"dataset": {"name": "none"}}
    with recorded(directory, where, "offline", {"seed": 0}, facts, Console(), 0) as tracker:
        tracker.log_parameters({"seed": 0})
        print(*LINES[:2], sep="\n")
        print(LINES[2], file=sys.stderr)
        if fail:
            raise ValueError("it broke")
    return directory


def outputs(path) -> list[dict]:
    return [m["payload"] for m in archived_messages(path) if m["type"] == "standard_output"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDirectory:
    return write(RunDirectory(tmp_path_factory.mktemp("talkative") / session.new_key()))


def test_the_archive_has_each_line_of_the_file_in_order_and_knows_its_stream(run):
    kept = read_console_log(run.console_file)
    assert [line.rstrip() for line in kept][1:] == LINES
    assert [payload["output"] for payload in outputs(run.archive)] == kept
    assert [payload["stderr"] for payload in outputs(run.archive)] == [True, False, False, True]


def test_its_messages_have_the_shape_of_the_sdks_own_capture(run, tmp_path):
    comet_ml = import_comet()
    config = comet_ml.ExperimentConfig(
        offline_directory=str(tmp_path), log_env_details=False, auto_output_logging="simple"
    )
    experiment = comet_ml.start(online=False, experiment_key=session.new_key(), experiment_config=config)
    print("to stdout")
    print("to stderr", file=sys.stderr)
    experiment.end()
    theirs = outputs(next(tmp_path.glob("*.zip")))
    assert {payload["stderr"] for payload in theirs} == {True, False}
    shapes = [
        {(name, type(value)) for name, value in each.items()} for each in (*theirs, *outputs(run.archive))
    ]
    assert all(shape == shapes[0] for shape in shapes)


def test_a_failed_run_keeps_its_traceback(tmp_path):
    directory = RunDirectory(tmp_path / session.new_key())
    with pytest.raises(RunFailed):
        write(directory, fail=True)
    content = directory.console_file.read_text()
    assert "Traceback (most recent call last):" in content
    assert content.endswith("ValueError: it broke\n")
    assert outputs(directory.archive)[-1]["output"] == "ValueError: it broke\n"


def test_a_resumed_run_appends_and_its_archive_has_both_parts_once(tmp_path):
    directory = write(RunDirectory(tmp_path / session.new_key()))
    write(directory)
    kept = read_console_log(directory.console_file)
    assert len(kept) == 8
    assert [payload["output"] for payload in outputs(directory.archive)] == kept


def test_lines_that_the_sdk_never_wrote_are_added_to_the_archive(run, tmp_path):
    copy = RunDirectory(tmp_path / run.key)
    copy.create()
    for name in ("run.json", "params.json", "console.log"):
        (copy.path / name).write_bytes((run.path / name).read_bytes())
    build_archive(copy)
    assert [p["output"] for p in outputs(copy.archive)] == [p["output"] for p in outputs(run.archive)]


def test_lines_and_what_the_sdk_wrote_of_them_are_matched_in_order():
    def message(line: str, at: int) -> dict:
        payload = {"output": line, "stderr": False, "local_timestamp": at}
        return {"payload": payload, "type": "standard_output"}

    told = [message("b\n", 5), message("c\n", 6), message("of no line\n", 7), message("c\n", 8)]  # c again
    found = output_messages(["a\n", "b\n", "b\n", "c\n", "d\n"], told, started=1.0)
    assert [(m["payload"]["output"], m["payload"]["local_timestamp"]) for m in found] == [
        *(("a\n", 1000), ("b\n", 5), ("b\n", 5), ("c\n", 6), ("d\n", 6)),
        ("of no line\n", 7),
    ]
