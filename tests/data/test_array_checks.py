"""Arrays as people have them: refused in a sentence with the remedy, or fit for all that uses images."""

import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy
from PIL import Image

from experiment.data import array_checks
from experiment.data import image as images
from experiment.data.arrays import check_arrays
from experiment.data.image_fit import Target
from experiment.data.splits import check_repeats, split_arrays
from experiment.run import figures
from experiment.store import bundle
from params.spec import Params


def made(shape=(6, 5), train=12, test=8, **changes):
    """Return a set of random images of four classes, all different, with some arrays changed."""
    random = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        arrays[f"x_{part}"] = random.integers(0, 256, (count, *shape), dtype=np.uint8)
        arrays[f"y_{part}"] = np.arange(count) % 4
    return arrays | changes


def allowing(value):
    return Params(dataset="mine", allow_duplicates=value).model_dump(by_alias=True).__getitem__


X, Y = made()["x_train"], made()["y_train"]
IMAGES = {
    "floats in 0-1": (X / 255, X),
    "float32 in 0-1": ((X / 255).astype(np.float32), X),
    "floats in -1 to 1": (X / 127.5 - 1, X),
    "floats in 0-255": (X.astype(float), X),
    "int64": (X.astype(int), X),
    "booleans": (X > 127, (X > 127) * np.uint8(255)),
    "0 and 1": ((X > 127).astype(np.uint8), (X > 127) * np.uint8(255)),
    "flat": (X.reshape(12, 30).repeat(30, 1)[:, :784], None),
    "channels first": (np.stack([X, X, X], 1), np.stack([X, X, X], 3)),
    "one channel first": (X[:, np.newaxis], X[..., np.newaxis]),
    "alpha": (np.stack([X] * 4, 3), np.stack([X] * 3, 3)),
    "two channels": (np.stack([X] * 2, 3), X),
    "a fifth axis": (X[..., np.newaxis, np.newaxis], X[..., np.newaxis]),
}


@pytest.mark.parametrize("form", IMAGES)
def test_the_remedy_for_images_makes_them_fit(form):
    images, expected = IMAGES[form]
    with pytest.raises(ValueError, match="x_train = ") as caught:
        check_arrays("mine", made(x_train=images, x_test=images[:8]))
    remedy = re.search(r"(x_train = .*?)(, or,|$| keeps| leaves)", str(caught.value))
    assert remedy
    names = {"np": np, "x_train": images}
    exec(remedy[1], names)
    mended = array_checks.check_images("mine", "x_train", names["x_train"])
    array_checks.check_content("mine", "x_train", mended)
    if expected is not None:
        np.testing.assert_array_equal(mended.reshape(expected.shape), expected)


LABELS = {
    "one-hot": np.eye(4)[Y],
    "one-hot booleans": np.eye(4, dtype=bool)[Y],
    "strings": np.array(["bird", "cat", "dog", "newt"])[Y],
    "floats": Y.astype(np.float32),
    "from 1": Y + 1,
    "from -1": Y - 1,
    "with gaps": Y * 10,
}


@pytest.mark.parametrize("form", LABELS)
def test_the_remedy_for_labels_makes_them_fit(form):
    with pytest.raises(ValueError, match="y_train") as caught:
        check_arrays("mine", made(y_train=LABELS[form]))
    remedy = re.search(r"(np\.searchsorted\(.*\)|y_train\.a\w+\(.*?\)|y_train - 1)", str(caught.value))
    assert remedy
    mended = eval(remedy[1], {"np": np, "y_train": LABELS[form]})
    assert check_arrays("mine", made(y_train=mended)).train.labels.tolist() == Y.tolist()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 32, 32), r"channels, not \[12, 3, 32, 32\], where they come first: .*transpose\(0, 2, 3, 1\)"),
        ((784,), r"not \[12, 784\]: x_train = x_train.reshape\(-1, 28, 28\)"),
        ((3072,), r"reshape\(-1, 32, 32, 3\), or, .* reshape\(-1, 3, 32, 32\)|reshape\(-1, 3, 32, 32\)"),
        ((1, 20), "H and W of 4 pixels at least"),
        ((3, 3), "H and W of 4 pixels at least"),
        ((20, 20, 7), "channels, not 7"),
    ],
)
def test_a_shape_that_no_image_has_is_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        check_arrays("mine", made(shape))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": X * 0}, "every image of x_train is blank, all its pixels alike"),
        ({"x_test": X[:8] * 0 + 9}, "every image of x_test is blank"),
        ({"x_test": X[:8] // 128}, "x_test holds 0 and 1 alone, nearly black"),
        ({"x_train": np.where(X > 9, np.nan, 1.0)}, "some values are not finite"),
        ({"x_train": [[1], [2, 3]]}, "x_train cannot be made an array"),
        ({"x_train": None}, "x_train must be uint8, 0–255, not object"),
        ({"y_train": Y > 1}, r'bool \[12\]: y_train = y_train.astype\("int64"\)'),
        ({"y_train": Y + 0.5}, "a value to be estimated is no class"),
        ({"y_train": np.ones((12, 4))}, "an image has one class"),
        ({"x_val": X[:4]}, "has no array 'y_val': it holds x_test, x_train, x_val"),
        ({"x_val": X, "x_valid": X}, "has both 'val' and 'valid'"),
    ],
)
def test_a_wrong_array_is_refused_with_what_to_do(changes, message):
    with pytest.raises(ValueError, match=message):
        check_arrays("mine", made(**changes))


