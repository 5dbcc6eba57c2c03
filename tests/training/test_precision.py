"""Mixed precision is stock Keras' in the steps of training, and float32 in all that is said and saved."""

from typing import Any

import keras
import numpy as np
import pytest

from experiment.training import augmentation, callbacks, checkpoints, feed, precision, trainer
from params.spec import Params
from tests.training.test_optimizers import Notes

pytestmark = pytest.mark.slow

layers = keras.layers
EPOCHS, STEPS = 3, 5  # of 96 of 400 examples


def parameters(**values):
    defaults: dict[str, Any] = {
        "epochs": EPOCHS,
        "batch_size": 96,
        "compile": "graph",
        "precision": "mixed_float16",
    }
    return Params(**defaults | values).applicable().__getitem__


def build(last_dtype=None):
    """Build a network whose gradients float16 cannot hold at Keras' first loss scale."""
    keras.utils.set_random_seed(0)
    stack = [layers.Rescaling(200.0), layers.Dense(8, "relu")]
    return keras.Sequential([keras.Input((784,)), *stack, layers.Dense(10, dtype=last_dtype)])


def train(dataset, folder, stop_after=None, **values):
    """Train from the folder's last checkpoint on; return the model, the history and the numbers of steps."""
    get_parameter, model = parameters(**values), build()
    trainer.compile_model(model, get_parameter, len(dataset.train))
    checkpoint = checkpoints.read_checkpoint(folder)
    if checkpoint:
        checkpoints.restore(checkpoint, model)
    notes = Notes(checkpoint.state["history"] if checkpoint else {}, stop_after)
    done, steps = checkpoint.epochs if checkpoint else 0, []
    told = [notes, callbacks.Checkpoints(folder, notes, None)]
    trainer.fit(
        *(model, dataset, get_parameter, told, done),
        on_step_losses=lambda first, losses: steps.append((first, len(losses))),
    )
    return model, notes.history, steps


def state(model):
    """Return copies of weights and optimizer: the next model of this kind borrows the variables."""
    return [variable.numpy() for variable in (*model.weights, *model.optimizer.variables)]


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """A run in float16: what its model was in the end, its history, its steps, and its saved file."""
    folder = tmp_path_factory.mktemp("trained")
    model, history, steps = train(dataset, folder)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    saved = checkpoints.save_model(augmentation.without_augmentation(model), folder / "model.keras")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    return state(model), history, steps, saved


@pytest.fixture(scope="module")
def stock(dataset):
    """Train the same by Keras' own means: a policy of the process, and its fit."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model, get_parameter = build("float32"), parameters(compile="off", precision="float32")
        trainer.compile_model(model, get_parameter, len(dataset.train))
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)  # as Keras wraps it
        batches = feed.make_feed(model, dataset, get_parameter, 0, None).training
        feed.release(model)
        return model, model.fit(batches, epochs=EPOCHS, shuffle=False, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_compiled_epoch_is_stock_keras_in_float16_and_skips_the_same_steps(trained, stock):
    model, history = stock
    assert 0 < int(model.optimizer.iterations) < EPOCHS * STEPS
    assert float(model.optimizer.dynamic_scale) < 2**15
    np.testing.assert_allclose(trained[1]["loss"], history["loss"], rtol=1e-6)
    for one, two in zip(trained[0], state(model), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


def test_skipped_steps_are_counted_so_that_no_two_have_one_number(trained):
    assert trained[2] == [(1, STEPS)] * EPOCHS


def test_a_resumed_run_in_float16_has_the_same_bits(dataset, trained, tmp_path):
    train(dataset, tmp_path, stop_after=1)
    model, history, _ = train(dataset, tmp_path)
    assert history == trained[1]
    for one, two in zip(state(model), trained[0], strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_is_validated_and_saved_is_a_float32_model_of_stock_keras(dataset, trained):
    loaded = keras.saving.load_model(trained[3])
    assert {layer.dtype_policy.name for layer in loaded.layers} == {"float32"}
    assert type(loaded.optimizer) is keras.optimizers.Adamax
    loss = trainer.evaluate(loaded, dataset.validation, 10).loss
    assert trained[1]["val_loss"][-1] == pytest.approx(loss, rel=1e-6)


def test_plain_fit_computes_in_the_same_precision_and_leaves_none_behind(dataset, trained, tmp_path):
    model, history, _ = train(dataset, tmp_path, compile="off")
    np.testing.assert_allclose(history["loss"], trained[1]["loss"], rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], trained[1]["val_loss"], rtol=1e-5)
    assert {layer.dtype_policy.name for layer in (model, *model.layers)} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_logits_augmentation_and_layers_with_a_dtype_of_their_own_stay_in_float32():
    shift, dense = layers.RandomTranslation(0.1, 0.1), layers.Dense(4)
    own, logits = layers.Dense(4, dtype="float32"), layers.Dense(10)
    inner = keras.Sequential([keras.Input((4,)), own, logits])
    model = keras.Sequential([keras.Input((4, 4, 1)), shift, layers.Flatten(), dense, inner])
    with precision.computing_in(model, "mixed_bfloat16"):
        assert dense.compute_dtype == "bfloat16"
        assert {each.compute_dtype for each in (shift, own, logits)} == {"float32"}
        assert model(np.zeros((1, 4, 4, 1), np.float32)).dtype == "float32"
    assert dense.compute_dtype == "float32"
