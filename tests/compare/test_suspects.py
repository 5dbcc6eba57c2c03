"""Suspected label errors: ranked from what runs held out, and given back as a table to train on."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from experiment import __main__ as command_line
from experiment.compare import suspects
from experiment.compare.comparison import compare_runs
from experiment.compare.report.page import render
from experiment.data import image_set, pictures
from experiment.errors import UserError
from experiment.store.directory_reader import read_record
from experiment.store.held_out import HeldOut, read_held_out, read_table, table_text, to_arrays
from experiment.store.record import RunRecord
from params.spec import Params
from tests.support.made_runs import make_run
from tests.support.pictures import encode, write_table

CLASSES = ["cat", "dog", "owl"]
COUNT, WRONG = 60, (7, 22)  # pictures, and those whose label is a wrong one


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def table(tmp_path):
    """Sixty small pictures, of which two have a wrong label, listed beside their folder."""
    (tmp_path / "data").mkdir()
    random, rows = np.random.default_rng(0), [["file", "label", "group"]]
    for number in range(COUNT):
        path = tmp_path / "data" / f"{number}.png"
        path.write_bytes(encode(random.integers(0, 256, (8, 8), np.uint8)))
        label = (number + (number in WRONG)) % 3
        rows.append([f"data/{number}.png", CLASSES[label], f"g{number // 2}"])
    return write_table(tmp_path / "labels.csv", rows)


def predicted(numbers, part="test") -> HeldOut:
    """Return what a good network says of pictures of these numbers: their true class, mostly."""
    random = np.random.default_rng(1)
    numbers = list(numbers)
    true = np.array([number % 3 for number in numbers])
    probabilities = random.dirichlet((1, 1, 1), len(true)) * 0.3
    probabilities[np.arange(len(true)), true] += 0.7
    labels = np.array([(number + (number in WRONG)) % 3 for number in numbers])
    return HeldOut([f"data/{number}.png" for number in numbers], [part] * len(true), labels, probabilities)


def run_with(held_out: HeldOut, tmp_path, name: str, source="labels.csv", **changes):
    """Write a run that held these pictures out; return its record."""
    path = make_run(tmp_path / "runs", name, **{"dataset": source} | changes)
    described = {"source": str(tmp_path / source), "fingerprint": "d" * 64, "classes": CLASSES}
    run = json.loads((path / "run.json").read_text())
    run["dataset"] |= described | {"train": 40, "validation": 0, "test": 20}
    (path / "run.json").write_text(json.dumps(run))
    columns = {"file-column": "file", "label-column": "label", "group-column": "group", "channels": 1}
    params = json.loads((path / "params.json").read_text()) | columns | {"image-size": 8}
    (path / "params.json").write_text(json.dumps(params))
    np.savez(
        path / "predictions.npz",
        labels=held_out.labels,
        probabilities=held_out.probabilities,
        **to_arrays(held_out),  # type: ignore[arg-type]
    )
    (path / "predictions.csv").write_text(table_text(held_out.rows(CLASSES)))
    return read_record(path)


def folds(tmp_path) -> list[RunRecord]:
    """Return three runs, each of which held out another third of the pictures."""
    return [run_with(predicted(range(fold, COUNT, 3)), tmp_path, f"fold {fold}") for fold in range(3)]


def test_wrong_labels_come_first_with_the_right_one_suggested(table, tmp_path):
    found = suspects.find_suspects(folds(tmp_path))
    assert (len(found.judged), found.runs, found.pictures) == (COUNT, 3, COUNT)
    assert {each.file for each in found.judged[:2]} == {f"data/{number}.png" for number in WRONG}
    assert all(each.flagged for each in found.judged[:2])
    assert [each.suggested for each in found.judged[:2]] == [CLASSES[1], CLASSES[1]]
    qualities = [each.quality for each in found.flagged]
    assert qualities == sorted(qualities)
    assert qualities[-1] < 0.5


def test_a_picture_that_several_runs_held_out_is_judged_by_their_mean(tmp_path):
    one = HeldOut(["a", "b"], ["test"] * 2, np.array([0, 1]), np.array([[0.9, 0.1, 0], [0.1, 0.9, 0]]))
    other = dataclasses.replace(one, probabilities=np.array([[0.1, 0.9, 0], [0.1, 0.9, 0]]))
    records = [run_with(each, tmp_path, f"run {place}") for place, each in enumerate((one, one, other))]
    found = {each.file: each.quality for each in suspects.find_suspects(records).judged}
    mean = (0.9 + 0.9 + 0.1) / 3
    assert found["a"] == pytest.approx((mean - (1 - mean) + 1) / 2, abs=1e-6)


def test_the_table_given_back_is_the_whole_set_and_trains_with_corrected_labels(table, tmp_path, capsys):
    run_with(predicted(range(30)), tmp_path, "half")
    out = tmp_path / "elsewhere" / "suspects.csv"
    out.parent.mkdir()
    runs = ["--runs", str(tmp_path / "runs")]
    assert command_line.main(["suspects", "half", "--csv", str(out), *runs]) == 0
    told = capsys.readouterr()
    assert "30 of 60 pictures were judged, by 1 run not trained on them" in told.err
    assert told.out.splitlines()[1].startswith(("data/7.png ", "data/22.png "))
    header, *rows = csv.reader(out.read_text(encoding="utf-8").splitlines())
    assert header == ["file", "label", "group", "suggested", "quality", "suspect"]
    assert len(rows) == COUNT
    assert {row[0] for row in rows[:2]} == {f"../data/{number}.png" for number in WRONG}
    for row in rows[:2]:
        row[1] = row[3]
    write_table(out, [header, *rows])
    values = Params(dataset=str(out), image_size=8, channels=1).model_dump(by_alias=True)
    inspection = pictures.inspect(str(out), values.__getitem__)
    assert image_set.reasons(inspection) == []
    for file in inspection.files:
        assert file.class_name == CLASSES[int(file.path.split("/")[-1].removesuffix(".png")) % 3]


def test_the_report_shows_suspects_as_pictures(table, tmp_path):
    records = folds(tmp_path)
    page = render(compare_runs(records))
    section = page.partition('<section id="suspects"')[2].partition("</section>")[0]
    assert section.count("data:image/png;base64,") == len(suspects.find_suspects(records).flagged)
    assert "60 of 60 pictures were judged" in section
    assert "<b>owl</b> → dog?" in section
    table.unlink()
    (tmp_path / "data" / "7.png").unlink()
    assert "not here" in render(compare_runs(records))
    alone = [dataclasses.replace(records[0], params={"dataset": "mnist"})]
    assert 'id="suspects"' not in render(compare_runs(alone))


def test_runs_that_do_not_go_together_or_keep_no_files_are_refused(table, tmp_path, monkeypatch):
    record = run_with(predicted(range(30)), tmp_path, "half")
    other = dataclasses.replace(record, run={**record.run, "dataset": {"fingerprint": "x"}})
    with pytest.raises(UserError, match="saw other data than"):
        suspects.find_suspects([record, other])
    without = read_record(make_run(tmp_path / "runs", "arrays", predicted=np.zeros(200, int)))
    with pytest.raises(UserError, match="keeps no predictions by file: only finished runs on pictures do"):
        suspects.find_suspects([without])
    table.unlink()
    with pytest.raises(UserError, match="the pictures of run .* are not in '.*labels.csv' any more"):
        suspects.write_table(suspects.find_suspects([record]), record, tmp_path / "out.csv")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # noqa: ARG005
    with pytest.raises(UserError, match="need cleanlab: pip install"):
        suspects.find_suspects([record])


@pytest.mark.parametrize(
    "content", [b"", b"file,label\na,b\n", b"file,label,predicted,probability,part\na,b,c,x,test\n", b"\xff"]
)
def test_a_damaged_table_of_predictions_is_one_sentence(content):
    with pytest.raises(UserError, match=r"predictions.csv cannot be read: "):
        read_table(content, "predictions.csv")


@pytest.mark.parametrize(
    "damage",
    [
        {"held_out_files": np.array([b"a"])},
        {"held_out_labels": np.array([9, 9])},
        {"held_out_probabilities": np.array(["x", "y"])},
        {"held_out_files": np.array([b"\xff", b"a"])},
    ],
)
def test_damaged_predictions_by_file_are_one_sentence(tmp_path, damage):
    held_out = HeldOut(["a", "b"], ["test"] * 2, np.array([0, 1]), np.eye(2))
    np.savez(tmp_path / "x.npz", **to_arrays(held_out) | damage)
    with pytest.raises(UserError, match="it cannot be read: "):
        read_held_out((tmp_path / "x.npz").read_bytes(), "it")


def test_mistakes_of_a_run_without_files_are_one_sentence(tmp_path, capsys):
    make_run(tmp_path / "runs", "arrays")
    with pytest.raises(SystemExit):
        command_line.main(["show", "arrays", "--mistakes", "--runs", str(tmp_path / "runs")])
    assert "has no predictions.csv: only finished runs on pictures have one" in capsys.readouterr().err
