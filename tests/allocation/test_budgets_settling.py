"""Requests, and how wishes become whole weights."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from prunus.allocation.budgets.bisection import smallest_double
from prunus.allocation.budgets.request import Request
from prunus.allocation.budgets.settling import settled
from prunus.allocation.budgets.uniform import uniform
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError, TargetError
from prunus.masks.masks import Masks

calm = settings(max_examples=60)


def subject_of(weights):
    """A model that is nothing but its parameters."""
    model = nn.Module()
    for name, weight in weights.items():
        model.register_parameter(name, nn.Parameter(weight))
    return Subject(model, dict(model.named_parameters()))


def sized(sizes, sparsity, **rest):
    """A request for parameters of these sizes, which take no memory."""
    return Request(
        subject_of({f"w{i}": torch.zeros(1).expand(size) for i, size in enumerate(sizes)}), {}, sparsity, **rest
    )


def counts(request, sparsities):
    """What ``allocate`` makes of the fractions."""
    return [size - round(sparsities[name] * size) for name, size in request.sizes.items()]


def settle(sizes, wanted, wishes, **rest):
    request = sized(sizes, 1 - wanted / sum(sizes), **rest)
    return counts(request, settled(request, dict(zip(request.sizes, wishes, strict=True))))


def masks_left(left, sizes):
    return Masks({f"w{i}": torch.arange(size) < count for i, (count, size) in enumerate(zip(left, sizes, strict=True))})


layers = st.lists(st.integers(1, 6), min_size=1, max_size=4)
wish = st.sampled_from([0, 0.1, 0.5, 1, 1, 2, 3, 1e-9, 1e9]) | st.floats(1e-6, 10)


@st.composite
def settlements(draw):
    """Sizes, what is left of each, a number that is wanted, wishes, protection."""
    sizes = draw(layers)
    left = [draw(st.integers(0, size)) for size in sizes]
    protect = draw(st.booleans())
    least = [min(1, count) if protect else 0 for count in left]
    wanted = draw(st.integers(max(1, sum(least)), max(1, sum(left))))
    assume(sum(least) <= wanted <= sum(left))
    return sizes, left, least, wanted, [draw(wish) for _ in sizes], protect


@calm
@given(settlements())
def test_settled_counts_are_exact_and_within_bounds(case):
    sizes, left, least, wanted, wishes, protect = case
    found = settle(sizes, wanted, wishes, current=masks_left(left, sizes), protect=protect)
    assert sum(found) == wanted
    assert all(low <= count <= high for low, count, high in zip(least, found, left, strict=True))


@calm
@given(settlements())
def test_no_other_counts_are_nearer_to_the_wishes(case):
    sizes, left, least, wanted, wishes, protect = case
    assume(min(wishes) > 0)
    found = settle(sizes, wanted, wishes, current=masks_left(left, sizes), protect=protect)

    def distance(shares):
        return sum(Fraction(share) ** 2 / Fraction(wish) for share, wish in zip(shares, wishes, strict=True))

    ranges = [range(low, high + 1) for low, high in zip(least, left, strict=True)]
    best = min(distance(shares) for shares in itertools.product(*ranges) if sum(shares) == wanted)
    assert distance(found) <= best * (1 + Fraction(1, 10**12))


@calm
@given(settlements())
def test_what_is_wanted_more_is_taken_from_no_layer(case):
    sizes, left, _, wanted, wishes, protect = case
    assume(wanted < sum(left))
    current = masks_left(left, sizes)
    fewer, more = (settle(sizes, each, wishes, current=current, protect=protect) for each in (wanted, wanted + 1))
    assert all(low <= high for low, high in zip(fewer, more, strict=True))


@calm
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8))
def test_whole_wishes_that_add_up_come_true(pairs):
    wishes = [kept for kept, _ in pairs]
    sizes = [max(1, kept + gone) for kept, gone in pairs]
    assume(sum(wishes) > 0)
    assert settle(sizes, sum(wishes), wishes, protect=False) == wishes


@calm
@given(settlements(), st.integers(-900, 900))
def test_a_common_factor_of_the_wishes_changes_nothing(case, exponent):
    sizes, left, _, wanted, wishes, protect = case
    current = masks_left(left, sizes)
    scaled = [each * 2.0**exponent for each in wishes]
    assert settle(sizes, wanted, wishes, current=current, protect=protect) == settle(
        sizes, wanted, scaled, current=current, protect=protect
    )


def test_of_layers_with_equal_claims_the_first_gets_the_last_weight():
    assert settle([4, 4, 4], 7, [1, 1, 1]) == [3, 2, 2]
    assert settle([4, 4, 4], 8, [1 / 3, 1 / 3, 1 / 3]) == [3, 3, 2]
    assert settle([9, 3], 2, [3, 1], protect=False) == [2, 0]  # 1.5 and 0.5: both claims are 1 / 6 at the second weight
    assert settle([3, 9], 2, [1, 3], protect=False) == [1, 1]


def test_shares_are_rounded_at_the_half():
    assert settle([5, 100], 49, [1, 100], protect=False) == [0, 49]
    assert settle([5, 100], 51, [1, 100], protect=False) == [1, 50]


def test_largest_remainders_would_take_a_weight_from_a_layer_when_more_are_wanted():
    # the Alabama paradox: at 10 the remainders give 4, 4, 2 and at 11 they give 5, 5, 1
    fewer, more = (settle([6, 6, 2], wanted, [6, 6, 2]) for wanted in (10, 11))
    assert all(low <= high for low, high in zip(fewer, more, strict=True))


def test_a_layer_without_a_wish_gets_what_the_others_have_no_room_for():
    assert settle([4, 6, 3], 5, [1, 0, 0], protect=False) == [4, 1, 0]
    assert settle([4, 6, 3], 10, [1, 0, 0], protect=False) == [4, 4, 2]
    assert settle([4, 6, 3], 3, [1, 0, 0]) == [1, 1, 1]


def test_wishes_of_any_scale_are_settled():
    assert settle([10, 10], 11, [1e300, 1e-300]) == [10, 1]
    assert settle([10, 10], 15, [5e-324, 1e300]) == [5, 10]
    assert settle([10**9, 10], 10**9, [1e9, 10]) == [10**9 - 10, 10]


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf, None])
def test_a_wish_that_is_no_number_of_weights_is_refused(wrong):
    request = sized([4, 4], 0.5)
    wishes = {"w0": 1.0} if wrong is None else {"w0": 1.0, "w1": wrong}
    with pytest.raises(ArgumentError, match=r"a wish is a finite number of weights, at least 0, got .* of 'w1'"):
        settled(request, wishes)


def test_a_thousand_layers_of_a_thousand_million_weights_are_settled_exactly():
    generator = np.random.default_rng(0)
    request = sized([int(size) for size in generator.integers(1, 2_000_000, 1000)], 0.9)
    found = settled(request, {name: size**0.5 for name, size in request.sizes.items()})
    assert sum(counts(request, found)) == request.wanted


@calm
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=20), st.floats(0, 0.999))
def test_fractions_of_large_layers_are_whole_weights_again(sizes, sparsity):
    request = sized(sizes, sparsity, protect=False)
    assert sum(counts(request, uniform(request))) == sum(sizes) - round(sparsity * sum(sizes))


@calm
@given(st.floats(allow_nan=False))
def test_bisection_ends_at_the_very_double(number):
    assume(number > -math.inf)
    assert smallest_double(lambda each: each >= number) == number


# --- requests ---


def test_a_request_that_leaves_too_little_or_too_much_is_refused():
    with pytest.raises(TargetError, match=r"sparsity 0.9 leaves 1 of 12 weights for 3 tensors, of which each keeps"):
        uniform(sized([4, 4, 4], 0.9))
    assert counts(sized([4, 4, 4], 0.9, protect=False), uniform(sized([4, 4, 4], 0.9, protect=False))) == [1, 0, 0]
    current = masks_left([1, 2, 1], [4, 4, 4])
    with pytest.raises(TargetError, match=r"cannot go back to sparsity 0.5: 8 of 12 are removed already"):
        uniform(sized([4, 4, 4], 0.5, current=current))
    rows = sized([4, 4, 4], 0.5, current=current, pattern="row")
    assert counts(rows, uniform(rows)) == [1, 2, 1]


def test_a_layer_that_is_gone_is_no_one_to_protect():
    request = sized([4, 4], 0.5, current=masks_left([0, 4], [4, 4]))
    assert counts(request, uniform(request)) == [0, 4]
