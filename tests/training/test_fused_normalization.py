"""Fused BatchNormalization computes what Keras' own layer computes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from experiment.data.arrays import Examples
from experiment.training.fused_normalization import fused
from experiment.training.normalization import PopulationStatistics

SHAPE = (6, 5, 4, 3)


def outcome(training, trainable, is_fused, **options):
    """Return a layer's output, its gradients and its weights after one call inside a compiled function."""
    layer = keras.layers.BatchNormalization(**options)
    layer.build(SHAPE)
    generator = np.random.default_rng(0)
    layer.set_weights([generator.uniform(0.5, 2, each.shape) for each in layer.weights])
    layer.trainable = trainable
    inputs, upstream = (tf.constant(generator.normal(1, 2, SHAPE), layer.compute_dtype) for _ in range(2))

    @tf.function(autograph=False)
    def program():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            with fused([layer] if is_fused else []):
                outputs = layer(inputs, training=training)
        return outputs, tape.gradient(outputs, [inputs, *layer.trainable_weights], upstream)

    names = [operation.type for operation in program.get_concrete_function().graph.get_operations()]
    assert ("FusedBatchNormV3" in names) is is_fused
    return [*tf.nest.flatten(program()), *layer.weights]


@pytest.mark.parametrize(
    "options", [{}, {"scale": False, "momentum": 0.7}, {"center": False}, {"dtype": "mixed_bfloat16"}]
)
@pytest.mark.parametrize(("training", "trainable"), [(True, True), (True, False), (False, True)])
def test_output_gradients_and_averages_are_those_of_keras(training, trainable, options):
    found, expected = (outcome(training, trainable, each, **options) for each in (True, False))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        tolerance = 2**-8 if one.dtype == "bfloat16" else 1e-5  # bfloat16 has 8 bits
        np.testing.assert_allclose(np.float32(one), np.float32(other), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("options", [{"axis": 1}, {"epsilon": 1e-6}, {"dtype": "float64"}])
def test_what_cannot_be_fused_stays_as_it_is(options):
    layer = keras.layers.BatchNormalization(**options)
    layer.build(SHAPE)
    with fused([layer, keras.layers.BatchNormalization()]):  # the second is not built
        assert layer.call.__func__ is keras.layers.BatchNormalization.call


def test_after_tracing_a_layer_has_its_own_call_again():
    layer = keras.layers.BatchNormalization()
    layer.build(SHAPE)
    with fused([layer]):
        assert "call" in vars(layer)
    assert "call" not in vars(layer)


def test_statistics_of_a_training_set_are_those_of_its_batches():
    model = keras.Sequential([keras.Input((5, 4, 3)), keras.layers.BatchNormalization()])
    images = np.random.default_rng(0).integers(0, 256, (12, 5, 4, 3), np.uint8)
    callback = PopulationStatistics(Examples(images, np.zeros(12, np.int32)), batch_size=12, seed=0)
    callback.set_model(model)
    callback.on_test_begin()
    pixels, layer = images / 255, model.layers[0]
    np.testing.assert_allclose(layer.moving_mean, pixels.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, pixels.var((0, 1, 2)), rtol=1e-5)
