"""The stock models: any size of image, augmentation in training only, losses that count rare classes more."""

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest

from experiment.data.arrays import Examples, StoredImages, check_arrays
from experiment.data.splits import split_arrays
from experiment.training import augmentation, batches, checkpoints, compiled_epoch, feed, models, trainer
from params.spec import Params

pytestmark = pytest.mark.slow

AUGMENTED: dict[str, Any] = {"augment_flip": True, "augment_shift": 0.1, "augment_rotation": 10.0}
AUGMENTED |= {"augment_zoom": 0.2, "augment_colour": 0.2, "augment_erase": 0.5}


def parameters(**values):
    defaults: dict[str, Any] = {
        "model": "cnn",
        "filters": 2,
        "layer_1_size": 8,
        "layer_2_size": 8,
        "batch_size": 64,
        "epochs": 1,
    }
    return Params(**defaults | values).model_dump(by_alias=True).__getitem__


@pytest.fixture(scope="module")
def dataset(digits):
    return split_arrays(check_arrays("digits", digits), parameters())


def train(dataset, get_parameter):
    """Build, compile and fit the model that parameters ask for; return it and what fit returned."""
    keras.utils.set_random_seed(0)
    model = models.build_model(get_parameter, dataset.train.images.shape[1:], len(dataset.class_names))
    trainer.compile_model(model, get_parameter, 400)
    return model, trainer.fit(model, dataset, get_parameter)


@pytest.mark.parametrize("shape", [(4, 4, 1), (9, 7, 3), (28, 28, 1), (64, 64, 3), (224, 160, 3)])
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_images_of_any_size_give_logits(name, shape):
    model = models.build_model(parameters(model=name, **AUGMENTED), shape, 7)
    size = shape if name == "cnn" else (np.prod(shape),)
    assert model(np.zeros((2, *size), np.float32)).shape == (2, 7)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_augmentation_acts_in_training_only(name, dataset):
    model = models.build_model(parameters(model=name, dropout=0.0, **AUGMENTED), (28, 28, 1), 10)
    layer = next(layer for layer in model.layers if layer.name == "shift")
    images = dataset.train.images[:8].astype(np.float32) / 255
    np.testing.assert_array_equal(layer(images, training=False), images)
    assert np.abs(np.asarray(layer(images, training=True)) - images).max() > 0.5
    pixels, _ = batches.pixels_and_targets(model, dataset.train.take(slice(8)), 10)
    first, second = (np.asarray(model(pixels, training=False)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["zoom", "rand", "colour", "erase"])
def test_each_augmentation_stays_in_0_to_1_and_changes_as_many_images_as_it_says(name, channels):
    values = {"augment-flip": False} | dict.fromkeys(augmentation.ALWAYS_NEW, 0.0) | {f"augment-{name}": 0.5}
    images = np.random.default_rng(0).random((60, 12, 12, channels), np.float32)
    found = augmentation.augmentation_layers(values.__getitem__, channels)
    states = [state for layer in found for state in compiled_epoch.random_states(layer)]
    drawn = []
    for _ in range(2):
        changed = images
        for state in states:
            state.assign(np.array([3, 4]))
        for layer in found:
            changed = np.asarray(layer(changed, training=True))
        drawn.append(changed)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert 0 <= np.min(changed) < np.max(changed) <= 1
    share = np.mean(np.abs(changed - images).max((1, 2, 3)) > 1e-6)
    assert 0.3 < share < 0.7 if name == "erase" else share > 0.9


@pytest.fixture(scope="module")
def augmented(dataset):
    """A model trained with all kinds of augmentation, and what fit returned."""
    return train(dataset, parameters(model="mlp", **AUGMENTED))


def test_augmented_training_is_reproducible_and_another_seed_gives_another(dataset, augmented):
    again, other = (train(dataset, parameters(model="mlp", seed=seed, **AUGMENTED))[1] for seed in (0, 1))
    expected = augmented[1].history.history["loss"]
    assert again.history.history["loss"] == expected != other.history.history["loss"]
    assert again.compiled == "graph"


@pytest.mark.parametrize("file", ["model.h5", "model.keras"])
def test_what_is_saved_of_an_augmented_model_never_augments(dataset, augmented, tmp_path, file):
    model, _ = augmented
    checkpoints.save_model(augmentation.without_augmentation(model), tmp_path / file)
    loaded = checkpoints.load_model(tmp_path / file)
    assert not [layer.name for layer in loaded.layers if "Rand" in type(layer).__name__]
    pixels, _ = batches.pixels_and_targets(model, dataset.test, 10)
    np.testing.assert_allclose(loaded(pixels), model(pixels, training=False), atol=1e-5)
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) == 7


