from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunus.errors import ArgumentError, UnknownNameError
from prunus.selection.pareto import candidates_on_front, pareto_front

directions = st.sampled_from(["higher", "lower"])
few_values = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan])  # many ties


def dominates(one, other, better):
    at_least = [a >= b if way == "higher" else a <= b for a, b, way in zip(one, other, better, strict=True)]
    return all(at_least) and one != other


@given(st.lists(st.tuples(few_values, few_values), max_size=12), st.tuples(directions, directions))
def test_the_front_is_what_brute_force_finds(points, better):
    known = [point for point in points if not any(map(math.isnan, point))]
    expected = {
        index
        for index, point in enumerate(points)
        if point in known and not any(dominates(other, point, better) for other in known)
    }
    front = pareto_front(points, better)
    assert set(front) == expected
    assert len(front) == len(expected)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=12), st.tuples(directions, directions))
def test_the_front_runs_from_the_best_first_value_to_the_worst(points, better):
    values = [points[index][0] for index in pareto_front(points, better)]
    assert values == sorted(values, reverse=better[0] == "higher")


def test_equal_points_all_stay():
    assert sorted(pareto_front([(1, 1), (0, 0), (1, 1)], ("higher", "higher"))) == [0, 2]


def test_no_points_have_no_front():
    assert pareto_front([], ("higher", "lower")) == []


def test_an_unknown_direction_is_refused():
    with pytest.raises(ArgumentError, match="'higher' or 'lower', got 'up'"):
        pareto_front([(1, 1)], ("up", "lower"))


def test_candidates_are_compared_by_the_validation_mean_over_seeds(candidate):
    small = candidate("small", 0.9, accuracy=[0.8, 0.9], size_bytes=10)
    exact = candidate("exact", 0.5, accuracy=[0.9, 0.9], size_bytes=50)
    beaten = candidate("beaten", 0.5, accuracy=[0.8, 0.9], size_bytes=11, reporting={"accuracy": 1.0, "size_bytes": 1})
    assert candidates_on_front([small, beaten, exact], "size_bytes", "accuracy") == [small, exact]


def test_an_unknown_metric_has_no_front(candidate):
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        candidates_on_front([candidate("any", 0.5)], "acuracy", "size_bytes")


def test_candidates_that_lack_seeds_are_not_on_the_front(candidate):
    lucky = candidate("lucky", 0.9, accuracy=[0.99])
    complete = candidate("complete", 0.9, accuracy=[0.95, 0.93])
    assert candidates_on_front([lucky, complete], "accuracy", "sparsity") == [complete]