def test_what_is_no_mapping_is_refused():
    with pytest.raises(ValueError, match="must be arrays by name, .*, not a tuple"):
        check_arrays("arrays", ((X, Y), (X, Y)))  # type: ignore[arg-type]


@given(
    hypothesis_numpy.arrays(
        st.sampled_from([np.uint8, np.float32, np.int64, np.bool_]),
        st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 9]), max_size=5).map(tuple),
        elements=st.integers(0, 1),
        fill=st.integers(0, 1),
    ),
    st.sampled_from([1, 255]),
)
@settings(max_examples=150, deadline=None)
def test_any_array_is_refused_in_one_sentence_or_fits_what_draws_and_reads_images(array, factor):
    try:
        checked = array_checks.check_images("mine", "x_train", array * array.dtype.type(factor))
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
    assert "\n" not in refusal
    if refusal:
        return
    facts = bundle.image_facts(checked.shape[1:])
    drawn = figures._drawn(checked[0])
    assert drawn.shape == (checked.shape[1:3] if facts.channels == 1 else checked.shape[1:])
    stored = io.BytesIO()
    Image.fromarray(drawn).save(stored, "PNG")
    read = images.read_image(stored.getvalue(), Target(facts.height, facts.width, facts.channels))
    np.testing.assert_array_equal(read.pixels, checked[0])


@given(
    hypothesis_numpy.arrays(
        st.sampled_from([*map(np.dtype, ("u1", "f8", "i8", "?", "U3", "O"))]),
        st.lists(st.integers(0, 4), max_size=3).map(tuple),
    )
)
@settings(max_examples=40, deadline=None)
def test_any_labels_are_refused_in_one_sentence_or_are_integers(array):
    try:
        labels = array_checks.check_labels("mine", "y_train", array)
    except ValueError as error:
        refusal = str(error)
    else:
        refusal = ""
    assert "\n" not in refusal
    if refusal:
        return
    assert (labels.dtype, labels.ndim) == (np.int32, 1)


def test_some_blank_images_are_a_notice():
    some = X.copy()
    some[:3] = 0
    arrays = check_arrays("mine", made(x_train=some))
    assert arrays.notices == ("mine: 3 of 12 images of x_train are blank, all their pixels alike",)
    assert not arrays.repeats


def test_values_that_use_little_of_the_range_are_a_notice():
    (notice,) = check_arrays("mine", made(x_train=X // 16)).notices
    assert 'nearly black; (x_train * (255 / 15)).astype("uint8")' in notice


def test_test_examples_that_are_training_examples_are_refused_unless_allowed():
    arrays = check_arrays("mine", made(x_test=X[:8]))
    with pytest.raises(ValueError, match="8 of 8 test images are train images as well, .*allow-duplicates"):
        check_repeats(arrays, allowing(False))
    check_repeats(arrays, allowing(True))


def test_an_image_in_two_classes_is_refused_unless_allowed():
    twice = np.concatenate([X, X[:1]])
    arrays = check_arrays("mine", made(x_train=twice, y_train=np.append(Y, 3)))
    with pytest.raises(ValueError, match="1 train image repeats one of another class, such as number 12"):
        check_repeats(arrays, allowing(False))
    check_repeats(arrays, allowing(True))


def test_equal_images_of_a_class_pass_and_are_never_divided_by_a_split():
    twice = made(train=40)
    twice["x_train"] = np.concatenate([twice["x_train"]] * 2)
    twice["y_train"] = np.concatenate([twice["y_train"]] * 2)
    arrays = check_arrays("mine", twice)
    check_repeats(arrays, allowing(False))
    get_parameter = Params(dataset="mine", validation=0.25).model_dump(by_alias=True).__getitem__
    split = split_arrays(arrays, get_parameter)
    assert len(split.validation) == 20
    assert not {each.tobytes() for each in split.train.images} & {
        each.tobytes() for each in split.validation.images
    }


@pytest.mark.parametrize("spelling", ["val", "valid", "validation"])
def test_a_validation_part_is_used(spelling):
    extra = made(test=4)["x_test"] ^ 1
    arrays = check_arrays("mine", made() | {f"x_{spelling}": extra, f"y_{spelling}": np.arange(4)})
    assert not arrays.notices
    get_parameter = Params(dataset="mine", validation="folder").model_dump(by_alias=True).__getitem__
    np.testing.assert_array_equal(split_arrays(arrays, get_parameter).validation.images[..., 0], extra)


def test_arrays_of_unknown_names_are_named_in_a_notice():
    (notice,) = check_arrays("mine", made(weights=X, names=Y)).notices
    assert notice.endswith("not used, as only x_ and y_ of train, val and test are: names, weights")
