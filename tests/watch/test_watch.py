"""Runs watched in a terminal of 80 × 24: what is drawn follows the journals, and q ends it."""

import asyncio
import functools
import json

import pytest

from experiment import __main__ as command_line
from experiment.errors import UserError
from experiment.store.directory_reader import read_record
from experiment.store.journal import Point, read_further
from experiment.watch.live import LiveRun, chosen_records
from tests.support.made_runs import make_run
from tests.support.terminal import text_of

pytest.importorskip("textual", reason="textual is not installed")


def add_epoch(path, epoch: int, loss: float, at: float = 0.0) -> None:
    point = Point("val_loss", loss, epoch * 10, epoch, 1.7e9 + (at or epoch))
    with (path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(vars(point)) + "\n")


def test_a_journal_is_read_on_from_where_it_was_left(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_further(path, 0) == ([], 0)
    add_epoch(tmp_path, 1, 0.5)
    points, offset = read_further(path, 0)
    assert [point.value for point in points] == [0.5]
    with path.open("a") as file:
        file.write('{"name": "val_lo')
    assert read_further(path, offset) == ([], offset)
    path.write_text("")
    add_epoch(tmp_path, 9, 0.25)
    assert [point.epoch for point in read_further(path, offset + 50)[0]] == [9]


def test_time_left_is_the_median_epochs(tmp_path):
    path = make_run(tmp_path, "a", run_status="running", losses=(), epochs=10)
    for epoch, at in ((1, 100), (2, 110), (3, 120), (4, 150)):
        add_epoch(path, epoch, 0.5, at)
    run = LiveRun(read_record(path))
    run.status = "running"
    assert (run.epoch, run.epochs) == (4, 10)
    assert run.remaining(1.7e9 + 154) == pytest.approx(6 * 10 - 4)


def test_runs_are_those_that_just_ended_or_are_named_or_the_newest(tmp_path):
    make_run(tmp_path, "old", optimizer="adam")
    make_run(tmp_path, "new", run_started=1.8e9)
    assert [record.name for record in chosen_records(tmp_path, [], None)] == ["new"]
    assert [record.name for record in chosen_records(tmp_path, ["old"], None)] == ["old"]
    assert [record.name for record in chosen_records(tmp_path, [], "optimizer=adam")] == ["old"]
    with pytest.raises(UserError, match="not both"):
        chosen_records(tmp_path, ["old"], "optimizer=adam")


def test_a_view_of_80_by_24_shows_runs_curves_and_output_and_q_ends_it(tmp_path):
    from experiment.watch.screen import Watch

    make_run(tmp_path, "first", run_started=1.0, losses=(0.5, 0.2, float("nan")))
    second = make_run(tmp_path, "[b]second[/b]", run_started=2.0, losses=(0.5,), epochs=3)
    (second / "console.log").write_text("one\ntwo [red]words[/red]\n")
    system = Point("sys.process.ram.used", 1.5e9, 1, -1, 1.7e9)
    (second / "system.jsonl").write_text(json.dumps(vars(system)) + "\n")

    async def look() -> tuple[list[str], list[str], int | None]:
        app = Watch(functools.partial(chosen_records, tmp_path, [], "key!=x"))
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            await pilot.press("down")
            before = text_of(app)
            add_epoch(second, 2, 0.25)
            await pilot.pause(1.5)
            after = text_of(app)
            await pilot.press("q")
        return before, after, app.return_code

    before, after, code = asyncio.run(look())
    assert len(before) == 24
    assert any(line.split()[:1] == ["first"] and "finished" in line for line in before)
    assert any("[b]second[/b]" in line and "1/3" in line for line in before)
    assert any("loss, val_loss" in line and "accuracy, val_accuracy" in line for line in before)
    assert any("1.50 GB" in line for line in before)
    assert any("two [red]words[/red]" in line for line in before)
    assert any("[b]second[/b]" in line and "2/3" in line and "0.2500" in line for line in after)
    assert code == 0


def test_without_a_terminal_one_sentence_says_what_does_work(tmp_path, capsys):
    make_run(tmp_path, "a")
    with pytest.raises(SystemExit) as ended:
        command_line.main(["watch", "--runs", str(tmp_path)])
    assert ended.value.code == 2
    assert "watch needs a terminal; --json prints one look at the runs" in capsys.readouterr().err
    assert command_line.main(["watch", "a", "--json", "--runs", str(tmp_path)]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["status"], found["epoch"], found["val_loss"]) == ("a", "finished", 3, 0.3)
