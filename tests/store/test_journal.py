"""Whatever becomes of the files that a killed run left, what is whole in them is read and nothing twice."""

import dataclasses
import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from experiment.store import archive_format
from experiment.store import archive_writer as archives
from experiment.store.directory import RunDirectory
from experiment.store.files import write_json
from experiment.store.journal import MetricsJournal, Point, read_metrics

VALUES = st.floats() | st.integers(-5, 5).map(float)
POINTS = st.lists(
    st.builds(
        Point,
        name=st.sampled_from(["loss", "准确率", "val_loss"]),
        value=VALUES,
        step=st.integers(0, 9),
        epoch=st.integers(1, 3),
        time=st.just(0.0),
    ),
    max_size=20,
)
NO_DEADLINE = settings(deadline=None, max_examples=60)


def write_journal(folder: str, points: list[Point]) -> tuple[Path, list[Point]]:
    path = Path(folder) / "metrics.jsonl"
    return path, MetricsJournal(path).append(points)


def shown(points) -> list[str]:
    return [repr(dataclasses.astuple(point)) for point in points]


@NO_DEADLINE
@given(POINTS)
def test_a_journal_holds_each_point_once_and_gives_it_back_as_it_was(points):
    with tempfile.TemporaryDirectory() as folder:
        path, fresh = write_journal(folder, points)
        assert len({(point.name, point.step) for point in points}) == len(fresh)
        assert shown(read_metrics(path)) == shown(fresh)


@NO_DEADLINE
@given(POINTS, st.integers(0, 3000))
def test_a_journal_cut_anywhere_gives_its_whole_lines_and_can_be_gone_on_with(points, size):
    with tempfile.TemporaryDirectory() as folder:
        path, fresh = write_journal(folder, points)
        content = path.read_bytes()[:size]
        path.write_bytes(content)
        whole = shown(fresh)[: content.count(b"\n")]
        read = shown(read_metrics(path))
        assert read[: len(whole)] == whole
        assert len(read) <= len(whole) + 1  # a line that lacks nothing but its end may count
        MetricsJournal(path).append(points)
        assert sorted(shown(read_metrics(path))) == sorted(shown(fresh))


@NO_DEADLINE
@given(POINTS.filter(len), st.data())
def test_a_damaged_line_costs_that_line_alone(points, data):
    with tempfile.TemporaryDirectory() as folder:
        path, fresh = write_journal(folder, points)
        lines = path.read_bytes().splitlines(keepends=True)
        number = data.draw(st.integers(0, len(lines) - 1))
        lines[number] = data.draw(st.binary(max_size=40)).replace(b"\n", b"") + b"\n"
        path.write_bytes(b"".join(lines))
        expected = shown(fresh)
        del expected[number]
        assert shown(read_metrics(path)) == expected


def write_segment(directory: RunDirectory, messages: list[dict], damage: bytes) -> None:
    folder = directory.new_segment() / "tmp"
    folder.mkdir()
    text = "".join(json.dumps(message) + "\n" for message in messages)
    (folder / "messages.json").write_bytes(text.encode() + damage)


def message(point: Point) -> dict:
    return archives._point_message(point) | {"extra": "the SDK's own"}


@settings(NO_DEADLINE, max_examples=20)
@given(POINTS, st.data(), st.binary(max_size=30))
def test_segments_in_any_order_and_overlap_give_each_point_once(points, data, damage):
    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory(Path(folder) / ("a" * 40))
        directory.create()
        described: dict[str, object] = {
            "key": directory.key,
            "name": "n",
            "tags": [],
            "workspace": None,
            "project": "p",
            "mode": "offline",
        }
        times = {"started": 1.0, "ended": 2.0, "status": "running", "error": None}
        write_json(directory.run_file, described | times)
        write_json(directory.params_file, {"epochs": 3})
        fresh = MetricsJournal(directory.metrics_file).append(points)
        for _ in range(data.draw(st.integers(1, 3))):
            chosen = data.draw(st.permutations(fresh)) if fresh else []
            write_segment(
                directory, [message(point) for point in chosen[: data.draw(st.integers(0, 9))]], damage
            )
        assert archives.recover(directory) == []
        assert archive_format.check_archive(directory.archive) == []
        metrics = [
            m["payload"]
            for m in archive_format.archived_messages(directory.archive)
            if m["type"] == "metric_msg"
        ]
        found = sorted((m["metric"]["metricName"], m["metric"]["step"]) for m in metrics)
        assert found == sorted((point.name, point.step) for point in fresh)
