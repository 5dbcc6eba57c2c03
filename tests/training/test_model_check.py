"""A model of one's own is refused where it would train to something else than what is recorded of it."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from experiment.data.arrays import Examples
from experiment.run.lifecycle import RunFailed
from experiment.run.story import Options, train_and_evaluate
from experiment.store.files import read_json
from experiment.training import model_check
from params.spec import Params


@pytest.fixture(scope="module")
def examples(digits):
    return Examples(digits["x_train"][..., None], digits["y_train"].astype(np.int32))


def network(*last, shape=(28, 28, 1)):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), *last])


def functional(*last):
    inner = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), *last])
    pixels = keras.Input((28, 28, 1))
    return keras.Model(pixels, inner(pixels))


class Subclassed(keras.Model):
    def __init__(self, end=lambda logits: logits):
        super().__init__()
        self.flatten, self.dense, self.end = layers.Flatten(), layers.Dense(10), end

    def call(self, pixels):
        return self.end(self.dense(self.flatten(pixels)))


def mixed(last):
    """Compute in half precision, in which probabilities sum to nearly 1."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return network(*last(), shape=(784,))
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    "build",
    [
        lambda: network(layers.Dense(10, "softmax")),
        lambda: network(layers.Dense(10, "sigmoid")),
        lambda: network(layers.Dense(10), layers.Softmax()),
        lambda: network(layers.Dense(10), layers.Activation("softmax")),
        lambda: network(layers.Dense(10), keras.Sequential([layers.Softmax()])),
        lambda: functional(layers.Dense(10, "softmax")),
        lambda: Subclassed(keras.ops.softmax),
        lambda: mixed(lambda: (layers.Dense(10), layers.Lambda(keras.ops.softmax))),
    ],
)
def test_a_model_that_returns_probabilities_is_refused(build, examples):
    with pytest.raises(ValueError, match=r"returns probabilities .* end in Dense\(10\) without"):
        model_check.check_model(build(), examples, 10)


@pytest.mark.parametrize(
    "build",
    [
        lambda: network(layers.Dense(10)),
        lambda: network(layers.Dense(8, "softmax"), layers.Dense(10)),
        lambda: network(layers.Dense(10, "log_softmax")),
        lambda: network(layers.Dense(10, kernel_initializer="zeros")),
        lambda: network(layers.Dense(10), shape=(784,)),
        lambda: network(layers.Dense(10), shape=(14, 56)),
        lambda: functional(layers.Dense(10)),
        lambda: Subclassed(),
        lambda: mixed(lambda: (layers.Dense(10),)),
    ],
)
def test_a_model_that_returns_logits_is_accepted(build, examples):
    model_check.check_model(build(), examples, 10)


def two_inputs():
    first, second = keras.Input((784,)), keras.Input((784,))
    return keras.Model([first, second], layers.Dense(10)(first + second))


def two_outputs():
    pixels = keras.Input((784,))
    return keras.Model(pixels, [layers.Dense(10)(pixels), layers.Dense(10)(pixels)])


def compiled():
    model = network(layers.Dense(10))
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: network(layers.Dense(9)), r"outputs of shape \[None, 9\]: .* \[None, 10\] for 10 classes"),
        (lambda: keras.Sequential([keras.Input((28, 28, 1)), layers.Dense(10)]), r"\[None, 28, 28, 10\]"),
        (two_outputs, "outputs of a list: should be one tensor of logits"),
        (two_inputs, "has 2 inputs: should be one of 784 values"),
        (
            lambda: network(layers.Dense(10), shape=(32, 32, 3)),
            r"an input of \[32, 32, 3\]: should be one of",
        ),
        (compiled, "a compiled model: the parameters optimizer, initial-lr, .* compile it"),
        (lambda: None, "returned NoneType: should be an uncompiled keras.Model"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_the_remedy(build, said, examples):
    with pytest.raises(ValueError, match=said):
        model_check.check_model(build(), examples, 10)


def test_a_refused_model_ends_its_run_as_failed_before_training(digits):
    def build(get_parameter, image_shape, classes):  # noqa: ARG001
        return network(layers.Dense(classes, "softmax"), shape=image_shape)

    with pytest.raises(RunFailed) as caught:
        train_and_evaluate(
            Params(), build_model=build, dataset=digits, options=Options(mode="disabled", quiet=True)
        )
    assert "returns probabilities (its last layer is " in str(caught.value.__cause__)
    (run,) = Path("runs").iterdir()
    assert read_json(run / "run.json")["status"] == "failed"
    assert not (run / "metrics.jsonl").exists()


@keras.saving.register_keras_serializable()
class Scale(layers.Layer):
    """A layer that Keras reads back, as it says how it was made."""

    def __init__(self, factor=2.0, **named):
        super().__init__(**named)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable()
class Forgetful(layers.Layer):
    """A layer whose factor is set after it was made, which nobody saves."""

    factor = 1.0

    def call(self, x):
        return x * self.factor


def ready(model):
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.parametrize("file_name", ["model.h5", "model.keras"])
def test_a_layer_of_ones_own_is_read_back_by_what_it_says_of_itself(examples, file_name):
    model_check.check_saving(ready(network(layers.Dense(10), Scale(3.0))), examples, 10, file_name)
    forgetful = Forgetful()
    forgetful.factor = 3.0
    model = ready(network(layers.Dense(10), forgetful))
    with pytest.raises(ValueError, match="saved as .* and read back, answers otherwise: some of its state"):
        model_check.check_saving(model, examples, 10, file_name)


def test_a_model_that_cannot_be_read_back_is_refused_with_the_remedy(examples):
    model = Subclassed()
    model(examples.images[:2] / 255.0)
    with pytest.raises(ValueError, match="a subclassed model needs Keras' own format: give --model-file"):
        model_check.check_saving(ready(model), examples, 10, "model.h5")
    with pytest.raises(ValueError, match=r"get_config\(\), and @keras.saving.register_keras_serializable"):
        model_check.check_saving(ready(model), examples, 10, "model.keras")
