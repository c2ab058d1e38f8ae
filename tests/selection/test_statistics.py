from __future__ import annotations

import math
import subprocess
import sys

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from prunus.errors import ArgumentError
from prunus.selection.statistics import mean, mean_interval, paired_difference

fractions = st.floats(-1, 1)
confidences = st.sampled_from([0.5, 0.9, 0.95, 0.99])


@given(
    st.lists(fractions, min_size=2, max_size=12).filter(lambda values: max(values) - min(values) > 1e-6), confidences
)
def test_the_interval_is_that_of_scipy(values, confidence):
    found = mean_interval(values, confidence)
    expected = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)
    assert (found.count, found.confidence) == (len(values), confidence)


@given(st.lists(st.tuples(fractions, fractions), min_size=3, max_size=12))
def test_a_paired_difference_is_that_of_scipys_paired_test(pairs):
    first, second = zip(*pairs, strict=True)
    differences = [one - other for one, other in pairs]
    found = paired_difference(first, second)
    assert found.mean == pytest.approx(sum(differences) / len(differences), abs=1e-12)
    if max(differences) - min(differences) > 1e-6:
        expected = scipy.stats.ttest_rel(first, second).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)


def test_the_interval_agrees_with_a_worked_example():
    # Student's own sleep data, differences of the two drugs: mean 1.58, s 1.23, t(9; 0.975) = 2.262 (Student 1908).
    found = mean_interval([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert (found.mean, found.low, found.high) == pytest.approx((1.58, 0.70, 2.46), abs=0.005)


@given(st.permutations([0.91, 0.92, 0.1, 1e-17, 0.3]))
def test_the_mean_does_not_depend_on_the_order_of_the_seeds(values):
    assert mean(values) == mean(sorted(values))


def test_one_value_has_a_mean_and_no_interval():
    found = mean_interval([0.9])
    assert (found.mean, found.low, found.high, found.excludes_zero) == (0.9, None, None, False)


def test_equal_values_have_an_interval_of_no_width():
    found = mean_interval([0.5, 0.5, 0.5])
    assert (found.low, found.high) == (0.5, 0.5)


@pytest.mark.parametrize("unknown", [math.nan, math.inf])
def test_a_value_that_is_not_finite_leaves_the_interval_unknown(unknown):
    found = mean_interval([0.9, unknown, 0.8])
    assert not math.isfinite(found.mean)
    assert (found.low, found.high) == (None, None)


def test_infinities_of_both_signs_have_no_mean():
    assert math.isnan(mean([math.inf, -math.inf]))


@pytest.mark.parametrize(("values", "clear"), [([0.1, 0.11, 0.12], True), ([-0.1, 0.1], False), ([-0.1, -0.11], True)])
def test_an_interval_knows_whether_it_is_clear_of_zero(values, clear):
    assert mean_interval(values).excludes_zero is clear


@pytest.mark.parametrize("call", [lambda: mean([]), lambda: mean_interval([]), lambda: paired_difference([], [])])
def test_no_value_has_no_mean(call):
    with pytest.raises(ArgumentError, match="at least one value"):
        call()


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.1, math.nan])
def test_a_confidence_out_of_bounds_is_refused(confidence):
    with pytest.raises(ArgumentError, match=r"confidence must lie in \(0, 1\)"):
        mean_interval([1.0, 2.0], confidence)


def test_pairs_of_different_seeds_are_refused():
    with pytest.raises(ArgumentError, match="got 2 and 3"):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])


def test_importing_selection_imports_neither_torch_nor_scipy():
    script = (
        "import sys, prunus.selection.choose, prunus.selection.pareto;"
        "print([name for name in ('torch', 'scipy', 'numpy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "[]"
