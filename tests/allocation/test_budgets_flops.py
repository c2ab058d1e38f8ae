"""Multiply-adds: what weights cost, and the budget of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import linear

from prunus.allocation.budgets.costs import multiply_adds
from prunus.allocation.budgets.flops import Flops
from prunus.allocation.budgets.ranking import leading
from prunus.allocation.budgets.request import Request
from prunus.allocation.technique import Technique
from prunus.criteria.magnitude import magnitude
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError, TargetError
from prunus.evaluation.flops import count_flops
from prunus.masks.scope import Scope

calm = settings(max_examples=60)


def subject_of(model, inputs):
    return Subject(model, Scope().parameters(model), [(inputs, torch.zeros(len(inputs)))])


def request_of(subject, sparsity, **rest):
    return Request(subject, dict(magnitude(subject)), sparsity, **rest)


def counts(request, sparsities):
    return {name: size - round(sparsities[name] * size) for name, size in request.sizes.items()}


def convolutional():
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3))


# --- what weights cost ---


def test_multiply_adds_of_layers_by_hand():
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, groups=2),  # 4 × 4 places of a 9 × 9 image
        nn.ConvTranspose2d(4, 3, 2),  # each weight at each of the 4 × 4 places of its input
        nn.Flatten(2),
        nn.Linear(25, 6),  # of the 3 channels
    )
    found = multiply_adds(subject_of(model, torch.randn(5, 2, 9, 9)))
    assert found == {"0.weight": 5 * 16 * 36, "1.weight": 5 * 16 * 48, "3.weight": 5 * 3 * 150}


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention, self.recurrent = nn.MultiheadAttention(4, 2, batch_first=True), nn.LSTM(4, 6, batch_first=True)
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.functional = nn.Linear(6, 3)

    def forward(self, inputs):
        attended = self.attention(inputs, inputs, inputs, need_weights=False)[0]
        hidden = self.second(self.first(self.recurrent(attended)[0][:, -1]))
        return linear(hidden, self.functional.weight)


@pytest.mark.parametrize("training", [True, False])
def test_weights_are_found_wherever_they_are_applied(training):
    subject = subject_of(Attending().train(training), torch.randn(5, 7, 4))
    assert multiply_adds(subject) == {
        "attention.in_proj_weight": 5 * 7 * 48,
        "attention.out_proj.weight": 5 * 7 * 16,
        "recurrent.weight_ih_l0": 5 * 7 * 96,
        "recurrent.weight_hh_l0": 5 * 7 * 144,
        "first.weight": 5 * 2 * 36,
        "functional.weight": 5 * 18,
    }
    assert subject.model.training is training


def test_weights_are_found_in_inference_mode():
    subject = subject_of(Attending(), torch.randn(5, 7, 4))
    with torch.inference_mode():
        assert multiply_adds(subject)["recurrent.weight_ih_l0"] == 5 * 7 * 96


def test_parts_of_a_weight_may_see_sequences_of_different_lengths():
    model = nn.Module()
    model.attention = nn.MultiheadAttention(4, 2, batch_first=True)
    model.forward = lambda inputs: model.attention(inputs[:, :3], inputs, inputs, need_weights=False)[0]
    found = multiply_adds(subject_of(model, torch.randn(5, 7, 4)))
    assert found["attention.in_proj_weight"] == 5 * (3 * 16 + 7 * 32)


def test_multiply_adds_are_those_that_evaluation_counts():
    model, inputs = convolutional(), torch.randn(5, 2, 4, 4)
    assert 2 * sum(multiply_adds(subject_of(model, inputs)).values()) == 5 * count_flops(model, inputs).dense


def test_a_weight_that_is_in_no_product_is_to_be_excluded():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model.forward = model[0].forward
    with pytest.raises(ArgumentError, match=r"no matrix product or convolution with '1.weight' is seen .* exclude"):
        multiply_adds(subject_of(model, torch.randn(2, 3)))
    biased = Subject(model[0], dict(model[0].named_parameters()), [(torch.randn(2, 3), torch.zeros(2))])
    with pytest.raises(ArgumentError, match=r"with 'bias' is seen"):
        multiply_adds(biased)


# --- flops ---

ranked_sets = st.lists(st.lists(st.integers(-3, 3), min_size=0, max_size=5), min_size=1, max_size=4)


@calm
@given(ranked_sets, st.data())
def test_the_leading_cost_most_nearly_what_is_wanted(lists, data):
    costs = {name: data.draw(st.integers(1, 9)) for name in range(len(lists))}
    wanted = data.draw(st.integers(0, 60))
    found = leading({name: np.sort(np.array(each, float)) for name, each in enumerate(lists)}, costs, wanted)
    order = sorted((-value, name) for name, each in enumerate(lists) for value in each)
    totals = [0, *itertools.accumulate(costs[name] for _, name in order)]
    best = max(range(len(totals)), key=lambda kept: (-abs(totals[kept] - wanted), kept))
    kept = [name for _, name in order[:best]]
    assert found == {name: kept.count(name) for name in range(len(lists))}


@calm
@given(ranked_sets, st.data())
def test_for_more_cost_no_layer_keeps_fewer(lists, data):
    costs = {name: data.draw(st.floats(0.1, 9)) for name in range(len(lists))}
    ranked = {name: np.sort(np.array(each, float)) for name, each in enumerate(lists)}
    fewer, more = (leading(ranked, costs, wanted) for wanted in sorted(data.draw(st.tuples(*[st.floats(0, 60)] * 2))))
    assert all(fewer[name] <= more[name] for name in ranked)


@pytest.mark.parametrize("per_flop", [False, True])
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.77, 0.9])
def test_the_target_is_met_in_multiply_adds(per_flop, sparsity):
    model, inputs = convolutional(), torch.randn(5, 2, 4, 4)
    technique = Technique(budget="flops", budget_settings={"per_flop": per_flop})
    masks = technique.allocate(subject_of(model, inputs), sparsity).masks
    dense = count_flops(model, inputs).dense
    masks.apply(model)
    removed = 1 - count_flops(model, inputs).effective / dense
    assert abs(removed - sparsity) <= 16 / (dense / 2) / 2  # half of what the dearest weight costs


def test_flops_by_exhaustive_search():
    model, inputs = convolutional(), torch.randn(5, 2, 4, 4)
    subject = subject_of(model, inputs)
    request = request_of(subject, 0.6, protect=False)
    costs = {"0.weight": 16, "4.weight": 1}
    every = torch.cat([request.scores[name].reshape(-1) for name in costs]).sort().values
    tries = []
    for threshold in [0.0, *(every + 1e-9).tolist()]:
        kept = {name: int((request.scores[name] > threshold).sum()) for name in costs}
        cost = sum(costs[name] * kept[name] for name in costs)
        tries.append((abs(cost - 0.4 * (16 * 72 + 48)), -cost, kept))
    assert counts(request, Flops()(request)) == min(tries, key=lambda each: each[:2])[2]


def test_ranked_per_flop_cheap_weights_stay():
    subject = subject_of(convolutional(), torch.randn(5, 2, 4, 4))
    request = request_of(subject, 0.5)
    plain, cheap = (counts(request, Flops(per_flop)(request)) for per_flop in (False, True))
    assert cheap["4.weight"] > plain["4.weight"]
    assert cheap["0.weight"] <= plain["0.weight"]


def test_with_equal_costs_flops_is_the_global_scope():
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 5))
    subject = subject_of(model, torch.randn(4, 6))
    for sparsity in (0.1, 0.5, 0.93):
        plain = Technique().allocate(subject, sparsity).masks
        assert Technique(budget="flops").allocate(subject, sparsity).masks == plain


@calm
@given(st.floats(0, 0.95), st.floats(0, 0.95), st.booleans(), st.booleans())
def test_masks_of_more_flops_are_nested(first, second, per_flop, protect):
    torch.manual_seed(0)
    subject = subject_of(convolutional(), torch.randn(5, 2, 4, 4))
    technique = Technique(budget=Flops(per_flop), protect=protect)
    lower, higher = (technique.allocate(subject, sparsity).masks for sparsity in sorted((first, second)))
    assert higher & lower == higher


def test_flops_keep_what_earlier_masks_left_and_protect():
    model = convolutional()
    subject = subject_of(model, torch.randn(5, 2, 4, 4))
    current = Technique("random").allocate(subject, 0.6).masks
    for sparsity in (0.2, 0.7, 0.9):  # the first is passed already
        found = Technique("random", budget="flops").allocate(subject, sparsity, current).masks
        assert found & current == found
    assert found.sparsity > current.sparsity
    assert all(mask.any() for mask in Technique(budget="flops").allocate(subject, 0.98).masks.values())
    with pytest.raises(TargetError, match=r"sparsity 0.99 leaves 0.01 of the multiply-adds, and the weights .* 0.014"):
        Technique(budget="flops").allocate(subject, 0.99)
