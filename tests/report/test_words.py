from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunus.report import words
from prunus.selection.constraints import Constraint
from prunus.selection.metrics import METRICS
from prunus.selection.statistics import Interval, mean_interval


@given(st.lists(st.integers(1, 99_999), min_size=2, max_size=2, unique=True))
def test_sparsities_that_differ_by_a_tenth_of_the_density_read_differently(thousandths):
    first, second = (1 - one / 100_000 for one in thousandths)
    if abs(first - second) >= 0.1 * max(1 - first, 1 - second) and abs(first - second) >= 0.001:
        assert words.sparsity_percent(first) != words.sparsity_percent(second)


@pytest.mark.parametrize(
    ("sparsity", "text"),
    [(0.0, "0"), (0.5, "50"), (0.9, "90"), (0.9683772, "96.8"), (0.99, "99"), (0.995, "99.5"), (0.9995, "99.95")],
)
def test_a_sparsity_has_the_digits_that_it_needs(sparsity, text):
    assert words.sparsity_percent(sparsity) == f"{text}\u00a0%"


@given(st.floats(-1e6, 1e6))
def test_a_signed_number_reads_back_and_zero_has_no_sign(value):
    text = words.signed(value)
    assert float(text.replace("−", "-")) == pytest.approx(value, abs=0.051)
    assert text[0].isdigit() == (round(abs(value), 1) == 0)


def test_numbers_that_are_unknown_are_a_dash():
    for write in (words.percent, words.sparsity_percent, words.signed, words.count, words.kilobytes, words.duration):
        assert write(math.nan) == "–"


def test_one_value_has_no_spread():
    assert words.spread(mean_interval([0.5])) == ""
    assert words.spread(mean_interval([0.5, 0.5])) == "±0.0"


@pytest.mark.parametrize(
    ("number", "noun", "text"), [(1, "seed", "1 seed"), (3, "seed", "3 seeds"), (2, "sparsity", "2 sparsities")]
)
def test_nouns_agree_with_their_number(number, noun, text):
    assert words.plural(number, noun) == text


def test_lists_end_with_and():
    assert [words.listed(list("abc"[:size])) for size in range(4)] == ["", "a", "a and b", "a, b and c"]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_an_objective_and_a_limit_in_words(name):
    assert words.objective(name).startswith(("the highest ", "the lowest ", "the smallest "))
    assert "_" not in words.objective(name) + words.constraint(Constraint(name, "at_most", 0.5))


def test_drops_are_points_and_sparsities_percent():
    assert words.constraint(Constraint("worst_class_drop", "at_most", 0.05)).endswith("at most 5\u00a0points")
    assert words.constraint(Constraint("sparsity", "at_least", 0.9)) == "sparsity of at least 90\u00a0%"


@pytest.mark.parametrize(("seconds", "text"), [(4, "4.0 s"), (151, "2 min 31 s"), (11_100, "3 h 5 min")])
def test_times_are_in_the_units_of_a_clock(seconds, text):
    assert words.duration(seconds).replace("\u00a0", " ") == text


@pytest.mark.parametrize(("first", "last", "text"), [(1, 14, "1–14"), (3, 3, "3")])
def test_ranks_are_written_from_the_first_to_the_last(first, last, text):
    assert words.rank_range(first, last) == text


@given(st.floats(-1, 1), st.floats(0, 1))
def test_a_differences_interval_shows_on_which_side_of_zero_it_ends(middle, reach):
    interval = Interval(middle, middle - reach, middle + reach, 3, 0.95)
    _, text = words.difference(interval)
    for end, written in zip((interval.low, interval.high), text.split(" to "), strict=True):
        if abs(end) > 1e-6:
            assert written[0] == ("+" if end > 0 else "−")


def test_a_difference_without_an_interval_has_a_dash():
    assert words.difference(Interval(0.0123, None, None, 1, 0.95)) == ("+1.2", "–")
