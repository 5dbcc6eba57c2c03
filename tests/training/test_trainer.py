"""The compiled epoch computes what stock ``fit`` computes, and every example counts exactly once."""

import dataclasses
import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiment.data.arrays import Examples
from experiment.data.splits import Dataset
from experiment.evaluation.measures import MONITORS
from experiment.training import compiled_epoch, dropout, feed, models, programs, trainer
from params.spec import Params

layers = keras.layers


def parameters(**values):
    defaults = {
        "epochs": 2,
        "batch_size": 96,
        "layer_1_size": 16,
        "layer_2_size": 8,
        "filters": 2,
        "dropout": 0.0,
    }
    return Params(**defaults | values).model_dump(by_alias=True).__getitem__


def build_linear(get_parameter, image_shape, classes):
    """Build what compiles fastest, where layers do not matter."""
    return keras.Sequential([keras.Input((int(np.prod(image_shape)),)), layers.Dense(classes)])


def train(dataset, get_parameter, build_model=models.build_model, callbacks=(), **named):
    """Build, compile and fit a model; return it, what fit returned, and the losses of all steps."""
    keras.utils.set_random_seed(0)
    model = build_model(get_parameter, dataset.train.images.shape[1:], 10)
    trainer.compile_model(model, get_parameter, len(dataset.train))
    losses: list[float] = []
    result = trainer.fit(
        *(model, dataset, get_parameter, callbacks),
        on_step_losses=lambda _, block: losses.extend(float(loss) for loss in block),
        **named,
    )
    return model, result, losses


@pytest.mark.slow
@pytest.mark.parametrize("compiled", ["xla", "graph"])
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_compiled_and_plain_epochs_agree_to_1e_12_in_float64(dataset, float64, compiled, model):
    if (model, compiled) == ("cnn", "xla"):
        pytest.skip("XLA runs convolutions on a CPU too slowly to be chosen there")
    values = {"model": model, "epochs": 3 if model == "mlp" else 1}
    plain = train(dataset, parameters(compile="off", **values))[1].history.history
    fast = train(dataset, parameters(compile=compiled, **values))[1].history.history
    assert set(plain) == set(fast) == {"loss", "accuracy", *MONITORS}
    for name in plain:
        np.testing.assert_allclose(fast[name], plain[name], rtol=0, atol=1e-12)


@pytest.mark.slow
def test_compiled_and_plain_steps_agree_to_1e_5_in_float32_over_50_steps(dataset):
    values = {"batch_size": 40, "epochs": 5}
    plain = train(dataset, parameters(compile="off", **values))[2]
    fast = train(dataset, parameters(compile="xla", **values))[2]
    assert len(plain) == len(fast) == 50
    np.testing.assert_allclose(fast, plain, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 7, 96, 128, 400, 1000])
