from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunus.report.frame import LAYOUTS, Axis, Frame, accuracies, densities, steps
from prunus.report.lines import Line, Spot, extent
from prunus.selection.statistics import Interval

LINEAR = Axis(20.0, 220.0, (), ",d")
FRAME = Frame(LAYOUTS[0], Axis(1.0, 0.01, (), ".3~p", log=True), accuracies(0.5, 1.0))


def test_equal_differences_are_equally_long_and_by_logarithm_equal_ratios():
    assert [LINEAR.share(value) for value in (20, 70, 220)] == [0, 0.25, 1]
    assert [FRAME.across.share(value) for value in (1, 0.1, 0.01)] == pytest.approx([0, 0.5, 1])


@given(st.floats(-50, 900), st.floats(-50, 400))
def test_what_stands_at_a_place_lies_there(x, y):
    place = FRAME.place(x, y)
    assert FRAME.x(place["x"]) == pytest.approx(x, abs=1e-6)
    assert FRAME.y(place["y"]) == pytest.approx(y, abs=1e-6)


@given(st.floats(0, 1), st.floats(0, 1))
def test_accuracies_lie_between_round_lines_of_the_grid(one, other):
    low, high = sorted((one, other))
    axis = accuracies(low, high)
    assert 0 <= axis.start <= low + 1e-6
    assert high - 1e-6 <= axis.end <= 1
    assert (axis.ticks[0], axis.ticks[-1]) == (pytest.approx(axis.start), pytest.approx(axis.end))
    assert 2 <= len(axis.ticks) <= 7


def test_the_ends_and_then_the_most_important_densities_are_written():
    axis = densities(0.04, [0.2, 0.05, 0.5], LAYOUTS[0], "weights")
    assert (axis.start, axis.end) == (1, 0.04)
    assert axis.ticks == (1, 0.5, 0.2, 0.04)  # 5 % would stand in 4 %
    assert axis.title == "weights remaining (log scale)"


@given(st.integers(0, 5000), st.integers(0, 10**6), st.integers(2, 8))
def test_steps_are_written_in_round_numbers_that_have_room(first, more, most):
    axis = steps(first, first + more, most)
    assert (axis.start, axis.end) == (first, max(first + more, first + 1))
    assert 1 <= len(axis.ticks) <= most
    assert all(first <= tick <= axis.end and tick == round(tick) for tick in axis.ticks)
    if len(axis.ticks) > 1:
        apart = axis.ticks[1] - axis.ticks[0]
        assert apart / 10 ** math.floor(math.log10(apart)) in (1, 2, 5)


def test_a_band_ends_where_the_values_can_go_no_further():
    interval = Interval(0.99, 0.95, 1.03, 3, 0.95)
    assert Spot.of(1, interval, highest=1) == Spot(1, 0.99, 0.95, 1)
    assert Spot.of(1, Interval(2, -3, 7, 3, 0.95), highest=900) == Spot(1, 2, 0, 7)
    assert Spot.of(1, Interval(0.9, None, None, 1, 0.95), highest=1) == Spot(1, 0.9)


def test_an_extent_holds_the_bands():
    line = Line(0, "a", (Spot(1, 5), Spot(2, 6, 3, 7), Spot(3, 8)))
    assert extent(line.spots) == (3, 8)
