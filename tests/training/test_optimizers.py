"""Each schedule and optimizer is the stock one, in the compiled epoch, after a resume and once more."""

from typing import Any

import keras
import numpy as np
import pytest
from keras.optimizers import schedules

from experiment.training import callbacks, checkpoints, feed, optimizers, plateau, trainer
from experiment.training.averaging import validated_weights
from params.spec import Params

layers = keras.layers
EPOCHS, STEPS = 4, 5  # of 96 of 400 examples
RATE = np.float64(0.01)  # of a plain float, Keras' schedules compute in float32


def parameters(**values):
    defaults: dict[str, Any] = {"epochs": EPOCHS, "batch_size": 96, "compile": "graph"}
    return Params(**defaults | values).applicable().__getitem__


def build():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((784,)), layers.LayerNormalization(), layers.Dense(10)])


class Notes(keras.callbacks.Callback):
    """Keeps what a run's logger keeps, and ends training after so many epochs, as a kill would."""

    def __init__(self, history, stop_after=None):
        super().__init__()
        self.history = {name: list(values) for name, values in history.items()}
        self.stop_after = stop_after

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():
            self.history.setdefault(name, []).append(float(value))
        rate = float(self.model.optimizer.learning_rate.numpy())
        self.history.setdefault("learning_rate", []).append(rate)
        self.model.stop_training = epoch + 1 == self.stop_after


def train(dataset, get_parameter, folder, stop_after=None):
    """Train from the folder's last checkpoint on, if there is one; return the model and the history."""
    model = build()
    trainer.compile_model(model, get_parameter, len(dataset.train))
    folder.mkdir(exist_ok=True)
    checkpoint = checkpoints.read_checkpoint(folder)
    if checkpoint:
        checkpoints.restore(checkpoint, model)
    notes = Notes(checkpoint.state["history"] if checkpoint else {}, stop_after)
    told = [
        *(notes, *plateau.plateau(get_parameter, notes.history)),
        callbacks.Checkpoints(folder, notes, None),
    ]
    trainer.fit(model, dataset, get_parameter, told, checkpoint.epochs if checkpoint else 0)
    return model, notes.history


def cosine():
    return schedules.CosineDecay(0 * RATE, EPOCHS * STEPS - 3, warmup_target=RATE, warmup_steps=3)


