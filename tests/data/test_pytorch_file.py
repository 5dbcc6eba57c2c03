"""PyTorch's legacy files: read without PyTorch, and nothing in them is run."""

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from experiment.data.pytorch_file import read_tensors
from experiment.errors import UserError
from tests.support.damage import damaged_bytes
from tests.support.pytorch import file_of, head, legacy_file, tensor, write_legacy

VALUES = np.arange(12, dtype="<f4")
ARRAYS = {"kernel": VALUES.reshape(2, 2, 3).transpose(2, 0, 1), "steps": np.array(7, "<i8")}
FILE = legacy_file(ARRAYS)


def read(content: bytes) -> dict[str, np.ndarray]:
    path = Path("weights.pth")
    path.write_bytes(content)
    return read_tensors(path)


class Call:
    """What pickles as a call of a function."""

    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.data())
def test_tensors_are_read_however_they_lie_in_memory(data):
    shapes = of_numpy.array_shapes(max_dims=4, max_side=4)
    array = data.draw(of_numpy.arrays(st.sampled_from(["<f4", "<i8"]), shapes))
    turned = array.transpose(data.draw(st.permutations(range(array.ndim))))
    found = read(legacy_file({"a.weight": turned, "other": VALUES}))
    np.testing.assert_array_equal(found["a.weight"], turned)
    assert found["a.weight"].dtype == turned.dtype
    np.testing.assert_array_equal(found["other"], VALUES)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("place", range(5))
def test_a_pickle_that_names_anything_foreign_is_refused_and_not_run(place, protocol):
    hostile = pickle.dumps(Call(os.mkdir, "was-run"), protocol=protocol)
    parts = [pickle.dumps(0x1950A86A20F9469CFC6C, 2), pickle.dumps(1001, 2)]
    parts += [pickle.dumps({"little_endian": True}, 2), file_of({}, {})[len(head()) :], b""]
    parts[place] = hostile
    with pytest.raises(UserError, match=r"'weights.pth' is no file of weights in PyTorch's legacy format"):
        read(b"".join(parts))
    assert not Path("was-run").exists()


@pytest.mark.parametrize("name", ["torch\nload", "builtins\neval", "torch._utils\n_rebuild_parameter"])
def test_the_refused_global_is_named(name):
    operations = f"c{name}\n)R".encode()
    with pytest.raises(UserError, match=f"asks for {name.replace(chr(10), '.')}, which weights do not need"):
        read(file_of({"weight": operations}, {}))


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param(b"Nr\xff\xff\xff\x7f", id="a memo of 2 billion places"),
        pytest.param(b"\x96" + b"\xff" * 7 + b"\x7f", id="a byte array of 2**63 bytes"),
        pytest.param(b"\x8d" + b"\xff" * 7 + b"\x0f", id="a text of 2**60 bytes"),
        pytest.param(b"ccollections\nOrderedDict\n(]tR", id="a table that is made of another"),
    ],
)
def test_a_pickle_that_asks_for_much_memory_is_refused(operations):
    with pytest.raises(UserError, match="no file of weights"):
        read(head() + b"\x80\x02" + operations + b"." + pickle.dumps([], 2))


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (1, (12,), (1,)),
        (0, (3, 4), (4, 2)),
        (0, (2,), (2**31 - 1,)),
        (0, (2**31 - 1, 2**31 - 1), (0, 0)),
        (0, (13,), (0,)),
        (-1, (2,), (1,)),
        (5, (2,), (-1,)),
        (0, (-2, -2), (1, 1)),
        (0, (0,), (1,)),
        (0, (12,), (1, 1)),
        (0, (1,) * 40, (1,) * 40),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(offset, shape, strides):
    described = {"weight": tensor("1", VALUES, offset, shape, strides)}
    with pytest.raises(UserError, match="a tensor"):
        read(file_of(described, {"1": VALUES}))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (FILE[:-1], "it is cut short"),
        (FILE + b"\0", "it goes on where its tensors end"),
        (b"PK\x03\x04" + FILE, "zip format"),
        (pickle.dumps(1) + FILE, "magic number"),
        (file_of({"w": tensor("1", VALUES, 0, (3,), (1,))}, {"1": VALUES[:3]}), "another|not what|cut short"),
        (file_of({"w": tensor("1", VALUES, 0, (3,), (1,))}, {"2": VALUES}), "storages are not those"),
        (file_of({"w": b"N"}, {}), "something else than a table of tensors"),
        (head() + pickle.dumps([1, 2], 2) * 2, "something else than a table of tensors"),
        (b"", "no file of weights"),
    ],
)
def test_another_or_a_damaged_file_is_refused_in_a_sentence(content, why):
    with pytest.raises(UserError, match=why) as caught:
        read(content)
    assert "\n" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(damaged_bytes(FILE))
def test_any_damage_gives_arrays_or_one_sentence(content):
    sentence = ""
    try:
        assert all(isinstance(array, np.ndarray) for array in read(content).values())
    except UserError as error:
        sentence = str(error)
    assert not sentence or re.fullmatch("'weights.pth' .*", sentence)


def test_a_file_that_is_absent_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"'.*absent.pth' cannot be read: No such file"):
        read_tensors(tmp_path / "absent.pth")


def test_values_are_copies_of_their_own(tmp_path):
    found = read_tensors(write_legacy(tmp_path / "weights.pth", ARRAYS))["kernel"]
    assert found.flags.writeable
    assert found.flags.c_contiguous
