"""A head on features that are computed once: the same as the whole model, in everything but time."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from experiment.data.arrays import check_arrays
from experiment.data.splits import split_arrays
from experiment.data.weights import Weights
from experiment.training import augmentation, checkpoints, compiled_epoch, models, pretrained, trainer
from experiment.training.batches import pixels_of
from params.spec import Params

pytestmark = pytest.mark.slow

layers = keras.layers
WEIGHTS = Weights("efficientnet-lite0", Path("weights"), "0" * 64, "here", "none")


def build_tiny(backbone, weights, image_shape):  # noqa: ARG001
    """Build a frozen backbone of two convolutions, of two blocks; its weights are always the same."""
    pixels = keras.Input(image_shape, name="pixels")
    x = layers.Rescaling(2.0, -1.0, name="scaling")(pixels)
    for block, filters in (("block1", 4), ("block2", 12)):
        start = keras.initializers.HeNormal(seed=filters)
        x = layers.Conv2D(filters, 3, strides=2, kernel_initializer=start, name=f"{block}_conv")(x)
        x = layers.BatchNormalization(name=f"{block}_bn")(x)
        x = layers.ReLU(name=f"{block}_activation")(x)
    model = keras.Model(pixels, layers.GlobalAveragePooling2D(name="pool")(x), name=backbone)
    model.trainable = False
    return model


@pytest.fixture(autouse=True)
def _tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "build_backbone", build_tiny)
    for module in (models, pretrained):
        monkeypatch.setattr(module, "find_weights", lambda backbone, asked: WEIGHTS)  # noqa: ARG005


@pytest.fixture(scope="module")
def dataset(digits):
    values = Params(validation=0.2).model_dump(by_alias=True)
    return split_arrays(check_arrays("digits", digits), values.__getitem__)


def parameters(**values):
    defaults: dict[str, Any] = {"model": "pretrained", "epochs": 2, "batch_size": 32}
    defaults |= {"optimizer": "adam", "dropout": 0.0}
    return Params(**defaults | values).model_dump(by_alias=True).__getitem__


def build(dataset, get_parameter):
    keras.utils.set_random_seed(0)
    model = models.build_model(get_parameter, dataset.train.images.shape[1:], 10)
    trainer.compile_model(model, get_parameter, len(dataset.train))
    return model


def head_stage(model, dataset, get_parameter):
    return pretrained.head_stage(model, dataset, get_parameter, lambda *_: None, pytest.fail)


def fit(dataset, get_parameter):
    """Train a head; return the whole model, the stage and what ``fit`` returned."""
    model = build(dataset, get_parameter)
    stage = head_stage(model, dataset, get_parameter)
    return model, stage, trainer.fit(stage.model, stage.dataset, get_parameter)


def logits_of(model, examples):
    return np.asarray(model(pixels_of(model, examples), training=False))


def test_the_head_on_features_and_the_whole_model_on_pixels_agree(dataset):
    model, stage, _ = fit(dataset, parameters())
    whole = logits_of(model, dataset.validation)
    np.testing.assert_allclose(logits_of(stage.model, stage.dataset.validation), whole, atol=1e-5)


def test_training_the_head_is_training_the_whole_model_with_its_backbone_frozen(dataset):
    get_parameter = parameters(class_weights="balanced")
    model, _, training = fit(dataset, get_parameter)
    plain = build(dataset, get_parameter)
    slow = trainer.fit(plain, dataset, get_parameter)
    assert (training.compiled, slow.compiled) == ("xla", "graph")
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(training.history.history[name], slow.history.history[name], rtol=1e-4)
    for one, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_second_run_takes_features_from_the_cache_and_trains_to_the_same_bits(dataset):
    first, second = (fit(dataset, parameters(dropout=0.3)) for _ in range(2))
    assert (first[1].facts["features_from_cache"], second[1].facts["features_from_cache"]) == (0, 400)
    assert first[2].history.history == second[2].history.history


def test_flips_have_both_halves_cached_and_training_takes_either(dataset):
    get_parameter = parameters(augment_flip=True)
    model, stage, training = fit(dataset, get_parameter)
    backbone = model.layers[-3]
    pixels = pixels_of(model, dataset.train)
    sides = [np.asarray(backbone(each, training=False)) for each in (pixels, pixels[:, :, ::-1])]
    np.testing.assert_allclose(stage.dataset.train.images, np.stack(sides, axis=1), atol=1e-5)
    np.testing.assert_allclose(
        logits_of(stage.model, stage.dataset.validation), logits_of(model, dataset.validation), atol=1e-5
    )
    dropped = stage.model.get_layer("flip")
    assert set(np.unique(dropped(np.ones((99, 1), np.float32), training=True))) == {0, 2}
    assert training.compiled == "xla"
    # Its loss in training is that of neither half alone.
    _, _, unmoved = fit(dataset, parameters())
    assert training.history.history["loss"] != unmoved.history.history["loss"]
    assert head_stage(model, dataset, parameters()).facts["features_from_cache"] == 400


@pytest.mark.parametrize("name", ["augment_shift", "augment_rotation"])
def test_other_augmentation_runs_the_backbone_each_epoch_and_says_so(dataset, name):
    get_parameter = parameters(**{name: 0.1})
    model = build(dataset, get_parameter)
    stage = head_stage(model, dataset, get_parameter)
    assert stage.model is model
    assert stage.dataset is dataset
    assert f"{name.replace('_', '-')} changes pictures anew in every epoch" in (stage.notice or "")


@pytest.mark.parametrize("file", ["model.h5", "model.keras"])
def test_what_is_saved_is_the_whole_model_from_pixels(dataset, tmp_path, file):
    model, _, _ = fit(dataset, parameters(augment_flip=True))
    saved = checkpoints.save_model(augmentation.without_augmentation(model), tmp_path / file)
    reloaded = checkpoints.load_model(saved)
    assert reloaded.input_shape == (None, 28, 28, 1)
    np.testing.assert_array_equal(logits_of(reloaded, dataset.test), logits_of(model, dataset.test))
    assert int(reloaded.optimizer.iterations) == int(model.optimizer.iterations) == 20


def test_a_checkpoint_holds_no_frozen_weights_and_gives_all_others_back(dataset):
    model = build(dataset, parameters(augment_shift=0.1))
    kept = checkpoints.trained_weights(model)
    assert sum(weight.size for weight in kept) == 12 * 10 + 10
    model.layers[-1].set_weights([kept[0] + 1, kept[1] + 2])
    everything = checkpoints.all_weights(model, [kept[0] + 3, kept[1]])
    assert len(everything) == len(model.get_weights())
    np.testing.assert_array_equal(everything[-2], kept[0] + 3)
    with pytest.raises(ValueError, match="1 weights for a model that trains 2"):
        checkpoints.all_weights(model, kept[:1])


def test_heads_that_differ_in_values_alone_share_one_compiled_program(dataset, monkeypatch):
    fit(dataset, parameters(augment_flip=True))
    monkeypatch.setattr(compiled_epoch, "training_program", lambda *_: pytest.fail("compiled again"))
    fit(dataset, parameters(augment_flip=True, initial_lr=0.02, seed=5))
