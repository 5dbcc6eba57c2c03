"""What a run prints is kept line by line, redacted, and nothing of it ends a run or gets into another's."""

import io
import logging
import sys
import threading
import time

import pytest

from experiment.system import console as consoles
from experiment.system.console import Console
from experiment.system.output import Output
from tests.support.processes import run_python

SECRET = "aSecretKeyOfComet123456789"
PRIVATE_KEY = ["-----BEGIN RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA", "-----END RSA PRIVATE KEY-----"]


class Told(list):
    """What was told: lines, without their ends, and whether they went to stderr."""

    def __call__(self, line, is_error, heard):
        assert line.endswith("\n")
        assert abs(time.time() - heard) < 60
        self.append((line[:-1], is_error))


@pytest.fixture
def notices():
    return []


@pytest.fixture
def output(notices):
    return Output((SECRET,), notices.append)


def printed(output, path, act) -> tuple[str, Told]:
    """Return what is in the file, and what was told, of what ``act`` prints."""
    told = Told()
    with output.listening():
        output.open(path, told)
        act()
    return path.read_text(), told


def test_lines_of_both_streams_are_kept_in_order_told_and_printed_as_before(output, tmp_path, capsys):
    def act() -> None:
        print("first")
        print("second", file=sys.stderr)
        sys.stdout.write("in ")
        sys.stdout.write("pieces\nand two\n")

    lines = ["first", "second", "in pieces", "and two"]
    content, told = printed(output, tmp_path / "log", act)
    assert content.splitlines() == lines
    assert told == [(line, line == "second") for line in lines]
    assert capsys.readouterr() == ("first\nin pieces\nand two\n", "second\n")


def test_a_logger_that_was_there_before_is_heard_and_gets_its_stream_back(output, tmp_path):
    logger, handler = logging.getLogger("theirs"), logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    try:
        content, _ = printed(output, tmp_path / "log", lambda: logger.error("a logger's line"))
        assert handler.stream is sys.stderr
    finally:
        logger.removeHandler(handler)
    assert content == "a logger's line\n"