def test_every_example_counts_once_whatever_the_batch_size(dataset, float64, batch_size):
    """With a rate of next to nothing, the epoch's mean loss is the loss of the untrained model."""
    get_parameter = parameters(epochs=1, batch_size=batch_size, initial_lr=1e-30, optimizer="sgd")
    model, result, losses = train(dataset, get_parameter, build_linear)
    history = result.history.history
    expected = trainer.evaluate(model, dataset.train, 10)
    assert result.compiled == "xla"
    assert len(losses) == -(-400 // batch_size)
    assert int(model.optimizer.iterations.numpy()) == len(losses)
    assert history["loss"] == [pytest.approx(expected.loss, rel=1e-12)]
    assert history["accuracy"] == [pytest.approx(expected.accuracy, abs=1e-12)]


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [59_999, 60_000, 60_001])
def test_every_one_of_60_000_examples_counts_once(float64, batch_size):
    generator = np.random.default_rng(0)
    images, labels = (
        generator.integers(0, 256, (60_000, 2, 2, 1), np.uint8),
        generator.integers(0, 10, 60_000),
    )
    examples = Examples(images, labels.astype(np.int32))
    large = Dataset("large", examples, examples, examples, tuple("0123456789"), "", "")
    get_parameter = parameters(epochs=1, batch_size=batch_size, initial_lr=1e-30, optimizer="sgd")
    model, result, losses = train(large, get_parameter, build_linear)
    expected = trainer.evaluate(model, examples, 10)
    assert len(losses) == -(-60_000 // batch_size)
    for name in ("loss", "val_loss"):
        assert result.history.history[name] == [pytest.approx(expected.loss, rel=1e-12)]
    assert result.history.history["accuracy"] == [pytest.approx(expected.accuracy, abs=1e-12)]


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [7, 1000])
def test_step_losses_average_to_the_epochs_loss_with_the_last_batch_weighted_rightly(dataset, batch_size):
    for compiled in ("xla", "off"):
        get_parameter = parameters(epochs=1, batch_size=batch_size, compile=compiled)
        _, result, losses = train(dataset, get_parameter, build_linear)
        sizes = [min(batch_size, 400 - start) for start in range(0, 400, batch_size)]
        mean = np.average(losses, weights=sizes)
        assert mean == pytest.approx(result.history.history["loss"][0], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("block_flop", [1.0, 1e6])
def test_blocks_of_any_length_give_the_same_epoch(dataset, monkeypatch, block_flop):
    expected = train(dataset, parameters(batch_size=32), build_linear)[1].history.history
    monkeypatch.setattr(compiled_epoch, "BLOCK_FLOP", block_flop)
    assert train(dataset, parameters(batch_size=32), build_linear)[1].history.history == expected


@pytest.mark.slow
@pytest.mark.parametrize("size", [33, 100, 1000])
def test_evaluation_in_blocks_of_any_size_counts_every_example_once(dataset, monkeypatch, size):
    monkeypatch.setattr(compiled_epoch, "EVALUATION_BATCH", size)
    model, result, _ = train(dataset, parameters(epochs=1, optimizer="sgd"), build_linear)
    evaluation = trainer.evaluate(model, dataset.validation, 10)
    assert result.history.history["val_loss"] == [pytest.approx(evaluation.loss, rel=1e-5)]
    assert result.history.history["val_accuracy"] == [pytest.approx(evaluation.accuracy, abs=1e-6)]


@pytest.mark.slow
@pytest.mark.parametrize("compiled", ["xla", "graph", "off"])
def test_the_same_seed_gives_bit_identical_weights_with_dropout(dataset, compiled):
    first, second = (train(dataset, parameters(dropout=0.3, compile=compiled))[0] for _ in range(2))
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "compiled"), [("mlp", "xla"), ("cnn", "graph"), ("mlp", "off")])
def test_training_resumed_from_weights_and_optimizer_equals_training_unbroken(
    dataset, model, compiled, tmp_path
):
    values = {"model": model, "dropout": 0.3, "compile": compiled}
    unbroken = train(dataset, parameters(epochs=4, **values))
    half = train(dataset, parameters(epochs=2, **values))[0]
    half.save(tmp_path / "half.keras")

    get_parameter = parameters(epochs=4, **values)
    resumed = models.build_model(get_parameter, (28, 28, 1), 10)
    trainer.compile_model(resumed, get_parameter, len(dataset.train))
    stored = keras.saving.load_model(tmp_path / "half.keras")
    resumed.set_weights(stored.get_weights())
    resumed.optimizer.build(resumed.trainable_variables)
    for variable, value in zip(resumed.optimizer.variables, stored.optimizer.variables, strict=True):
        variable.assign(value)
    trainer.fit(resumed, dataset, get_parameter, initial_epoch=2)
    for one, other in zip(unbroken[0].get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rate", [0.25, 0.3])
@pytest.mark.parametrize("compiled", ["xla", "graph"])
def test_dropout_drops_the_right_fraction_and_another_one_each_step(rate, compiled):
    layer = layers.Dropout(rate)
    iterations = keras.Variable(0, dtype="int64", trainable=False)
    algorithm = dropout.XLA_ALGORITHM if compiled == "xla" else dropout.GRAPH_ALGORITHM
    call = dropout.masked_call(layer, tf.constant(rate), tf.constant(7), 0, iterations, algorithm)
    draw = tf.function(lambda: call(tf.ones((200, 500)), training=True), jit_compile=compiled == "xla")
    masks = []
    for step in range(2):
        iterations.assign(step)
        masks.append(draw().numpy())
    assert np.mean(masks[0] == 0) == pytest.approx(rate, abs=0.01)  # 7 standard deviations
    assert masks[0].max() == pytest.approx(1 / (1 - rate))
    assert np.mean((masks[0] == 0) == (masks[1] == 0)) == pytest.approx(rate**2 + (1 - rate) ** 2, abs=0.01)


def test_dropout_layers_draw_masks_of_their_own():
    iterations = keras.Variable(0, dtype="int64", trainable=False)
    layer, inputs = layers.Dropout(0.5), (tf.constant(0.5), tf.constant(7))
    calls = [dropout.masked_call(layer, *inputs, n, iterations, dropout.GRAPH_ALGORITHM) for n in range(2)]
    first, second = (call(tf.ones((100, 100)), training=True).numpy() for call in calls)
    assert np.mean(first == second) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (layers.Dense(4), "xla"),
        (layers.Dropout(0.5), "xla"),
        (layers.BatchNormalization(), "xla"),
        (layers.GaussianNoise(0.1), "graph"),
    ],
)
def test_the_way_of_compiling_is_chosen_by_rule(extra, expected):
    assert compiled_epoch.choose(keras.Sequential([keras.Input((8,)), extra])) == expected


