"""What is told of a pretrained backbone before anything is written, a sentence each."""

import pytest

from experiment.data import backbone_checks, feature_cache
from experiment.data.weights import Weights
from params.spec import Params


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def values(**given):
    return Params(**{"model": "pretrained", "dataset": "pictures/"} | given).applicable()


def test_pictures_that_are_smaller_than_the_backbone_takes_are_refused():
    with pytest.raises(ValueError, match="^image-size = 16: backbone efficientnet-lite0 takes 32 at least$"):
        backbone_checks.check(values(image_size=16), (16, 16, 3))


def test_arrays_that_are_smaller_than_the_backbone_takes_are_refused():
    with pytest.raises(
        ValueError, match="^dataset 'mnist' has images of 28 × 28 pixels, and backbone .* 'cnn'"
    ):
        backbone_checks.check(values(dataset="mnist"), (28, 28, 1))


def test_an_unknown_block_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="^fine-tune-from = 'block9': backbone .* has the blocks stem, b"):
        backbone_checks.check(values(fine_tune_epochs=1, fine_tune_from="block9"), (160, 160, 3))


@pytest.mark.parametrize("backbone", ["mobilenet-v2", "mobilenet-v3-small", "resnet50", "efficientnet-b0"])
def test_the_default_block_of_every_backbone_is_one_of_its_own(backbone, monkeypatch):
    found = Weights(backbone, feature_cache.cache_folder(), "0" * 64, "here", "none")
    monkeypatch.setattr(backbone_checks, "find_weights", lambda *_: found)
    told = backbone_checks.check(values(backbone=backbone, fine_tune_epochs=1), (160, 160, 3))
    assert told["backbone"]["backbone"] == backbone


def test_a_record_tells_whose_weights_they_are_but_not_where_they_lay(monkeypatch):
    weights = Weights("resnet50", feature_cache.cache_folder(), "ab", "here", "MIT")
    monkeypatch.setattr(backbone_checks, "find_weights", lambda *_: weights)
    told = {"backbone": "resnet50", "sha256": "ab", "source": "here", "licence": "MIT"}
    assert backbone_checks.check(values(backbone="resnet50"), (160, 160, 3)) == {"backbone": told}


def test_weights_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="^backbone-weights = 'nowhere.h5' is neither a file here nor"):
        backbone_checks.check(values(backbone="resnet50", backbone_weights="nowhere.h5"), (160, 160, 3))
