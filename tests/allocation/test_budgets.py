"""The budgets that need no data: uniform, ERK, LAMP; under patterns and earlier masks."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from prunus.allocation.allocate import allocate
from prunus.allocation.budgets.erk import erk
from prunus.allocation.budgets.lamp import lamp
from prunus.allocation.budgets.request import Request
from prunus.allocation.technique import Technique
from prunus.criteria.lamp import lamp as lamp_scores
from prunus.criteria.magnitude import magnitude
from prunus.criteria.subject import Subject
from prunus.errors import TargetError
from prunus.masks.masks import Masks

calm = settings(max_examples=60)


def subject_of(weights):
    """A model that is nothing but its parameters."""
    model = nn.Module()
    for name, weight in weights.items():
        model.register_parameter(name, nn.Parameter(weight))
    return Subject(model, dict(model.named_parameters()))


def request_of(weights, sparsity, **rest):
    subject = subject_of(weights)
    return Request(subject, magnitude(subject), sparsity, **rest)


def counts(request, sparsities):
    """What ``allocate`` makes of the fractions."""
    return [size - round(sparsities[name] * size) for name, size in request.sizes.items()]


shapes = st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple), min_size=1, max_size=6)


def published_erk(shapes, density):
    """The ε iteration of the authors' code: densities, layer by layer made dense until none exceeds 1."""
    sizes, sums = [math.prod(shape) for shape in shapes], [sum(shape) for shape in shapes]
    dense = set()
    while len(dense) < len(shapes):
        rest = [i for i in range(len(shapes)) if i not in dense]
        kept = density * sum(sizes) - sum(sizes[i] for i in dense)
        epsilon = kept / sum(sums[i] for i in rest)
        most = max(sums[i] / sizes[i] for i in rest)
        if epsilon * most <= 1:
            return [1.0 if i in dense else epsilon * sums[i] / sizes[i] for i in range(len(shapes))]
        dense |= {i for i in rest if sums[i] / sizes[i] == most}
    return [1.0] * len(shapes)


@calm
@given(shapes, st.floats(0, 0.95))
def test_erk_keeps_what_the_published_iteration_keeps(shapes, sparsity):
    request = request_of({f"w{i}": torch.zeros(shape) for i, shape in enumerate(shapes)}, sparsity, protect=False)
    found = counts(request, erk(request))
    total = sum(request.sizes.values())
    assert sum(found) == total - round(sparsity * total)
    densities = published_erk(shapes, sum(found) / total)
    for count, density, shape in zip(found, densities, shapes, strict=True):
        assert abs(count - density * math.prod(shape)) <= 1 + len(shapes) / 4


def test_erk_of_a_worked_example():
    # LeNet-300-100 at density 0.1: ε = 26620 / (1084 + 400 + 110) = 16.7, so the last layer is dense, and of the rest
    # 25620 / 1484 · 1084 = 18714.6 and 6905.7 weights stay
    shapes = {"w0": (300, 784), "w1": (100, 300), "w2": (10, 100)}
    request = request_of({name: torch.zeros(shape) for name, shape in shapes.items()}, 0.9)
    assert counts(request, erk(request)) == [18714, 6906, 1000]


def test_erk_of_a_single_number_and_a_vector():
    request = request_of({"one": torch.ones(()), "few": torch.ones(3), "many": torch.ones(8, 8)}, 0.75, protect=False)
    assert counts(request, erk(request)) == [1, 3, 13]


def lamp_oracle(weights, count):
    """Counts by sorting all LAMP scores in exact arithmetic."""
    ranked = []
    for place, values in enumerate(weights):
        squares = sorted((Fraction(value) ** 2 for value in values), reverse=True)
        for i, square in enumerate(squares):
            left = sum(squares[: i + 1])
            ranked.append((-(square / left if left else 0), place))
    kept = [place for _, place in sorted(ranked)[:count]]
    return [kept.count(place) for place in range(len(weights))]


values = st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.0, 3.0, -5.0, 0.5]), min_size=1, max_size=8)
weight_sets = st.lists(values.filter(any), min_size=1, max_size=4)


@calm
@given(weight_sets, st.floats(0, 0.9), st.booleans())
def test_lamp_counts_are_those_of_all_scores_sorted(weights, sparsity, protect):
    request = request_of({f"w{i}": torch.tensor(each) for i, each in enumerate(weights)}, sparsity, protect=protect)
    total = sum(map(len, weights))
    wanted = total - round(sparsity * total)
    assume(wanted >= len(weights))
    assert counts(request, lamp(request)) == lamp_oracle(weights, wanted)


