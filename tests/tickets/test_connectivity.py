from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from prunus.errors import ArgumentError
from prunus.tickets.connectivity import Path, linear_path, relative_change, same_signs


def network(value):
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    with torch.no_grad():
        model[0].weight.fill_(value)
    return model


def state(value):
    return {name: each.clone() for name, each in network(value).state_dict().items()}


def test_the_barrier_is_the_rise_above_the_mean_of_the_ends():
    assert Path((0.1, 0.5, 0.3)).barrier == pytest.approx(0.3)
    assert Path((0.2, 0.1, 0.2)).barrier == pytest.approx(0.0)
    assert Path((0.1, 0.2)).barrier == pytest.approx(0.05)


def test_the_line_goes_evenly_from_one_network_to_the_other_and_leaves_the_model():
    model, seen = network(7.0), []

    def error(one):
        seen.append(round(one[0].weight.item(), 6))
        return abs(one[0].weight.item())

    path = linear_path(model, state(-1.0), state(3.0), error, points=5)
    assert seen == [-1, 0, 1, 2, 3]
    assert path.errors == pytest.approx((1, 0, 1, 2, 3))
    assert model[0].weight.item() == 7


def test_an_error_on_the_way_leaves_the_model_too():
    model = network(7.0)

    def fail(one):
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        linear_path(model, state(0.0), state(1.0), fail)
    assert model[0].weight.item() == 7


def test_lines_that_are_none_are_refused():
    with pytest.raises(ArgumentError, match="points must be at least 2, got 1"):
        linear_path(network(0), state(0.0), state(1.0), lambda one: 0.0, points=1)
    with pytest.raises(ArgumentError, match="one architecture"):
        linear_path(network(0), state(0.0), nn.Linear(1, 1).state_dict(), lambda one: 0.0)


def test_signs_and_changes_are_those_of_kept_weights_alone():
    first = {"w": torch.tensor([1.0, -2.0, 2.0, 5.0])}
    second = {"w": torch.tensor([2.0, 2.0, 4.0, -5.0])}
    masks = {"w": torch.tensor([True, True, True, False])}
    assert same_signs(first, second, masks) == pytest.approx(2 / 3)
    assert relative_change(first, second, masks) == pytest.approx(math.sqrt(1 + 16 + 4) / 3)
    nothing = {"w": torch.zeros(4, dtype=torch.bool)}
    assert math.isnan(same_signs(first, second, nothing))
    assert math.isnan(relative_change(first, second, {}))
