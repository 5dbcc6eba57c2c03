"""Tables of labels: what is read as people write it, what is found wrong, and groups that stay whole."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiment.data import image_folder, image_report, image_set, labels, pictures
from experiment.data.image_fit import Target
from experiment.data.splits import split_arrays
from experiment.errors import UserError
from experiment.system.names import printable
from params.spec import Params
from tests.data.test_image import png_claiming
from tests.support.pictures import write_digits, write_table


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def parameters(**values):
    named: dict[str, Any] = {"dataset": "labels.csv", "image_size": 28, "channels": 1} | values
    return Params(**named).model_dump(by_alias=True).__getitem__


def inspect(table: Path, **values) -> image_set.Inspection:
    return pictures.inspect(str(table), parameters(**values))


def load(table: Path, **values):
    return image_set.load_images(inspect(table, **values), parameters(**values), 10**9)


def wrong(table: Path, **values) -> list[str]:
    return image_set.reasons(inspect(table, **values))


@pytest.fixture
def folder(digits, tmp_path) -> Path:
    """Twenty digits of two classes, ten each."""
    few = {"x_train": digits["x_train"][:80:4], "y_train": digits["y_train"][:80:4]}
    return write_digits(tmp_path / "pictures", few, ("train",), 2)


@pytest.fixture
def rows(folder) -> list[list[str]]:
    """A row for each picture, file and label, with paths relative to the folder."""
    return [[path.relative_to(folder).as_posix(), path.parent.name] for path in sorted(folder.rglob("*.png"))]


def in_folder(folder: Path, header: list[str], rows, **named) -> Path:
    return write_table(folder / "labels.csv", [header, *rows], **named)


def test_a_table_is_the_set_of_the_folder_it_lists(folder, rows):
    table = in_folder(folder, ["file", "label"], rows)
    arrays = load(table)
    whole = image_folder.inspect_folder(folder, Target(28, 28, 1))
    as_folder = image_set.load_images(whole, parameters(dataset="pictures/"), 10**9)
    assert (arrays.name, as_folder.name) == ("labels.csv", "pictures/")
    assert arrays.fingerprint == as_folder.fingerprint
    split = split_arrays(arrays, parameters())
    assert (
        split.split_fingerprint == split_arrays(as_folder, parameters(dataset="pictures/")).split_fingerprint
    )
    assert split.test.files is not None
    named = [path.split("/")[0] for path in split.test.files]
    assert [split.class_names[label] for label in split.test.labels] == named


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_is_read_as_programs_save_it(folder, rows, delimiter, encoding):
    rows = [[file, f" {label} ", "a, b; c"] for file, label in rows]
    table = in_folder(folder, [" file", "label ", "remark"], rows, delimiter=delimiter, encoding=encoding)
    table.write_bytes(table.read_bytes() + f"\r\n{delimiter * 2}\r\n".encode())  # as spreadsheets leave it
    inspection = inspect(table)
    assert image_set.reasons(inspection) == []
    assert inspection.class_names == ("一", "零")
    assert list(inspection.notices) == ["columns that are not read: remark"]


def test_columns_may_have_other_names_and_paths_may_lead_elsewhere(folder, rows, tmp_path):
    rows = [
        [str(folder / file), label, "train" if place % 5 else "test"]
        for place, (file, label) in enumerate(rows)
    ]
    table = write_table(tmp_path / "elsewhere" / "x.TSV", [["image", "breed", "set"], *rows], "\t")
    arrays = load(table, file_column="image", label_column="breed", split_column="set")
    assert (len(arrays.train), arrays.test and len(arrays.test)) == (16, 4)


@pytest.mark.parametrize(
    ("header", "values", "message"),
    [
        (["file", "lable"], {}, "row 1: no column 'label' among file, lable: did you mean 'lable'?"),
        (["id", "breed"], {}, "row 1: no column 'file' among id, breed: --file-column says which it is"),
        (["file", "label"], {"group_column": "patient"}, "row 1: no column 'patient' among file, label"),
        (["file", "label", "label"], {}, "row 1: column 'label' stands there twice"),
        (
            ["file", "label"],
            {"label_column": "file"},
            "row 1: --file-column and --label-column name the same",
        ),
    ],
)
def test_a_column_that_is_not_there_is_one_sentence(folder, header, values, message):
    with pytest.raises(UserError, match=r"labels.csv', row 1: ") as caught:
        inspect(in_folder(folder, header, [["x.png"] * len(header)]), **values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,label\na.png,caf\xe9\n", "row 2: byte 0xe9 is no UTF-8: save it as UTF-8"),
        ("file,label\n".encode("utf-16"), "in UTF-16: save it as UTF-8"),
        (b'file,label\na.png,"cat\n', "row 2: no CSV: unexpected end of data"),
        (b"PK\x03\x04 and more", "a spreadsheet or a zip archive: save the table as CSV"),
        (b"", "row 1: no column 'file' among none"),
        (b"file,label\n", "column label: 0 labels; there must be two at least"),
    ],
)
def test_a_file_that_is_no_table_is_one_sentence(tmp_path, content, message):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(UserError) as caught:
        load(tmp_path / "labels.csv")
    assert message in str(caught.value)


@pytest.fixture
def ten_faults(folder, rows) -> Path:
    """A table of twenty pictures with ten different faults."""
    rows = [[*row, "train", f"p{place // 2}"] for place, row in enumerate(rows)]
    for place in (8, 9, 18, 19):
        rows[place][2] = "test"
    rows[0][0] = "一/gone.png"  # row 2
    rows[1][1] = ""  # row 3
    rows[4][2] = "Train"  # row 6
    rows[5][2] = "tset"  # row 7
    rows[8][3] = "p1"  # row 10; p1 trains in row 5
    rows[12][1] = "零 "  # row 14, no fault: spaces around a cell are not part of it
    rows[13][1] = "z é ro"
    rows[14][1] = "Zéro"  # with the row before: one label in two spellings
    rows.append(["./一/图002.png", "零", "train", "p1"])  # row 22; row 4 lists it as 一
    shutil.copy(folder / "零" / "图007.png", folder / "twin.png")
    rows.append(["twin.png", "一", "train", "p8"])  # row 23; row 19 has its pixels as 零
    (folder / "bomb.png").write_bytes(png_claiming(50_000, 40_000))
    rows.append(["bomb.png", "一", "train", "p20"])  # row 24
    rows.append(["cut, and more.png", "一", "train", "p20", "x"])  # row 25
    return in_folder(folder, ["file", "label", "split", "group"], rows)


FAULTS = [
    "row 25: 5 cells, where row 1 has 4 (put a cell that holds ',' into quotes)",
    "row 3, label '': empty",
    "rows 4 and 22, file '一/图002.png': listed twice under '一', '零'",
    "row 15, label 'z é ro': differs only in case or spaces from 'Zéro' (row 16)",
    "row 7, split 'tset': should be train, validation or test",
    "row 6, split 'Train': another spelling of 'train', which is train (rows 2, 3, 4, 5, 8 and 12 more)",
    "group 'p1': in train (rows 4, 5 and 22) and in test (row 10), so it crosses parts",
    "row 2, file '一/gone.png': no such file (skip-bad leaves it out)",
    "row 24, file 'bomb.png': more than 100,000,000 pixels, which is the most that is decoded (skip-bad",
    "row 19, file '零/图007.png' = row 23, file 'twin.png': the same picture (allow-duplicates lets it be)",
]


def test_every_fault_is_named_with_its_row_and_column_in_one_error(ten_faults):
    with pytest.raises(UserError, match="labels.csv': 1[0-9] things are wrong with it") as caught:
        load(ten_faults)
    lines = str(caught.value).split("\n  ")[1:]
    for expected in FAULTS:
        assert [line for line in lines if line.startswith(expected)], (expected, lines)
    # The pair of spellings is a class of its own, which the test part lacks; nothing else is wrong.
    others = [line for line in lines if not any(line.startswith(expected) for expected in FAULTS)]
    assert sorted(others) == [
        "label 'Zéro': in train, not in test",
        "label 'z é ro': in train, not in test",
    ]


def test_the_report_holds_every_fault_where_only_some_are_printed(folder, rows):
    rows += [[f"./{file}", label] for file, label in rows] * 1
    rows += [[f"gone-{place}.png", "零"] for place in range(30)]
    rows += [[f"copy-{place}.png", "零"] for place in range(25) for _ in range(2)]
    inspection = inspect(in_folder(folder, ["file", "label"], rows))
    assert sum("listed twice" in line for line in image_set.reasons(inspection)) == 20
    assert sum("listed twice" in line for line in image_report.facts(inspection)["problems"]) == 45
    (line,) = [line for line in image_set.reasons(inspection) if "no such file" in line]
    assert "row 42, file 'gone-0.png', " in line
    assert "more .png files: no such file (skip-bad leaves them out)" in line


def test_skip_bad_leaves_out_the_missing(folder, rows):
    rows[0][0] = "gone.png"
    table = in_folder(folder, ["file", "label"], rows)
    with pytest.raises(UserError, match="row 2, file 'gone.png': no such file"):
        load(table)
    assert len(load(table, skip_bad=True).train) == 19


def test_an_empty_column_of_parts_or_groups_counts_as_absent(folder, rows):
    table = in_folder(folder, ["file", "label", "split", "group"], [[*row, "", ""] for row in rows])
    inspection = inspect(table)
    assert image_set.reasons(inspection) == []
    assert set(inspection.columns) == {"file-column", "label-column"}


@pytest.mark.parametrize("validation", [0.1, 0.25])
def test_a_split_by_seed_never_divides_a_group_nor_loses_a_class(folder, rows, validation):
    groups = [f"p{place % 7}" for place in range(20)]  # each holds pictures of both classes
    shutil.copy(folder / rows[0][0], folder / "copy.png")
    rows = [[*row, group] for row, group in zip(rows, groups, strict=True)]
    table = in_folder(folder, ["file", "label", "group"], [*rows, ["copy.png", rows[0][1], "alone"]])
    of = {row[0]: row[2] for row in rows} | {"copy.png": groups[0]}  # equal pixels join groups
    arrays = load(table)
    for seed in range(8):
        split = split_arrays(arrays, parameters(split_seed=seed, validation=validation))
        files = [part.files for part in (split.train, split.validation, split.test)]
        parts = [{of[file] for file in each} for each in files if each is not None]
        assert not parts[0] & parts[1]
        assert not (parts[0] | parts[1]) & parts[2]
        assert len(split.train) + len(split.validation) + len(split.test) == 21
        assert set(split.train.labels) == {0, 1}


def test_groups_too_few_or_too_large_for_a_split_are_one_sentence(folder, rows):
    table = in_folder(folder, ["file", "label", "group"], [[*row, "one"] for row in rows])
    with pytest.raises(UserError, match=r"cannot be split for its test set: 1 group is too few"):
        split_arrays(load(table), parameters())
    table = in_folder(folder, ["file", "label", "group"], [[*row, row[1]] for row in rows])
    with pytest.raises(UserError, match="all of '.' would be held out; it has 1 group"):
        split_arrays(load(table), parameters())


def test_a_table_of_a_finished_run_is_loaded_again_by_the_columns_that_it_had(folder, rows):
    table = in_folder(folder, ["file", "label"], rows)
    logged: dict[str, Any] = {"image-size": 28, "channels": 1, "skip-bad": False, "allow-duplicates": False}
    logged |= {"file-column": "file", "label-column": "label"}
    assert pictures.load_set(str(table), logged.__getitem__).fingerprint == load(table).fingerprint


def test_a_pipe_or_a_folder_called_csv_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    assert not labels.is_labels(str(tmp_path / "pipe.csv"))
    assert not labels.is_labels(str(tmp_path / "folder.csv"))
    assert pictures.is_pictures(str(tmp_path / "folder.csv"))


CELLS = st.text(alphabet=st.sampled_from("ab,;\t\"' \n\r\x00é\u202e/."), max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=80)
    | st.lists(CELLS, max_size=12).map(lambda cells: f"file,label\n{','.join(cells)}".encode())
)
def test_whatever_is_in_a_file_it_is_a_table_or_one_sentence(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "labels.csv")
        path.write_bytes(content)
        said: list[str] = []
        try:
            said = image_set.reasons(inspect(path))
        except UserError as error:
            said = [str(error)]
        assert said
        assert said == [printable(line) for line in said]