@pytest.fixture(scope="module")
def unbalanced(dataset):
    """Half of the zeros and few of the others."""
    kept = np.flatnonzero((dataset.train.labels == 0) | (np.arange(400) % 8 == 0))
    return dataclasses.replace(dataset, train=dataset.train.take(kept))


def test_balanced_weights_give_each_class_the_same_sum(unbalanced):
    weights = feed.class_weights(unbalanced)
    sums = [weights[label] * np.sum(unbalanced.train.labels == label) for label in range(10)]
    np.testing.assert_allclose(sums, len(unbalanced.train) / 10, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", ["xla", "graph"])
def test_weighted_and_smoothed_losses_agree_with_plain_fit(unbalanced, compiled):
    values = {
        "model": "mlp",
        "dropout": 0.0,
        "class_weights": "balanced",
        "label_smoothing": 0.1,
        "epochs": 2,
    }
    expected = train(unbalanced, parameters(compile="off", **values))[1].history.history
    found = train(unbalanced, parameters(compile=compiled, **values))[1].history.history
    for name, series in expected.items():
        np.testing.assert_allclose(found[name], series, rtol=1e-4)


def test_class_weights_and_label_smoothing_change_the_training(unbalanced):
    values = {"model": "mlp", "dropout": 0.0, "optimizer": "sgd", "initial_lr": 1e-30, "compile": "graph"}
    losses = [
        train(unbalanced, parameters(**values, **more))[1].history.history["loss"][0]
        for more in ({}, {"class_weights": "balanced"}, {"label_smoothing": 0.5})
    ]
    keras.utils.set_random_seed(0)
    model = models.build_model(parameters(**values), (28, 28, 1), 10)
    trainer.compile_model(model, parameters(**values), 400)
    evaluation = trainer.evaluate(model, unbalanced.train, 10)
    own = -np.log(evaluation.probabilities[np.arange(len(unbalanced.train)), unbalanced.train.labels])
    weights = feed.class_weights(unbalanced)[unbalanced.train.labels]
    mean = -np.log(evaluation.probabilities).mean(-1)
    expected = [own.mean(), (own * weights).mean(), (0.5 * own + 0.5 * mean).mean()]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("values", [{"model": "cnn", **AUGMENTED}, {"model": "mlp", "compile": "off"}])
def test_streamed_images_train_to_the_same_weights_bit_for_bit(dataset, values):
    def stored(examples: Examples) -> Examples:
        order = np.random.default_rng(0).permutation(len(examples))
        rows = np.argsort(order)
        return Examples(StoredImages(examples.images[order], rows), examples.labels)

    parts = {part: stored(getattr(dataset, part)) for part in ("train", "validation", "test")}
    streamed = dataclasses.replace(dataset, **parts)
    (one, first), (other, second) = (train(each, parameters(**values)) for each in (dataset, streamed))
    assert first.history.history == second.history.history
    assert first.compiled == second.compiled
    for weight, expected in zip(other.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert trainer.evaluate(one, dataset.test, 10).loss == trainer.evaluate(other, streamed.test, 10).loss


def test_streamed_images_never_go_to_xla(dataset):
    streamed = Examples(StoredImages(dataset.train.images, np.arange(400)), dataset.train.labels)
    held = dataclasses.replace(dataset, train=streamed)
    _, training = train(held, parameters(model="mlp", compile="xla"))
    assert (training.compiled, training.notice) == ("graph", None)


def test_large_images_are_evaluated_fewer_at_once():
    labels = np.zeros(1, np.int32)
    sizes = [
        compiled_epoch.evaluation_batch(Examples(np.zeros((1, *shape), np.uint8), labels), 1000)
        for shape in ((28, 28, 1), (8, 8, 1), (224, 224, 3), (4000, 4000, 3))
    ]
    assert sizes == [1000, 1000, 5, 1]


def test_a_cnn_of_few_steps_predicts_as_well_as_it_trained(dataset):
    values = {"filters": 8, "batch_size": 40, "epochs": 3, "optimizer": "adam", "dropout": 0.0}
    model, _ = train(dataset, parameters(initial_lr=0.003, **values))
    pixels, targets = batches.pixels_and_targets(model, dataset.train, 10)
    by_batch = np.mean(np.argmax(model(pixels, training=True), -1) == targets.argmax(-1))
    assert by_batch > 0.85
    assert trainer.evaluate(model, dataset.train, 10).accuracy > by_batch - 0.1
