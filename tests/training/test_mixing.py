"""MixUp and CutMix mix as Keras' layers do, count labels by what is seen of each image, and come back."""

from typing import Any

import keras
import numpy as np
import pytest

from experiment.training import trainer
from experiment.training.mixing import Mixing, mix
from params.spec import Params

pytestmark = pytest.mark.slow

layers = keras.layers
SHAPE = (6, 8, 3)


def batch(size=16, classes=4):
    random = np.random.default_rng(0)
    return random.random((size, *SHAPE)), np.eye(classes)[random.integers(0, classes, size)]


def test_mixup_is_keras_layer_in_float64(float64):
    pixels, targets = batch()
    drawn = Mixing(mixup=0.4).draw(1, 2, 16, 16, SHAPE)
    mixed, labels, weights = mix(pixels, targets, None, drawn, SHAPE)
    layer = layers.MixUp(0.4)
    as_drawn = {"mix_weight": drawn[:, 5], "permutation_order": drawn[:, 0].astype(int)}
    np.testing.assert_allclose(mixed, layer.transform_images(pixels, as_drawn), atol=1e-12)
    np.testing.assert_allclose(labels, layer.transform_labels(targets, as_drawn), atol=1e-12)
    assert weights is None


def test_cutmix_is_keras_layer_in_float64(float64):
    pixels, targets = batch()
    drawn = Mixing(cutmix=1.0).draw(1, 2, 16, 16, SHAPE)
    flat = pixels.reshape(16, -1)  # as a dense network takes them
    mixed, labels, _ = mix(flat, targets, None, drawn, SHAPE)
    layer, (top, bottom, left, right) = layers.CutMix(), drawn[:, 1:5].T
    masks, shares = layer._generate_batch_mask((16, *SHAPE), (left, right, top, bottom))
    as_drawn = {"batch_masks": masks, "mix_weight": shares, "permutation_order": drawn[:, 0].astype(int)}
    np.testing.assert_allclose(
        mixed, np.reshape(layer.transform_images(pixels, as_drawn), (16, -1)), atol=1e-12
    )
    np.testing.assert_allclose(labels, layer.transform_labels(targets, as_drawn), atol=1e-12)
    assert (np.asarray(shares) < 1).any()


@pytest.mark.parametrize("mixing", [Mixing(0.2, 0.0), Mixing(0.0, 1.0), Mixing(0.5, 0.5)])
def test_a_box_lies_within_its_image_and_partners_are_a_permutation_of_each_batch(mixing):
    drawn = mixing.draw(3, 1, 1000, 96, SHAPE)
    np.testing.assert_array_equal(drawn, mixing.draw(3, 1, 1000, 96, SHAPE))
    assert not np.array_equal(drawn, mixing.draw(3, 2, 1000, 96, SHAPE))
    for start in range(0, 1000, 96):
        places = drawn[start : start + 96, 0]
        np.testing.assert_array_equal(np.sort(places), np.arange(len(places)))
    top, bottom, left, right, kept = drawn[:, 1:].T
    assert ((top >= 0) & (top <= bottom) & (bottom <= SHAPE[0])).all()
    assert ((left >= 0) & (left <= right) & (right <= SHAPE[1])).all()
    cuts = np.mean(kept == 0)
    assert cuts == {0.2: 0.0, 0.0: 1.0}.get(mixing.mixup, pytest.approx(0.5, abs=0.06))


def test_what_an_example_weighs_is_mixed_as_its_label_is(float64):
    pixels, targets = batch()
    drawn = Mixing(mixup=1.0).draw(0, 0, 16, 16, SHAPE)
    _, labels, weights = mix(pixels, targets, targets @ np.arange(1.0, 5.0), drawn, SHAPE)
    assert weights is not None
    np.testing.assert_allclose(weights, np.asarray(labels) @ np.arange(1.0, 5.0), rtol=1e-6)


def build():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((784,)), layers.Dense(10)])


def train(dataset, epochs, begun=None, **values):
    defaults: dict[str, Any] = {"batch_size": 96, "augment_mixup": 0.4, "augment_cutmix": 1.0}
    defaults |= {"class_weights": "balanced", "optimizer": "sgd", "schedule": "constant"}
    get_parameter = Params(epochs=epochs, **defaults | values).applicable().__getitem__
    model = build()
    trainer.compile_model(model, get_parameter, len(dataset.train))
    if begun:
        model.set_weights(begun)
    history = trainer.fit(model, dataset, get_parameter, (), epochs - 1 if begun else 0).history.history
    return [array.copy() for array in model.get_weights()], history


def test_compiled_and_plain_epochs_mix_alike_and_a_resumed_run_mixes_as_an_unbroken_one(dataset, float64):
    once = train(dataset, 1)[0]
    twice, history = train(dataset, 2)
    plain, expected = train(dataset, 2, compile="off")
    graph = train(dataset, 2, begun=once, compile="graph")[0]
    for one, two, three in zip(twice, plain, graph, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-12)
        np.testing.assert_allclose(one, three, atol=1e-12)
    for name in ("loss", "accuracy", "val_loss"):
        np.testing.assert_allclose(history[name], expected[name], atol=1e-12)
    unmixed = train(dataset, 2, augment_mixup=0.0, augment_cutmix=0.0)[1]
    assert history["loss"][0] > unmixed["loss"][0]
