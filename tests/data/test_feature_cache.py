"""Features are computed once an image, whatever the set it is in, and again only where they are damaged."""

import os

import numpy as np
import pytest

from experiment.data import feature_cache

SETTINGS = ["a backbone", "its weights"]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Backbone:
    """Computes two features of an image, and remembers of which."""

    def __init__(self, images: np.ndarray) -> None:
        self._images = images
        self.computed: list[int] = []
        self.notices: list[str] = []

    def look_up(self, settings=SETTINGS):
        return feature_cache.look_up(
            settings, feature_cache.contents_of(self._images), (2,), self._compute, self.notices.append
        )

    def _compute(self, rows, done):  # noqa: ARG002
        self.computed += rows.tolist()
        flat = self._images[rows].reshape(len(rows), -1).astype(np.float32)
        return np.stack([flat.sum(1), flat.max(1)], axis=1)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), np.uint8)


def shards():
    return sorted(feature_cache.cache_folder().glob("*/*.npz"))


def test_features_are_those_of_each_image_in_its_place_and_equal_images_are_computed_once(images):
    backbone = Backbone(np.concatenate([images, images[:3]]))
    features, kept = backbone.look_up()
    np.testing.assert_array_equal(features[:, 0], np.concatenate([images, images[:3]]).sum((1, 2, 3)))
    assert (len(backbone.computed), kept) == (10, 0)


def test_a_larger_set_has_only_its_new_images_computed(images):
    Backbone(images[:6]).look_up()
    later = Backbone(images[::-1])
    features, kept = later.look_up()
    assert sorted(later.computed) == [0, 1, 2, 3]
    assert kept == 6
    np.testing.assert_array_equal(features[:, 0], images[::-1].sum((1, 2, 3)))


def test_other_settings_have_features_of_their_own(images):
    Backbone(images).look_up()
    other = Backbone(images)
    assert other.look_up(["a backbone", "other weights"])[1] == 0


@pytest.mark.parametrize("damage", ["cut", "flipped bit", "empty", "other shape", "no arrays"])
def test_a_damaged_file_is_named_and_computed_again(images, damage):
    first, _ = Backbone(images).look_up()
    (path,) = shards()
    content = bytearray(path.read_bytes())
    if damage == "flipped bit":
        content[-300] ^= 1  # inside the features: the directory of the archive is shorter
    path.write_bytes({"cut": content[:-40], "empty": b"", "no arrays": b"text"}.get(damage, content))
    if damage == "other shape":
        np.savez(path, contents=feature_cache.contents_of(images), features=np.zeros((10, 3), np.float32))
    again = Backbone(images)
    features, kept = again.look_up()
    np.testing.assert_array_equal(features, first)
    assert (len(again.computed), kept) == (10, 0)
    assert len(again.notices) == 1
    assert f"features in '{path}' are damaged and computed again: " in again.notices[0]
    assert Backbone(images).look_up()[1] == 10


def test_a_killed_process_loses_a_part_at_most(images, monkeypatch):
    monkeypatch.setattr(feature_cache, "PART", 4)
    backbone = Backbone(images)
    compute = backbone._compute
    monkeypatch.setattr(backbone, "_compute", lambda rows, done: compute(rows, done) if done < 8 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        backbone.look_up()
    again = Backbone(images)
    assert (again.look_up()[1], len(again.computed)) == (8, 2)


def test_two_processes_at_once_compute_once_and_find_the_same(images):
    child = os.fork()
    backbone = Backbone(images)
    features, kept = backbone.look_up()
    if child == 0:
        os._exit(0 if (kept, len(backbone.computed)) in ((0, 10), (10, 0)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(shards()) == 1
    np.testing.assert_array_equal(Backbone(images).look_up()[0], features)


def test_a_cache_that_cannot_be_written_is_refused_in_a_sentence_before_a_run(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"^features cannot be kept in '.*features': Not a directory; XDG_C"):
        feature_cache.check_writable()


def test_features_that_cannot_be_kept_are_computed_all_the_same_with_a_notice(images, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    backbone = Backbone(images)
    features, _ = backbone.look_up()
    np.testing.assert_array_equal(features[:, 0], images.sum((1, 2, 3)))
    assert any("cannot be kept" in notice for notice in backbone.notices)


def test_a_writable_cache_is_left_without_the_probe():
    feature_cache.check_writable()
    assert list(feature_cache.cache_folder().iterdir()) == []
