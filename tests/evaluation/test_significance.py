"""Intervals and tests agree with what SciPy's own functions and textbooks give."""

import math

import numpy as np
import pytest
from scipy import stats

from experiment.evaluation import significance as statistics


def test_an_interval_is_students():
    mean, half_width = statistics.mean_interval([0.90, 0.92, 0.91, 0.95, 0.89])
    expected = stats.t.interval(0.95, 4, loc=mean, scale=stats.sem([0.90, 0.92, 0.91, 0.95, 0.89]))
    assert (mean - half_width, mean + half_width) == pytest.approx(expected)


def test_one_value_has_no_interval():
    mean, half_width = statistics.mean_interval([0.9])
    assert mean == 0.9
    assert math.isnan(half_width)


def test_welch_finds_a_difference_that_is_there_and_its_interval_holds_it():
    generator = np.random.default_rng(0)
    first, second = generator.normal(0.95, 0.002, 5), generator.normal(0.92, 0.01, 5)
    found = statistics.welch(first.tolist(), second.tolist())
    assert found
    assert found.p < 0.05
    assert found.low < 0.03 < found.high
    assert found.value == pytest.approx(first.mean() - second.mean())


def test_welch_raises_a_false_alarm_in_a_twentieth_of_all_cases():
    generator = np.random.default_rng(1)
    draws = generator.normal(0, 1, (600, 2, 5)) * np.array([1.0, 3.0])[:, None]
    found = [statistics.welch(first.tolist(), second.tolist()) for first, second in draws]
    alarms = np.mean([each.p < 0.05 for each in found if each])
    assert None not in found
    assert 0.02 < alarms < 0.08


@pytest.mark.parametrize(
    ("first", "second"), [([0.9], [0.8, 0.7]), ([0.9, 0.9], [0.9, 0.9]), ([], [0.1, 0.2])]
)
def test_welch_says_nothing_where_nothing_can_be_said(first, second):
    assert statistics.welch(first, second) is None


def test_holm_gives_the_textbook_values_in_the_order_of_its_input():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (3, 3), (12, 3), (1, 0), (40, 70), (0, 9)])
def test_mcnemar_is_the_exact_binomial_test(only_first, only_second):
    first = np.array([True] * only_first + [False] * only_second + [True, False])
    second = np.array([False] * only_first + [True] * only_second + [True, False])
    found = statistics.mcnemar(first, second)
    discordant = only_first + only_second
    expected = stats.binomtest(only_first, discordant).pvalue if discordant else 1.0
    assert found == (only_first, only_second, pytest.approx(expected))
