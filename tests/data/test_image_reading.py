"""Files of pictures are read once, decoded as they are read, and come from the cache in whatever order."""

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from experiment.data import image, image_cache, image_reading, image_set, parallel
from experiment.data.image_fit import Target
from tests.support.pictures import encode, write_class

TARGET = Target(8, 8, 3)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    """Files of forty pictures, no two alike."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 12, 16, 3), np.uint8)
    return write_class(tmp_path / "x", pixels)


@pytest.fixture
def read(monkeypatch) -> list[Path]:
    """Paths of files, in the order in which they are read."""
    found, as_it_was = [], image.read_bytes

    def read_bytes(path: Path) -> bytes:
        found.append(path)
        return as_it_was(path)

    monkeypatch.setattr(image, "read_bytes", read_bytes)
    return found


def pictures(paths: list[Path], target: Target = TARGET) -> list[np.ndarray]:
    found, decoded = image_reading.read_files(paths, target)
    return [decoded.pixels[decoded.rows[each.sha256]] for each in found if each.sha256]


def expected(path: Path, target: Target = TARGET) -> np.ndarray:
    return image.read_image(path.read_bytes(), target).pixels


def test_each_file_is_read_once_to_hash_and_decode_it(paths, read):
    for path, pixels in zip(paths, pictures(paths), strict=True):
        np.testing.assert_array_equal(pixels, expected(path))
    assert sorted(read) == sorted([*paths, paths[0]])  # the first tells whether the cache has the set


def test_a_set_in_the_cache_is_hashed_and_not_decoded_in_any_order_and_place(paths, tmp_path, monkeypatch):
    before = pictures(paths)
    monkeypatch.setattr(image, "read_image", None)
    moved = [path.rename(tmp_path / f"{number}.png") for number, path in enumerate(paths)]
    np.testing.assert_array_equal(pictures(moved[::-1]), before[::-1])


def test_a_set_that_has_grown_or_shrunk_is_decoded_anew(paths):
    for chosen in (paths[:30], paths, paths[10:], [paths[3], *paths[20:]]):
        for path, pixels in zip(chosen, pictures(chosen), strict=True):
            np.testing.assert_array_equal(pixels, expected(path))


def test_another_way_of_resizing_is_another_set(paths):
    for resize in ("squash", "crop", "pad", "squash"):
        target = Target(8, 8, 3, resize)
        np.testing.assert_array_equal(pictures(paths[:1], target)[0], expected(paths[0], target))
    assert len(list(image_cache.cache_folder().iterdir())) == 3


def test_copies_are_kept_once_and_faults_of_files_and_contents_are_told(paths, tmp_path):
    (tmp_path / "copy.png").write_bytes(paths[1].read_bytes())
    (tmp_path / "text.png").write_text("x")
    names = [tmp_path / "missing.png", paths[0], tmp_path / "text.png", paths[1], tmp_path / "copy.png"]
    for _ in range(2):  # decoded, then from the cache
        found, decoded = image_reading.read_files(names, TARGET)
        assert [each.reason for each in found] == ["no such file", "", "", "", ""]
        assert found[3].sha256 == found[4].sha256
        assert len(decoded.pixels) == len(decoded.rows) == 3
        assert decoded.faults == {found[2].sha256: "no JPEG, PNG, BMP, WebP or GIF"}
    assert not [path for path in image_cache.cache_folder().iterdir() if path.name.startswith(".")]


def test_facts_are_in_the_order_of_contents_whichever_file_came_first(paths):
    orders = []
    for chosen in (paths, paths[::-1]):
        _, decoded = image_reading.read_files(chosen, TARGET)
        orders.append([list(decoded.rows), list(decoded.facts)])
        for place in image_cache.cache_folder().iterdir():
            shutil.rmtree(place)
    assert orders[0] == orders[1] == [sorted(orders[0][0])] * 2


def test_a_file_that_changes_before_it_is_decoded_is_refused_and_nothing_kept(paths):
    found, _ = image_reading.read_files(paths[:2], TARGET)
    contents = {each.sha256: path for each, path in zip(found, paths, strict=False) if each.sha256}
    paths[1].write_bytes(encode(np.zeros((4, 4), np.uint8)))
    with pytest.raises(ValueError, match="图001.png' was changed while it was read: run the command again"):
        image_reading.decode(contents, Target(4, 4, 3))
    paths[1].unlink()
    with pytest.raises(ValueError, match="图001.png' cannot be read any more: no such file"):
        image_reading.decode(contents, Target(4, 4, 3))
    assert len(list(image_cache.cache_folder().iterdir())) == 1


def test_a_run_from_before_there_was_a_choice_squashed():
    logged = {"image-size": 8, "channels": 3}
    assert image_set.target(logged.__getitem__) == TARGET
    assert image_set.target((logged | {"resize": "pad"}).__getitem__) == Target(8, 8, 3, "pad")


def test_a_run_on_pictures_of_another_decoder_is_told_of_it():
    assert image.other_decoder({"name": "x/"}).endswith(f"(decoder 2 then, {image.DECODER} now)")
    assert image.other_decoder({"name": "x/", "decoder": image.DECODER}) == ""
    assert image.other_decoder({"name": "mnist"}) == ""


def test_results_come_in_order_and_few_of_them_wait(monkeypatch):
    monkeypatch.setattr(parallel.machine, "cores", lambda: 2)
    begun, told, together = [], [], set()

    def work(number: int) -> int:
        begun.append(number)
        together.add(threading.get_ident())
        time.sleep(0.001 * (number % 3))
        return number * number

    results = parallel.in_parallel("working", work, range(1000), lambda *each: told.append(each), 1 << 30)
    for number, result in enumerate(results):
        assert result == number * number
        assert len(begun) <= number + 5 * parallel.CHUNK  # three chunks, and the one that is used
    assert len(together) == 2
    assert told[0] == ("working", 0, 1000)
    assert told[-1] == ("working", 1000, 1000)


def test_an_error_ends_the_work_that_has_not_begun(monkeypatch):
    monkeypatch.setattr(parallel.machine, "cores", lambda: 2)
    begun = []

    def fail(number: int) -> None:
        begun.append(number)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(parallel.in_parallel("working", fail, range(10_000), lambda *_: None))
    assert len(begun) < 1000