@calm
@given(weight_sets, st.floats(0, 0.9))
def test_lamp_with_magnitudes_is_the_published_technique(weights, sparsity):
    tensors = {f"w{i}": torch.tensor(each) for i, each in enumerate(weights)}
    assume(not any(value == other for each in weights for value, other in itertools.combinations(map(abs, each), 2)))
    subject = subject_of(tensors)
    one = Technique(lamp_scores, protect=False).allocate(subject, sparsity).masks
    assert Technique("magnitude", budget="lamp", protect=False).allocate(subject, sparsity).masks == one


def test_lamp_protects_a_layer_of_zeros():
    request = request_of({"dead": torch.zeros(4), "alive": torch.rand(8) + 1}, 0.5)
    assert counts(request, lamp(request)) == [1, 5]


def test_lamp_ranks_what_is_left():
    weights = {"a": torch.tensor([5.0, 4.0, 3.0, 2.0]), "b": torch.ones(4)}
    current = Masks({"a": torch.tensor([False, False, False, True]), "b": torch.ones(4, dtype=torch.bool)})
    request = request_of(weights, 0.375, current=current)
    assert counts(request, lamp(request)) == [1, 4]


@calm
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(0, 999)), min_size=1, max_size=5),
    st.floats(0, 0.95),
    st.floats(0, 0.95),
    st.sampled_from([None, "uniform", "erk", "lamp"]),
    st.booleans(),
)
def test_a_higher_sparsity_keeps_a_subset(layers, first, second, budget, protect):
    subject = subject_of(
        {
            f"w{i}": torch.randint(-3, 4, (rows, columns), generator=torch.Generator().manual_seed(seed)).float()
            for i, (rows, columns, seed) in enumerate(layers)
        }
    )
    first, second = sorted((first, second))
    technique = Technique("magnitude", budget=budget, protect=protect)
    try:
        lower, higher = (technique.allocate(subject, sparsity).masks for sparsity in (first, second))
    except TargetError:
        assume(False)
    assert higher & lower == higher


@calm
@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=2, max_size=4),
    st.lists(st.floats(0.01, 0.3), min_size=1, max_size=4),
    st.sampled_from(["uniform", "erk", "lamp"]),
    st.sampled_from(["weight", "row", "column", "block:2x2", "channel"]),
)
def test_step_by_step_no_weight_comes_back_under_any_pattern(layers, steps, budget, pattern):
    subject = subject_of({f"w{i}": torch.randn(shape) for i, shape in enumerate(layers)})
    current, left = None, 1.0
    for step in steps:
        left *= 1 - step
        technique = Technique("random", budget=budget, pattern=pattern, protect=pattern != "weight")
        if (left * sum(rows * columns for rows, columns in layers)) < len(layers) + 1:
            return  # fewer than are protected
        found = technique.allocate(subject, 1 - left, current).masks
        if current is not None:
            assert found & current == found
        if pattern == "weight":
            assert found.removed == round((1 - left) * found.total)
        current = found
        current.apply(subject.model)


def test_heads_go_by_the_weights_of_their_projections():
    model = nn.MultiheadAttention(8, 4)
    scores = {name: torch.rand(weight.shape) for name, weight in model.named_parameters() if weight.dim() == 2}
    budget = {"in_proj_weight": 2 / 3, "out_proj.weight": 0.0}  # of 4 · 64 weights 128 go, which is two heads
    assert allocate(scores, 0.5, pattern="head", budget=budget, model=model).masks.sparsity == 0.5


def test_small_blocks_at_the_edge_are_not_taken_for_going_back():
    scores = {"a": torch.tensor([[3.0, 3.0, 3.0, 3.0, 1.0]])}
    current = Masks({"a": torch.tensor([[True, True, True, True, False]])})  # 0.2 of the weights, but half the blocks
    found = allocate(scores, 0.2, pattern="block:1x4", budget={"a": 0.2}, current=current)
    assert found.masks == current
    with pytest.raises(TargetError, match=r"cannot go back to sparsity 0\.0"):
        allocate(scores, 0.0, pattern="block:1x4", budget={"a": 0.0}, current=current)
