from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunus.errors import ArgumentError
from prunus.schedules import Cubic, Iterative, Levels, Linear, OneShot, rounds_to
from prunus.schedules.base import require_sparsity


def zhu_gupta(step, initial, final, begin, pruning_steps, frequency):
    """Equation 1 of Zhu & Gupta 2017 (arXiv:1710.01878), for t in {t0, t0 + Δt, …, t0 + nΔt}."""
    return final + (initial - final) * (1 - (step - begin) / (pruning_steps * frequency)) ** 3


@given(st.floats(0, 0.99), st.floats(0, 1), st.integers(0, 50), st.integers(1, 20), st.integers(1, 9))
def test_cubic_is_equation_1_of_zhu_and_gupta(final, share, begin, pruning_steps, frequency):
    initial = final * share
    schedule = Cubic(final, begin, begin + pruning_steps * frequency, initial, frequency)
    for number in range(pruning_steps + 1):
        step = begin + number * frequency
        assert schedule.due(step)
        expected = zhu_gupta(step, initial, final, begin, pruning_steps, frequency)
        assert schedule.sparsity(step) == pytest.approx(expected, abs=1e-12)
        assert schedule.sparsity(step + frequency - 1) == schedule.sparsity(step)
    assert schedule.sparsity(schedule.end) == final


def test_golden_cubic():
    # s = 0.9 − 0.9 · (1 − k/4)³ for k = 0 … 4, by hand
    schedule = Cubic(0.9, begin=100, end=500, every=100)
    found = [schedule.sparsity(step) for step in (0, 99, 100, 200, 299, 300, 400, 500, 900)]
    assert found == pytest.approx([0, 0, 0, 0.5203125, 0.5203125, 0.7875, 0.8859375, 0.9, 0.9], abs=1e-12)
    assert [step for step in range(1000) if schedule.due(step)] == [100, 200, 300, 400, 500]


def test_golden_linear():
    schedule = Linear(0.8, begin=10, end=20, initial=0.2, every=4)
    assert [step for step in range(40) if schedule.due(step)] == [10, 14, 18, 20]
    found = [schedule.sparsity(step) for step in (9, 10, 13, 14, 18, 19, 20)]
    assert found == pytest.approx([0, 0.2, 0.2, 0.44, 0.68, 0.68, 0.8], abs=1e-12)


@given(st.floats(0, 0.999999), st.floats(0, 1), st.integers(0, 9), st.integers(1, 99), st.integers(1, 9))
def test_ramps_rise_and_end_exactly_at_the_final_sparsity(final, share, begin, length, every):
    for kind in (Linear, Cubic):
        schedule = kind(final, begin, begin + length, final * share, every)
        sparsities = [schedule.sparsity(step) for step in range(begin + length + 2)]
        assert sparsities == sorted(sparsities)
        assert sparsities[-1] == sparsities[-2] == final
        assert sparsities[begin] == pytest.approx(final * share, abs=1e-12)
        assert schedule.due(begin)
        assert schedule.due(begin + length)


def test_golden_iterative():
    # Frankle & Carbin 2019 (arXiv:1803.03635): 20 % of what is left in each round: 80 %, 64 %, 51.2 % remain
    schedule = Iterative(3, every=10, begin=5)
    assert [step for step in range(60) if schedule.due(step)] == [5, 15, 25]
    found = [schedule.sparsity(step) for step in (4, 5, 14, 15, 25, 99)]
    assert found == pytest.approx([0, 0.2, 0.2, 0.36, 0.488, 0.488])


def test_golden_levels_and_one_shot():
    schedule = Levels([0.5, 0.75], every=3, begin=2)
    assert [schedule.sparsity(step) for step in range(7)] == [0, 0, 0.5, 0.5, 0.5, 0.75, 0.75]
    assert [step for step in range(20) if schedule.due(step)] == [2, 5]
    assert [OneShot(0.9, at=2).sparsity(step) for step in range(4)] == [0, 0, 0.9, 0.9]
    assert OneShot(0.9).due(0)


targets_lists = st.lists(st.floats(0, 0.999), min_size=1, max_size=4, unique_by=lambda t: round(t, 6)).map(sorted)


@given(targets_lists, st.floats(0.01, 0.9))
def test_rounds_land_on_every_target_and_never_remove_more_than_the_fraction(targets, fraction):
    rounds = rounds_to(targets, fraction)
    assert rounds == sorted(set(rounds))
    assert set(targets) <= set(rounds)
    assert rounds[-1] == targets[-1]
    density = 1.0
    for sparsity in rounds:
        assert 1 - (1 - sparsity) / density <= fraction + 1e-6
        density = 1 - sparsity


@given(st.floats(0.01, 0.999), st.floats(0.01, 0.9))
def test_there_are_as_few_rounds_as_possible(target, fraction):
    rounds = rounds_to([target], fraction)
    assert (1 - fraction) ** (len(rounds) - 1) > 1 - target - 1e-6


def test_golden_rounds():
    assert rounds_to([0.5], 0.2) == pytest.approx([0.159, 0.293, 0.405, 0.5], abs=5e-4)
    assert rounds_to([0.2, 0.36, 0.488], 0.2) == [0.2, 0.36, 0.488]
    assert rounds_to([0.0, 0.1], 0.5) == [0.0, 0.1]
    assert rounds_to([], 0.2) == []


@pytest.mark.parametrize("targets", [[0.5, 0.5], [0.5, 0.4], [0.0, 0.0], [50], [-0.1], [math.nan], ["0.5"]])
def test_targets_that_do_not_rise_within_bounds_are_refused(targets):
    with pytest.raises(ArgumentError, match=r"rise|lie in"):
        rounds_to(targets, 0.2)


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 20, math.nan])
def test_a_fraction_out_of_bounds_is_refused(fraction):
    with pytest.raises(ArgumentError, match=r"fraction must lie in \(0, 1\), got"):
        rounds_to([0.5], fraction)


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.5), np.float64(0.25), Fraction(1, 3)])
def test_a_sparsity_may_be_any_real_number(value):
    assert require_sparsity(value) == float(value)
    assert type(require_sparsity(value)) is float


@pytest.mark.parametrize("value", [1, 1.0, 90, -0.1, math.nan, math.inf, "0.5", True, False, None, 0.5j, [0.5]])
def test_what_is_no_sparsity_is_refused(value):
    with pytest.raises(ArgumentError, match=r"sparsity must lie in \[0, 1\), got "):
        require_sparsity(value)


def test_a_percentage_is_told_apart():
    with pytest.raises(ArgumentError, match=r"got 90: it is a fraction removed, not a percentage"):
        require_sparsity(90)


def test_schedules_import_no_torch():
    code = "import sys, prunus.schedules, prunus.masks.pattern_names, prunus.allocation.scopes as _"
    code += "; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