def test_warnings_and_the_tracebacks_of_threads_are_heard(tmp_path):
    script = (
        "import threading, warnings; from pathlib import Path; from experiment.system.output import Output\n"
        "output = Output((), print)\n"
        "with output.listening():\n"
        "    output.open(Path('log'), lambda *line: None)\n"
        "    warnings.warn('a warning')\n"
        "    thread = threading.Thread(target=int, args=['no number']); thread.start(); thread.join()\n"
    )
    done = run_python("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    content = (tmp_path / "log").read_text()
    assert "UserWarning: a warning" in content
    assert content.endswith("ValueError: invalid literal for int() with base 10: 'no number'\n")
    assert content == done.stderr


def test_of_a_line_that_is_drawn_anew_the_last_state_is_kept_without_colours(output, tmp_path):
    def act() -> None:
        for percent in range(0, 101, 10):
            print(f"\r\x1b[32m{percent} %\x1b[0m", end="")
        print("\nended by Windows\r\n\x1b]0;a title\x07plain")

    assert printed(output, tmp_path / "log", act)[0] == "100 %\nended by Windows\nplain\n"


def test_what_has_no_line_end_is_kept_and_told_at_last(output, tmp_path):
    content, told = printed(output, tmp_path / "log", lambda: print("half a line", end=""))
    assert content == "half a line\n"
    assert told == [("half a line", False)]


@pytest.mark.parametrize(
    "act",
    [
        lambda: print(f"key {SECRET}"),
        lambda: [sys.stdout.write(part) for part in ("key ", SECRET[:7], SECRET[7:], "\n")],
        lambda: print(f"\x1b[1m{SECRET[:5]}\x1b[0m{SECRET[5:]}"),
        lambda: print(*PRIVATE_KEY, sep="\n"),
        lambda: [print(line) for line in PRIVATE_KEY],
        lambda: [print(line) for line in PRIVATE_KEY[:2]],  # and nothing after it
    ],
)
def test_no_secret_gets_into_the_file_however_it_is_printed(output, tmp_path, act):
    content, told = printed(output, tmp_path / "log", act)
    assert "[redacted]" in content
    for secret in (SECRET, "MIIEpAIBAAKCAQEA"):
        assert secret not in content
        assert secret not in str(told)


def test_what_was_printed_before_the_file_is_open_comes_first(output, tmp_path):
    with output.listening():
        print("early")
        output.open(tmp_path / "log", Told())
        print("late")
    assert (tmp_path / "log").read_text() == "early\nlate\n"


def test_another_run_in_the_same_process_does_not_mix_in(tmp_path):
    outputs = [Output((), print), Output((), print)]
    streams = sys.stdout, sys.stderr
    for number, output in enumerate(outputs):
        printed(output, tmp_path / str(number), lambda number=number: print(f"run {number}"))
        print("between")
    assert [(tmp_path / str(number)).read_text() for number in (0, 1)] == ["run 0\n", "run 1\n"]
    assert (sys.stdout, sys.stderr) == streams


def test_a_resumed_run_appends_and_a_torn_line_is_ended(output, tmp_path):
    (tmp_path / "log").write_text("first\nto")
    assert printed(output, tmp_path / "log", lambda: print("second"))[0] == "first\nto\nsecond\n"


def test_after_telling_has_stopped_lines_are_kept_alone(output, tmp_path):
    def act() -> None:
        print("told")
        output.stop_telling()
        print("kept")

    content, told = printed(output, tmp_path / "log", act)
    assert (content, told) == ("told\nkept\n", [("told", False)])


@pytest.mark.parametrize("place", ["/dev/full", "nowhere/log"])
def test_a_file_that_cannot_be_written_is_one_notice_and_the_lines_are_told(output, notices, tmp_path, place):
    told = Told()
    with output.listening():
        output.open(tmp_path / place, told)
        print("one")
        print("two")
    assert told == [("one", False), ("two", False)]
    assert len(notices) == 1
    assert "cannot be written, so what is printed is not kept" in notices[0]


@pytest.mark.parametrize("stream", [None, io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True)])
def test_a_stream_that_takes_nothing_is_heard_all_the_same(output, tmp_path, monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    console = Console()
    with console.output.listening():
        console.output.open(tmp_path / "log", Told())
        console.say("said")
    assert (tmp_path / "log").read_text() == "said\n"
    assert sys.stderr is stream


def test_threads_that_print_do_not_tear_each_others_lines(output, tmp_path):
    def many(name: str) -> None:
        for number in range(200):
            sys.stdout.write(f"{name} {number}\n")

    def act() -> None:
        threads = [threading.Thread(target=many, args=[name]) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    content, told = printed(output, tmp_path / "log", act)
    assert sorted(content.splitlines()) == sorted(f"{name} {n}" for name in "abc" for n in range(200))
    assert [line for line, _ in told] == content.splitlines()


def test_a_quiet_run_prints_nothing_and_its_lines_are_kept(tmp_path, capsys):
    notices: list[str] = []
    console = Console(quiet=True, on_notice=notices.append)
    with console.output.listening():
        console.output.open(tmp_path / "log", Told())
        console.say("said")
        console.notice("a notice")
        console.epoch(1, 2, {"loss": 0.5, "epoch_seconds": 1.0})
    assert (tmp_path / "log").read_text().splitlines() == [
        "said",
        "notice: a notice",
        "epoch 1/2  loss 0.5000  1.00 s",
    ]
    assert (notices, capsys.readouterr().err) == (["a notice"], "")


def test_beside_a_bar_lines_and_epochs_are_kept_and_its_redraws_are_not(tmp_path, monkeypatch):
    from rich.console import Console as Terminal

    screen = io.StringIO()
    monkeypatch.setattr(consoles.streams, "is_terminal", lambda: True)
    monkeypatch.setattr(
        consoles.streams, "terminal", lambda: Terminal(file=screen, force_terminal=True, width=150)
    )
    console = Console()
    streams = sys.stdout, sys.stderr
    with console.output.listening():
        console.output.open(tmp_path / "log", Told())
        console.say("before")
        console.start(2, 0)
        print("printed beside the bar")
        console.notice("careful")
        console.epoch(1, 2, {"loss": 0.5, "val_loss": 0.6, "epoch_seconds": 1.0})
        console.stop()
        console.say("after")
    assert (tmp_path / "log").read_text().splitlines() == [
        "before",
        "printed beside the bar",
        "notice: careful",
        "epoch 1/2  loss 0.5000  val_loss 0.6000  1.00 s",
        "after",
    ]
    assert "printed beside the bar" in screen.getvalue()
    assert (sys.stdout, sys.stderr) == streams
