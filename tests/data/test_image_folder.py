"""Folders of pictures: what is found wrong before training, what is cached, how parts become a split."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiment.data import image_cache, image_folder, image_report, image_set, pictures
from experiment.data.arrays import Arrays, StoredImages
from experiment.data.image_fit import Target
from experiment.data.splits import split_arrays
from experiment.run import inputs
from params.spec import Params
from tests.data.test_image import png_claiming
from tests.support.pictures import NAMES, encode, write_class, write_digits


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def parameters(**values):
    return Params(**{"dataset": "pictures/"} | values).model_dump(by_alias=True).__getitem__


def inspect(folder: Path, size: int = 28, channels: int = 1) -> image_set.Inspection:
    return image_folder.inspect_folder(folder, Target(size, size, channels))


def load(folder: Path, memory: int = 10**9, **values) -> Arrays:
    values = {"image_size": 28, "channels": 1} | values
    inspection = inspect(folder, values["image_size"], values["channels"])
    return image_set.load_images(inspection, parameters(**values), memory)


@pytest.fixture
def two_classes(digits, tmp_path) -> Path:
    """A sound folder of two classes, ten pictures each, right below it."""
    return write_digits(
        tmp_path / "pictures",
        {"x_train": digits["x_train"][:80:4], "y_train": digits["y_train"][:80:4]},
        ("train",),
        2,
    )


def test_a_folder_of_parts_becomes_the_arrays_it_was_made_from(digits, tmp_path):
    folder = write_digits(tmp_path / "数字", digits)
    arrays = load(folder)
    assert arrays.name == "数字/"
    assert arrays.class_names == tuple(sorted(NAMES))
    order = [NAMES.index(name) for name in arrays.class_names]
    assert arrays.test is not None
    for part, examples in (("train", arrays.train), ("test", arrays.test)):
        expected = np.concatenate([digits[f"x_{part}"][digits[f"y_{part}"] == label] for label in order])
        np.testing.assert_array_equal(examples.images[:][..., 0], expected)
        assert np.bincount(examples.labels).tolist() == [len(expected) // 10] * 10
    assert (arrays.train.images.dtype, arrays.train.labels.dtype) == (np.uint8, np.int32)


def test_a_folder_without_parts_is_split_by_its_seed_and_stratified(two_classes):
    arrays = load(two_classes)
    first, second = (split_arrays(arrays, parameters(split_seed=seed)) for seed in (1, 2))
    assert (len(first.train), len(first.test)) == (16, 4)
    assert np.bincount(first.test.labels).tolist() == [2, 2]
    assert first.split_fingerprint != second.split_fingerprint


def test_a_folder_of_idx_files_is_no_folder_of_pictures(tmp_path):
    (tmp_path / "t10k-images-idx3-ubyte.gz").touch()
    assert not image_folder.is_image_folder(str(tmp_path))
    assert not image_folder.is_image_folder("mnist")
    (tmp_path / "t10k-images-idx3-ubyte.gz").unlink()
    assert image_folder.is_image_folder(str(tmp_path))


@pytest.fixture
def ten_faults(digits, tmp_path) -> Path:
    """A folder of ten digits in two parts with ten different faults."""
    folder = write_digits(tmp_path / "faulty", digits)
    (outside := tmp_path / "secret.png").write_bytes(encode(digits["x_train"][0]))
    train = folder / "train"
    whole = (train / "一" / "图000.png").read_bytes()
    (train / "一" / "a-text.jpg").write_text("not a picture")
    (train / "一" / "b-cut.png").write_bytes(whole[:-60])
    (train / "一" / "c-empty.png").touch()
    (train / "一" / "d-bomb.png").write_bytes(png_claiming(50_000, 40_000))
    (train / "一" / "e-link.png").symlink_to(outside)
    (train / "一" / "f-folder").mkdir()
    (train / "一" / "g-broken-link.png").symlink_to("nowhere.png")
    os.mkfifo(train / "一" / "h-pipe.png")
    shutil.copy(train / "七" / "图003.png", folder / "test" / "七" / "same.png")
    (train / "十").mkdir()
    return folder


FAULTS = [
    "train/十: an empty class",
    "test/十: missing, while train/ has it",
    "train/一/a-text.jpg: no JPEG, PNG, BMP, WebP or GIF",
    "train/一/b-cut.png: ",
    "train/一/c-empty.png: an empty file",
    "train/一/d-bomb.png: ",
    "train/一/e-link.png: a symbolic link that leaves the folder",
    "train/一/f-folder: a folder inside a class",
    "train/一/g-broken-link.png: a symbolic link to nothing",
    "train/一/h-pipe.png: not a regular file",
    "test/七/same.png = train/七/图003.png: the same picture",
]


def test_every_fault_is_named_with_its_reason_in_one_error(ten_faults):
    with pytest.raises(ValueError, match="11 things are wrong") as caught:
        load(ten_faults)
    first, *lines = str(caught.value).split("\n  ")
    assert str(ten_faults) in first
    assert len(lines) == len(FAULTS)
    for expected in FAULTS:
        assert [line for line in lines if line.startswith(expected)], expected


def test_skip_bad_leaves_out_what_cannot_be_read_and_nothing_else(ten_faults, digits):
    with pytest.raises(ValueError, match="3 things are wrong"):
        load(ten_faults, skip_bad=True)
    (ten_faults / "train" / "十").rmdir()
    arrays = load(ten_faults, skip_bad=True, allow_duplicates=True)
    assert (len(arrays.train), arrays.test and len(arrays.test)) == (400, 101)


def test_the_same_picture_in_two_classes_is_an_error_unless_allowed(two_classes):
    shutil.copy(two_classes / "零" / "图000.png", two_classes / "一" / "twin.png")
    with pytest.raises(ValueError, match="一/twin.png = 零/图000.png: the same picture"):
        load(two_classes)
    assert len(load(two_classes, allow_duplicates=True).train) == 21


def test_copies_within_a_class_are_never_divided_by_a_split(two_classes):
    for path in list((two_classes / "零").iterdir()):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    arrays = load(two_classes)
    for seed in range(5):
        split = split_arrays(arrays, parameters(split_seed=seed, validation=0.3))
        parts = [{image.tobytes() for image in part.images} for part in (split.train, split.validation)]
        assert len(split.train) + len(split.validation) + len(split.test) == 30
        assert not parts[0] & parts[1]
        assert not (parts[0] | parts[1]) & {image.tobytes() for image in split.test.images}


@pytest.fixture
def photographs(tmp_path) -> Path:
    """A folder of two classes of twenty colour pictures in two parts, no two alike."""
    random = np.random.default_rng(0)
    for part, count in (("train", 15), ("test", 5)):
        for name in ("cat", "dog"):
            write_class(tmp_path / "x" / part / name, random.integers(0, 256, (count, 20, 20, 3), np.uint8))
    return tmp_path / "x"


@pytest.mark.parametrize("kind", ["bmp", "png with a text", "jpeg with a comment"])
def test_the_same_pixels_in_other_bytes_are_the_same_picture(photographs, kind):
    pixels = np.asarray(Image.open(photographs / "train" / "cat" / "图000.png"))
    if kind == "jpeg with a comment":
        (photographs / "train" / "cat" / "图000.png").write_bytes(encode(pixels, "JPEG"))
    content = {
        "bmp": lambda: encode(pixels, "BMP"),
        "png with a text": lambda: encode(pixels, dpi=(72, 72)),
        "jpeg with a comment": lambda: encode(pixels, "JPEG", comment=b"mine"),
    }
    (photographs / "test" / "cat" / "twin").write_bytes(content[kind]())
    with pytest.raises(
        ValueError, match="test/cat/twin = train/cat/图000.png: the same picture once decoded"
    ):
        load(photographs, channels=3)


def test_the_same_pixels_in_other_bytes_are_never_divided_by_a_split(two_classes):
    for path in list((two_classes / "零").iterdir()):
        path.with_suffix(".bmp").write_bytes(encode(np.asarray(Image.open(path)), "BMP"))
    assert "10 files repeat another's picture, 10 of them by other bytes" in image_report.pictures_text(
        inspect(two_classes)
    )
    arrays = load(two_classes)
    for seed in range(5):
        split = split_arrays(arrays, parameters(split_seed=seed))
        train = {image.tobytes() for image in split.train.images}
        assert not train & {image.tobytes() for image in split.test.images}


def write_deep(folder: Path, images: np.ndarray) -> None:
    """Write images as PNG files of 16 bits in two classes."""
    for number, image in enumerate(images):
        path = folder / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(image.astype(np.uint16)))


@pytest.mark.parametrize("depth", [8, 12, 16])
def test_grey_of_16_bits_is_scaled_by_what_all_of_the_set_hold(digits, tmp_path, depth):
    images = digits["x_train"][::40]
    write_deep(tmp_path / "x", images.astype(np.uint16) << (depth - 8))
    (tmp_path / "x" / "cat" / "of-8-bits.png").write_bytes(encode(digits["x_test"][0]))
    inspection = inspect(tmp_path / "x")
    assert inspection.depth == depth
    train = load(tmp_path / "x").train.images[..., 0]
    np.testing.assert_array_equal(np.sort(train, axis=0), np.sort([*images, digits["x_test"][0]], axis=0))
    assert ("of 16 bits of grey" in image_report.pictures_text(inspection)) == (depth < 16)


def test_one_deeper_picture_makes_the_rule_for_all(digits, tmp_path):
    write_deep(tmp_path / "x", digits["x_train"][::40])
    (tmp_path / "x" / "cat" / "deep.png").write_bytes(encode(digits["x_test"][0].astype(np.uint16) * 256))
    inspection = inspect(tmp_path / "x")
    assert inspection.depth == 16
    assert image_report.facts(inspection)["constant"]


def test_blank_pictures_are_reported_and_in_two_classes_refused(two_classes):
    for number, shade in enumerate((0, 255)):
        path = two_classes / "零" / f"blank{number}.png"
        path.write_bytes(encode(np.full((9, 9), shade, np.uint8)))
    assert "2 pictures are of a single colour: 零/blank0.png, 零/blank1.png" in image_report.pictures_text(
        inspect(two_classes)
    )
    assert len(load(two_classes).train) == 22
    shutil.copy(two_classes / "零" / "blank0.png", two_classes / "一" / "black.png")
    with pytest.raises(
        ValueError, match="一/black.png = 零/blank0.png: the same picture, of a single colour"
    ):
        load(two_classes)


@pytest.mark.parametrize("fault", ["one class", "nothing", "loose files"])
def test_a_folder_that_is_laid_out_otherwise_is_refused(two_classes, tmp_path, fault):
    if fault == "one class":
        shutil.rmtree(two_classes / "零")
    if fault == "nothing":
        (tmp_path / "x").mkdir()
    if fault == "loose files":
        shutil.copytree(two_classes / "零", tmp_path / "x")
    message = "1 class folder: " if fault == "one class" else "0 class folders: there must be two"
    with pytest.raises(ValueError, match=message):
        load(two_classes if fault == "one class" else tmp_path / "x")


def test_a_class_that_only_the_test_part_has_is_refused(digits, tmp_path):
    folder = write_digits(tmp_path / "x", digits, classes=3)
    write_class(folder / "test" / "九", digits["x_test"][-3:])
    with pytest.raises(ValueError, match="test/九: a class that train/ has not"):
        load(folder)


def test_a_link_to_a_folder_is_refused_even_inside(two_classes):
    (two_classes / "二").symlink_to(two_classes / "零")
    with pytest.raises(ValueError, match="二: a symbolic link to a folder"):
        load(two_classes)


def test_a_link_that_stays_in_the_folder_is_read(two_classes):
    (two_classes / "零" / "again.png").symlink_to("图000.png")
    assert len(load(two_classes).train) == 21


def test_a_file_name_that_is_not_utf8_is_reported_printably(two_classes):
    name = os.fsencode(two_classes / "零") + b"/\xff.png"
    Path(os.fsdecode(name)).write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"零/\\xff.png: no JPEG") as caught:
        load(two_classes)
    str(caught.value).encode()


def test_hidden_files_are_no_pictures(two_classes):
    (two_classes / "零" / ".DS_Store").write_text("x")
    (two_classes / ".git").mkdir()
    assert len(load(two_classes).train) == 20


def test_the_report_tells_counts_formats_modes_sizes_and_balance(two_classes, digits):
    write_class(two_classes / "零", digits["x_train"][100:135], "more")
    (two_classes / "零" / "wide.jpg").write_bytes(encode(np.zeros((20, 90, 3), np.uint8), "JPEG"))
    (two_classes / "README.txt").write_text("x")
    inspection = inspect(two_classes)
    report = image_report.facts(inspection)
    assert report["pictures"] == {"train": {"一": 10, "零": 46}}
    assert report["formats"] == {"PNG": 55, "JPEG": 1}
    assert report["modes"] == {"L": 55, "RGB": 1}
    assert report["sizes"] == [[28, 28], [28, 28], [90, 20]]
    assert report["outside"] == 1
    text = image_report.pictures_text(inspection)
    assert "unbalanced 4.6 to 1" in text
    assert "1 file lies in no class folder" in text


def test_a_second_look_decodes_nothing(two_classes, monkeypatch):
    first = load(two_classes)

    def refuse(*arguments):
        raise AssertionError("decoded again")

    monkeypatch.setattr("experiment.data.image.read_image", refuse)
    (two_classes / "零" / "图000.png").rename(two_classes / "零" / "renamed.png")
    again = load(two_classes)
    assert len(again.train) == len(first.train)


@pytest.mark.parametrize("damage", ["cut pixels", "cut index", "no index"])
def test_a_damaged_cache_is_made_anew(two_classes, damage):
    fingerprint = load(two_classes).fingerprint
    (place,) = image_cache.cache_folder().iterdir()
    file = place / ("pixels" if damage == "cut pixels" else "index.json")
    os.truncate(file, 100) if damage != "no index" else file.unlink()
    assert load(two_classes).fingerprint == fingerprint


def test_a_cache_that_cannot_be_written_is_one_sentence(two_classes, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(
        ValueError, match="cannot be kept in .*: Not a directory; XDG_CACHE_HOME names"
    ) as caught:
        load(two_classes)
    assert "\n" not in str(caught.value)


def test_the_fingerprint_follows_pixels_labels_and_size(two_classes):
    seen = [load(two_classes).fingerprint, load(two_classes, image_size=14).fingerprint]
    seen.append(load(two_classes, channels=3).fingerprint)
    moved = two_classes / "零" / "图000.png"
    moved.rename(two_classes / "一" / "x.png")
    seen.append(load(two_classes).fingerprint)
    (two_classes / "一" / "x.png").rename(moved)
    assert load(two_classes).fingerprint == seen[0]
    assert len(set(seen)) == 4


def test_the_validation_part_is_validation_and_asking_for_a_missing_one_is_an_error(digits, tmp_path):
    folder = write_digits(tmp_path / "x", digits, ("train", "test"), 2)
    (folder / "test").rename(folder / "validation")
    split = split_arrays(load(folder), parameters(validation="folder"))
    assert (len(split.train), len(split.validation), len(split.test)) == (64, 20, 16)
    shutil.rmtree(folder / "validation")
    with pytest.raises(ValueError, match="has no folder validation/"):
        split_arrays(load(folder), parameters(validation="folder"))


def test_a_validation_part_is_taken_unless_something_else_was_asked_for(digits, tmp_path):
    folder = write_digits(tmp_path / "x", digits, ("train", "test"), 2)
    shutil.copytree(folder / "test", folder / "validation")
    arrays = load(folder, allow_duplicates=True)
    assert inputs.resolve(Params(dataset=str(folder)), arrays).validation == "folder"
    assert inputs.resolve(Params(dataset=str(folder), validation="test"), arrays).validation == "test"
    assert inputs.resolve(Params(dataset=str(folder)), arrays).dataset == "x/"


def test_images_beyond_the_memory_budget_stay_on_disk_and_are_the_same(two_classes):
    whole, stored = load(two_classes), load(two_classes, memory=20 * 784 - 1)
    assert isinstance(stored.train.images, StoredImages)
    assert isinstance(whole.train.images, np.ndarray)
    assert stored.fingerprint == whole.fingerprint
    splits = [split_arrays(arrays, parameters(validation=0.2)) for arrays in (whole, stored)]
    for part in ("train", "validation", "test"):
        one, other = (getattr(split, part) for split in splits)
        assert isinstance(other.images, StoredImages)
        np.testing.assert_array_equal(one.images, other.images[:])
        np.testing.assert_array_equal(one.labels, other.labels)


def test_a_finished_runs_set_is_loaded_again_whatever_kind_it_is(two_classes, digits_file):
    get_parameter = parameters(image_size=28, channels=1)
    again = pictures.load_set(str(two_classes), get_parameter)
    assert again.fingerprint == load(two_classes).fingerprint
    assert isinstance(again.train.images, np.ndarray)
    assert len(pictures.load_set(str(digits_file), get_parameter).train) == 400


def test_every_format_may_lie_in_one_folder(two_classes):
    for number, format in enumerate(("JPEG", "BMP", "GIF", "WEBP")):
        pixels = np.full((9, 9, 3), 40 * number, np.uint8)
        (two_classes / "零" / f"{format}.{format.lower()}").write_bytes(encode(pixels, format))
    Image.new("RGBA", (9, 9), (1, 2, 3, 4)).save(two_classes / "零" / "rgba.png")
    assert load(two_classes, channels=3).train.images.shape == (25, 28, 28, 3)
