"""Folders of pictures as people have them: parts, classes and what lies beside them are found or named."""

import itertools
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiment.data import image_folder, image_layout, image_report, image_set
from experiment.data.image_fit import Target
from experiment.data.splits import split_arrays
from params.spec import Params
from tests.support.pictures import write_layout


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def inspect(folder: Path) -> image_set.Inspection:
    return image_folder.inspect_folder(folder, Target(8, 8, 1))


def classes(below: str, count: int = 2, names: Iterable[str] = ("cat", "dog")) -> list[str]:
    """Return paths of so many pictures of each class."""
    return [f"{below}{name}/{number}.png" for name in names for number in range(count)]


def counts(inspection: image_set.Inspection) -> dict[str, int]:
    return {
        part: len(list(files)) for part, files in itertools.groupby(inspection.files, lambda file: file.part)
    }


@pytest.mark.parametrize(
    ("train", "other", "part"),
    [
        ("Training/", "Testing/", "test"),
        ("training/", "testing/", "test"),
        ("seg_train/seg_train/", "seg_test/seg_test/", "test"),
        ("training_set/training_set/", "test_set/test_set/", "test"),
        ("train/", "valid/", "validation"),
        ("TRAIN/", "VAL/", "validation"),
        ("train/", "validation_set/", "validation"),
        ("archive/data/train/", "archive/data/test/", "test"),
        ("train/images/", "test/images/", "test"),
    ],
)
def test_parts_are_recognised_by_what_people_call_them(tmp_path, train, other, part):
    inspection = inspect(write_layout(tmp_path / "x", classes(train) + classes(other, 1)))
    assert counts(inspection) == {"train": 4, part: 2}
    assert inspection.class_names == ("cat", "dog")
    assert image_set.reasons(inspection) == []


def test_a_folder_that_is_wrapped_in_others_is_read_and_named(tmp_path):
    inspection = inspect(write_layout(tmp_path / "x", ["LICENSE", *classes("archive/pictures/")]))
    assert counts(inspection) == {"train": 4}
    assert inspection.notices == ["archive/pictures/ is what is read: nothing else holds folders"]


@pytest.mark.parametrize(
    "beside", ["test/1.png", "test/test/1.png", "seg_pred/1.png", "seg_pred/seg_pred/1.png"]
)
def test_a_part_without_classes_is_left_out_and_named(tmp_path, beside):
    inspection = inspect(write_layout(tmp_path / "x", [*classes("train/"), beside]))
    assert counts(inspection) == {"train": 4}
    assert image_set.reasons(inspection) == []
    assert f"notice     {beside.split('/')[0]}/ is left out" in image_report.pictures_text(inspection)


def test_a_class_may_be_called_as_a_part_would_be(tmp_path):
    inspection = inspect(write_layout(tmp_path / "x", classes("", names=("bus", "car", "train"))))
    assert inspection.class_names == ("bus", "car", "train")
    assert image_set.reasons(inspection) == []
    assert inspection.notices == ["train: taken as a class, though called as a part would be"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (
            ["train/cat.0.png", "train/dog.0.png"],
            "move each into a folder named after its class, as their names ",
        ),
        (["0.png", "train.csv"], "; labels in a table (train.csv) are read where"),
        (
            classes("train/") + classes("test/") + classes("old/"),
            "old/ is called neither train, validation nor",
        ),
        (classes("train/") + classes("Training/"), "Training/ and train/ are both the train part: keep one"),
        (
            classes("test/") + classes("val/"),
            "sub-folders are test, val: parts, of which none is called train",
        ),
    ],
)
def test_of_what_cannot_be_made_out_it_is_said_what_was_found_and_what_would_do(tmp_path, paths, message):
    assert message in " ".join(image_set.reasons(inspect(write_layout(tmp_path / "x", paths))))


NAMES = st.sampled_from(["train", "Training", "test", "val", "cat", "dog", "data", "seg_test"])


@settings(max_examples=100, deadline=None)
@given(
    st.sets(
        st.lists(NAMES, max_size=3).map(lambda names: "/".join([*names, "1.png"])), min_size=1, max_size=8
    )
)
def test_however_pictures_lie_each_is_in_a_class_or_spoken_of(paths):
    with tempfile.TemporaryDirectory() as folder:
        layout = image_layout.find_layout(write_layout(Path(folder).resolve(), paths))
    classes = {place.folder for place in layout.places}
    said = " ".join(["", *layout.notices, *layout.problems])
    for path in paths:
        picture = layout.root / path
        spoken_of = any(f" {layout.shown(above)}/ " in said for above in picture.parents[: path.count("/")])
        assert picture in layout.outside or classes & set(picture.parents) or spoken_of, path
    assert len(layout.outside) == len(set(layout.outside))