CASES: dict[str, Any] = {
    "adamax": ({}, lambda: keras.optimizers.Adamax(schedules.ExponentialDecay(RATE, 2000, np.float64(0.9)))),
    "adam": (
        {"optimizer": "adam", "schedule": "constant", "clip_norm": 0.1},
        lambda: keras.optimizers.Adam(0.01, global_clipnorm=0.1),
    ),
    "adamw": (
        {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine", "warmup_steps": 3}
        | {"compile": "xla"},
        lambda: keras.optimizers.AdamW(cosine(), weight_decay=0.1),
    ),
    "lion": (
        {"optimizer": "lion", "schedule": "constant", "warmup_epochs": 1.2},
        lambda: keras.optimizers.Lion(
            schedules.CosineDecay(0 * RATE, 1, 1.0, warmup_target=RATE, warmup_steps=6)
        ),
    ),
    "sgd": (
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "schedule": "cosine", "ema": 0.8}
        | {"compile": "xla"},
        lambda: keras.optimizers.SGD(
            schedules.CosineDecay(RATE, EPOCHS * STEPS), 0.9, nesterov=True, use_ema=True, ema_momentum=0.8
        ),
    ),
    "rmsprop": (
        {"optimizer": "rmsprop", "initial_lr": 0.1, "schedule": "plateau", "plateau_patience": 1}
        | {"plateau_factor": 0.5},
        lambda: keras.optimizers.RMSprop(0.1),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_it_is_stock_keras_within_1e_12_and_the_same_bits_again_and_after_a_kill(
    dataset, float64, tmp_path, case
):
    values, stock = CASES[case]
    get_parameter = parameters(**values)
    model, history = train(dataset, get_parameter, tmp_path / "unbroken")

    again = train(dataset, get_parameter, tmp_path / "again")[0]
    train(dataset, get_parameter, tmp_path / "killed", stop_after=2)
    resumed, resumed_history = train(dataset, get_parameter, tmp_path / "killed")
    for other in (again, resumed):
        for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(one, two)
    assert resumed_history == history

    reference = build()
    optimizer = stock()
    vectors = [variable for variable in reference.trainable_variables if len(variable.shape) == 1]
    optimizer.exclude_from_weight_decay(var_list=vectors)
    reference.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    plain = [keras.callbacks.SwapEMAWeights()] if values.get("ema") else []
    if values.get("schedule") == "plateau":
        plain.append(keras.callbacks.ReduceLROnPlateau("val_loss", 0.5, 1))
    fed = feed.make_feed(reference, dataset, parameters(**values | {"compile": "off"}), 0, None)
    expected = reference.fit(
        *(fed.training, None, None, EPOCHS, 0, plain), validation_data=fed.validation, shuffle=False
    ).history
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(history[name], expected[name], rtol=0, atol=1e-12)
    for one, two in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-12)
    if values.get("schedule") == "plateau":
        assert len(set(history["learning_rate"])) > 1


@pytest.mark.parametrize("warmup", [1, 7])
def test_a_warm_up_rises_in_a_line_and_then_decays_as_the_stock_schedule_that_is_saved(warmup):
    schedule = optimizers.WarmUpExponentialDecay(0.02, 10, 0.5, warmup)
    rates = [float(schedule(step)) for step in range(warmup + 30)]
    np.testing.assert_allclose(rates[: warmup + 1], np.linspace(0, 0.02, warmup + 1), rtol=1e-6)
    stock = schedule.after_warmup()
    assert type(stock) is schedules.ExponentialDecay
    np.testing.assert_allclose(rates[warmup:], [float(stock(s)) for s in range(warmup, warmup + 30)], 1e-5)


def test_a_saved_model_of_a_warm_up_is_loaded_by_plain_keras(tmp_path):
    model = build()
    trainer.compile_model(model, parameters(warmup_steps=4), 400)
    model.optimizer.build(model.trainable_variables)
    path = checkpoints.save_model(model, tmp_path / "model.keras")
    loaded = keras.saving.load_model(path)
    assert type(optimizers.schedule_of(loaded.optimizer)) is schedules.ExponentialDecay
    # A model of the user's own is saved for a trial before it is trained.
    assert type(optimizers.schedule_of(model.optimizer)) is optimizers.WarmUpExponentialDecay


def test_weights_decay_but_biases_and_norms_do_not(dataset, tmp_path):
    get_parameter = parameters(optimizer="sgd", weight_decay=10.0, initial_lr=0.01, clip_norm=1e-30, epochs=1)
    before = build().get_weights()
    after = train(dataset, get_parameter, tmp_path)[0].get_weights()
    kernel, vectors = [len(array.shape) == 2 for array in before].index(True), (0, 1, 3)
    np.testing.assert_allclose(after[kernel], before[kernel] * 0.9**STEPS, rtol=1e-3)
    for number in vectors:
        np.testing.assert_allclose(after[number], before[number], atol=1e-20)


def test_the_average_is_what_is_validated_and_saved(dataset, tmp_path):
    get_parameter = parameters(ema=0.9, optimizer="sgd", initial_lr=0.1, epochs=1, compile="off")
    model, history = train(dataset, get_parameter, tmp_path)
    evaluation = trainer.evaluate(model, dataset.validation, 10)
    assert history["val_loss"] == [pytest.approx(evaluation.loss, rel=1e-5)]
    saved, checkpoint = model.get_weights(), checkpoints.read_checkpoint(tmp_path)
    assert checkpoint
    assert not np.array_equal(checkpoint.weights[-1], saved[-1])
    checkpoints.restore(checkpoint, model)
    for one, other in zip(validated_weights(model), saved, strict=True):
        np.testing.assert_array_equal(one, other)