def test_convolutions_run_as_a_graph_even_inside_a_nested_model():
    inner = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3)])
    assert compiled_epoch.choose(keras.Sequential([keras.Input((8, 8, 1)), inner])) == "graph"


class DataDependent(keras.Model):
    """A model that looks at its values in Python, which no program can."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(10)

    def call(self, pixels):
        pixels = keras.ops.reshape(pixels, (-1, 784))
        return self.dense(pixels * 2) if float(keras.ops.mean(pixels)) > 0 else self.dense(pixels)


def test_a_model_that_cannot_be_compiled_is_trained_by_plain_fit_with_a_notice(dataset):
    def build(get_parameter, image_shape, classes):  # noqa: ARG001
        return DataDependent()

    get_parameter = parameters(epochs=1)
    keras.utils.set_random_seed(0)
    model = build(get_parameter, (28, 28, 1), 10)
    trainer.compile_model(model, get_parameter, len(dataset.train))
    model.run_eagerly = True
    result = trainer.fit(model, dataset, get_parameter)
    assert result.compiled == "off"
    assert result.notice
    assert result.notice.startswith("epochs of this model cannot be compiled, so plain fit trains it: ")
    assert np.isfinite(result.history.history["val_loss"][0])


def test_callbacks_see_the_users_model_and_can_stop_training(dataset):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert type(self.model) is keras.Sequential
            assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(logs)
            self.model.stop_training = epoch == 1

    model, result, _ = train(dataset, parameters(epochs=9), build_linear, [Stop()])
    assert len(result.history.history["loss"]) == 2
    assert model.train_function is None


def test_early_stopping_restores_the_best_weights(dataset):
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)
    get_parameter = parameters(epochs=30, initial_lr=1.0, optimizer="sgd")
    model, result, _ = train(dataset, get_parameter, build_linear, [stopping])
    losses = result.history.history["val_loss"]
    assert len(losses) < 30
    assert trainer.evaluate(model, dataset.validation, 10).loss == pytest.approx(min(losses), rel=1e-5)


@pytest.mark.slow
def test_batch_statistics_of_the_last_smaller_batch_see_no_padding(dataset, float64):
    def build(get_parameter, image_shape, classes):  # noqa: ARG001
        return keras.Sequential(
            [keras.Input((784,)), layers.BatchNormalization(), layers.Dense(8), layers.Dense(classes)]
        )

    plain = train(dataset, parameters(compile="off"), build)[0]
    fast = train(dataset, parameters(compile="xla"), build)[0]
    for one, other in zip(plain.get_weights(), fast.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_a_random_layer_other_than_dropout_is_reproducible_too(dataset):
    def build(get_parameter, image_shape, classes):  # noqa: ARG001
        return keras.Sequential(
            [keras.Input(image_shape), layers.GaussianNoise(0.5), layers.Flatten(), layers.Dense(classes)]
        )

    first, second = (train(dataset, parameters(), build)[1].history.history for _ in range(2))
    assert first == second


@pytest.fixture
def built(monkeypatch):
    """Start with no program; count those that are built."""
    monkeypatch.setattr(programs, "_programs", {})
    count: list[int] = []

    def counted(original):
        def build(*arguments):
            count.append(1)
            return original(*arguments)

        return build

    for name in ("training_program", "evaluation_program"):
        monkeypatch.setattr(compiled_epoch, name, counted(getattr(compiled_epoch, name)))
    return count


@pytest.mark.slow
@pytest.mark.parametrize(("model", "compiled"), [("mlp", "xla"), ("cnn", "graph")])
def test_a_run_that_differs_in_values_alone_compiles_nothing_and_gives_what_it_gives_alone(
    dataset, built, model, compiled
):
    values = {"model": model, "epochs": 1 if model == "cnn" else 2, "compile": compiled}
    other = {"initial_lr": 0.003, "decay_steps": 3, "decay_rate": 0.7, "dropout": 0.5, "seed": 3}
    train(dataset, parameters(dropout=0.25, **values))
    assert len(built) == 2
    after = train(dataset, parameters(**values, **other))
    assert len(built) == 2
    programs._programs.clear()
    alone = train(dataset, parameters(**values, **other))
    assert len(built) == 4
    assert after[1].history.history == alone[1].history.history
    assert after[2] == alone[2]
    for one, other_ in zip(after[0].get_weights(), alone[0].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other_)


def shared(model, built, setting="train"):
    """Tell whether a model shares a program that was asked for before."""
    before = len(built)
    programs.shared_program(model, setting, lambda: built.append(1))
    return len(built) == before


def compiled_model(build_model=models.build_model, **values):
    get_parameter = parameters(**{"dropout": 0.25} | values)
    model = build_model(get_parameter, (28, 28, 1), 10)
    trainer.compile_model(model, get_parameter, 400)
    feed.build(model, np.zeros((1, *model.input_shape[1:])), np.eye(10)[:1])
    return model


@pytest.mark.parametrize(
    "different", [{"layer_1_size": 17}, {"optimizer": "sgd"}, {"model": "cnn"}, {"dropout": 0.3}]
)
def test_a_run_of_another_network_or_optimizer_gets_a_program_of_its_own(built, different):
    assert not shared(compiled_model(), built)
    assert shared(compiled_model(initial_lr=0.5, dropout=0.5), built)
    assert not shared(compiled_model(**different), built)
    assert not shared(compiled_model(), built, "evaluate")


def test_networks_whose_layers_are_called_alike_do_not_share_a_program(built):
    def build(activation):
        network = [keras.Input((784,)), layers.Dense(8, activation, name="hidden"), layers.Dense(10)]
        return lambda *_: keras.Sequential(network)

    assert not shared(compiled_model(build("relu")), built)
    assert not shared(compiled_model(build("tanh")), built)
    assert shared(compiled_model(build("relu")), built)


def test_a_network_with_code_of_the_users_own_never_shares_a_program(built):
    class Scaled(keras.layers.Layer):
        def call(self, inputs):
            return inputs * 2

    def build(*_):
        return keras.Sequential([keras.Input((784,)), Scaled(), layers.Dense(10)])

    assert not shared(compiled_model(build), built)
    assert not shared(compiled_model(build), built)


def test_few_programs_are_kept(built, monkeypatch):
    monkeypatch.setattr(programs, "KEPT", 2)
    for size in (4, 5, 6):
        shared(compiled_model(layer_1_size=size), built)
    assert len(programs._programs) == 2
    assert shared(compiled_model(layer_1_size=6), built)
    assert not shared(compiled_model(layer_1_size=4), built)


def test_programs_of_large_networks_are_dropped_but_for_the_last_networks(built, monkeypatch):
    monkeypatch.setattr(programs, "KEPT_BYTES", 1)
    for size in (4, 5, 6):
        shared(compiled_model(layer_1_size=size), built)
    assert len(programs._programs) == 2
    assert all(program.bytes > 1 for program in programs._programs.values())


def test_a_program_that_is_kept_keeps_no_data(dataset, monkeypatch):
    monkeypatch.setattr(programs, "_programs", {})
    images = weakref.ref(kept := dataset.train.images.copy())
    examples = Examples(kept, dataset.train.labels)
    train(dataclasses.replace(dataset, train=examples), parameters(epochs=1), build_linear)
    del kept, examples
    gc.collect()
    assert programs._programs
    assert images() is None


@pytest.mark.parametrize("compiled", ["off", "xla"])
def test_batches_are_read_without_the_tuner_whose_thread_the_end_of_an_epoch_waits_for(
    dataset, monkeypatch, compiled
):
    given = []
    real = keras.Model.fit

    def fit(self, training, validation_data, **named):
        given.extend([training, validation_data])
        return real(self, training, validation_data=validation_data, **named)

    monkeypatch.setattr(keras.Model, "fit", fit)
    train(dataset, parameters(epochs=1, compile=compiled), build_linear)
    assert [each.options().autotune.enabled for each in given] == [False, False]


def test_xla_compiles_one_program_the_steps_of_whole_batches(dataset, monkeypatch):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("on a GPU everything is compiled by XLA")
    built = []
    real = programs.Program.__init__

    def note(self, model, build):
        real(self, model, build)
        built.append(self._function)

    monkeypatch.setattr(programs, "_programs", {})
    monkeypatch.setattr(programs.Program, "__init__", note)
    train(dataset, parameters(epochs=1, compile="xla"), build_linear)
    library = [each.get_concrete_function().graph.as_graph_def().library.function for each in built]
    by_xla = [[f for f in functions if f.attr["_XlaMustCompile"].b] for functions in library]
    assert [len(functions) for functions in by_xla] == [1, 0]
