"""The description beside a saved model: whatever it holds, it is read or refused in a sentence."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from experiment.store import bundle

IMAGE = {"height": 28, "width": 28, "channels": 1, "scaling": "float32, value / 255"}
SOUND = {
    "key": "0123456789abcdef",
    "model_file": "model.h5",
    "class_names": ["cat", "dog"],
    "image": IMAGE,
    "dataset": {"name": "digits.npz"},
    "parameters": {"epochs": 1},
    "metrics": {"test_loss": "NaN", "test_accuracy": 0.5},
    "temperature": 1.5,
    "temperature_fitted_on": "validation set",
    "format": 1,
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("model")


def read(folder, content: bytes) -> bundle.Bundle | str:
    """Return what is read, or the sentence that refuses it, without its path."""
    (folder / "bundle.json").write_bytes(content)
    try:
        return bundle.read_bundle(folder)
    except ValueError as error:
        told = str(error)
    path, _, reason = told.partition("' cannot be read: ")
    assert path == f"'{folder / 'bundle.json'}"
    assert reason
    assert "\n" not in reason
    assert "pydantic.dev" not in reason  # which it names in its own messages
    return reason


def test_a_sound_bundle_is_read(folder):
    assert isinstance(read(folder, json.dumps(SOUND).encode()), bundle.Bundle)


@settings(max_examples=150, deadline=None)
@example(place="dataset", value={"\n": None})
@given(place=st.sampled_from([*SOUND, *(f"image.{name}" for name in IMAGE)]), value=VALUES)
def test_a_bundle_with_any_other_value_is_described_or_refused(folder, place, value):
    told = json.loads(json.dumps(SOUND))
    outer, _, inner = place.partition(".")
    if inner:
        told[outer][inner] = value
    else:
        told[outer] = value
    found = read(folder, json.dumps(told).encode())
    if isinstance(found, bundle.Bundle):
        assert 0 < found.temperature < float("inf")
        assert found.image.channels in (1, 3)
        assert len(found.class_names) >= 2
        assert "/" not in found.model_file


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_a_bundle_of_any_bytes_is_refused_in_one_sentence(folder, content):
    assert isinstance(read(folder, content), str)


def test_a_bundle_of_a_thousand_brackets_is_refused(folder):
    assert isinstance(read(folder, b"[" * 100_000), str)


@pytest.mark.parametrize("name", ["../model.h5", "..", "", "model.exe", "a\\b.h5"])
def test_a_model_file_that_is_no_bare_name_is_refused(folder, name):
    assert f"model_file = {name!r}: " in str(read(folder, json.dumps(SOUND | {"model_file": name}).encode()))