def test_what_systems_leave_is_named_once_and_stops_nothing(tmp_path):
    left = [
        "cat/Thumbs.db",
        "cat/thumbs.db",
        "dog/desktop.ini",
        "dog/.directory",
        "cat/@eaDir/1.png",
        "THUMBS.DB",
    ]
    inspection = inspect(write_layout(tmp_path / "x", classes("") + left))
    assert (counts(inspection), image_set.reasons(inspection)) == ({"train": 4}, [])
    (line,) = [each for each in image_report.pictures_text(inspection).splitlines() if "left out" in each]
    assert line.endswith("what systems leave: @eaDir 1, THUMBS.DB 1, Thumbs.db 1, desktop.ini 1, thumbs.db 1")


def test_faults_of_one_reason_and_one_ending_are_one_line(tmp_path):
    sidecars = [f"cat/{number}.png.json" for number in range(50)]
    folder = write_layout(tmp_path / "x", classes("") + sidecars)
    for number in range(4):
        (folder / "dog" / f"lfs{number}.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    sidecar, pointer = image_set.reasons(inspect(folder))
    assert sidecar.startswith(
        "cat/0.png.json, cat/1.png.json, cat/10.png.json and 47 more .json files: no JPEG"
    )
    assert "and 1 more .png files: a Git LFS pointer instead of the picture" in pointer


def test_lines_of_a_kind_that_cannot_be_one_are_cut(tmp_path):
    folder = write_layout(tmp_path / "x", classes("train/", 30) + ["test/cat/x.png", "test/dog/x.png"])
    for path in (folder / "train" / "cat").iterdir():
        (folder / "train" / "dog" / f"copy-{path.name}").write_bytes(path.read_bytes())
    *lines, last = image_set.reasons(inspect(folder))
    assert len(lines) == 20
    assert last == "… and 10 more of that kind (all of them: inspect --json)"


def test_names_are_one_line_without_escapes(tmp_path):
    latin = os.fsdecode(b"caf\xe9")
    names = ("two\nlines", "red\x1b[31m", latin)
    inspection = inspect(write_layout(tmp_path / "x", classes("", names=names)))
    assert inspection.class_names == (r"caf\xe9", r"red\x1b[31m", r"two\nlines")
    assert all(file.path.isprintable() for file in inspection.files)
    assert len(image_report.pictures_text(inspection).splitlines()) == 4


@pytest.mark.parametrize("below", ["", "train/"])
def test_a_class_or_part_that_cannot_be_listed_is_a_fault_of_its_own(tmp_path, monkeypatch, below):
    folder = write_layout(tmp_path / "x", classes(below) + ["owl/1.png" if not below else "test/cat/9.png"])
    closed = "test" if below else "owl"
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == closed:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (line,) = [each for each in image_set.reasons(inspect(folder)) if "cannot be listed" in each]
    assert line == f"{closed}: a folder that cannot be listed: Permission denied (skip-bad leaves it out)"


@pytest.mark.parametrize(
    ("parts", "validation", "line"),
    [
        (("",), "test", "train 32, test 8 (held out)"),
        (("",), 0.25, "train 24, validation 8 (held out), test 8 (held out)"),
        (("train/", "test/"), "test", "train 40, test 40"),
        (("train/", "test/"), 0.25, "train 30, validation 10 (held out), test 40"),
        (("train/", "val/"), "folder", "train 32, validation 40, test 8 (held out)"),
    ],
)
def test_pictures_that_are_held_out_are_not_counted_as_training_ones(tmp_path, parts, validation, line):
    folder = write_layout(tmp_path / "x", [path for part in parts for path in classes(part, 20)])
    inspection = inspect(folder)
    params = Params(dataset="x/", image_size=8, channels=1, validation=validation)
    get_parameter = params.model_dump(by_alias=True).__getitem__
    split = split_arrays(image_set.load_images(inspection, get_parameter, 0), get_parameter)
    assert image_report.split_text(inspection, split).split(maxsplit=1) == ["split", line]
    assert image_report.facts(inspection, split)["split"]["train"] == len(split.train)
