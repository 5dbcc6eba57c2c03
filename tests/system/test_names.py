import pytest

from experiment.system.names import counted, short, some


def test_an_identifier_is_shortened():
    assert short("0123456789abcdef") == "0123456789ab"
    assert short("old") == "old"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a", "b"], "a, b"),
        (["a", "b", "c"], "a, b and 1 more"),
        (["x"] * 1202, "x, x and 1,200 more"),
    ],
)
def test_a_list_that_is_cut_says_how_many_more_there_are(names, text):
    assert some(names, 2) == text


def test_a_list_that_is_cut_may_say_what_it_lists():
    assert some(["a", "b", "c"], 2, "files", " = ") == "a = b and 1 more files"


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("epoch",), "0 epochs"),
        (1, ("epoch",), "1 epoch"),
        (1_526, ("test",), "1,526 tests"),
        (2, ("class",), "2 classes"),
        (1, ("run waits", "runs wait"), "1 run waits"),
        (3, ("run waits", "runs wait"), "3 runs wait"),
    ],
)
def test_what_is_counted_is_named_in_singular_or_plural(number, words, text):
    assert counted(number, *words) == text
