"""What tests of training share: real digits, split by the defaults, and Keras in double precision."""

import keras
import pytest

from experiment.data.arrays import check_arrays
from experiment.data.splits import split_arrays
from params.spec import Params


@pytest.fixture
def float64():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module")
def dataset(digits):
    return split_arrays(check_arrays("digits", digits), Params().model_dump(by_alias=True).__getitem__)
