from __future__ import annotations

import pytest
import torch
from torch import nn

import prunus
from prunus.errors import ArgumentError, ScopeError
from prunus.tasks.load import build_model

LENET = {"fc1.weight": 235_200, "fc2.weight": 30_000, "fc3.weight": 1_000}


def lenet():
    torch.manual_seed(1)
    return build_model("lenet-300-100", (1, 28, 28), 10)


@pytest.mark.parametrize("rounds", [1, 3, 9, 18])
def test_whole_rounds_of_the_paper_come_out(rounds):
    exact = {name: size * (0.9 if name == "fc3.weight" else 0.8) ** rounds for name, size in LENET.items()}
    sparsity = 1 - sum(exact.values()) / sum(LENET.values())
    masks = prunus.prune(lenet(), sparsity, budget="rates", budget_settings={"rate": 0.2, "layers": {"fc3": 0.1}})
    assert masks.removed == round(sparsity * 266_200)
    for name, count in exact.items():
        assert abs(int(masks[name].sum()) - count) < 1.5  # the total is rounded too


def test_with_equal_rates_it_is_uniform_whatever_the_rate():
    for rate in (0.01, 0.5):
        masks = prunus.prune(lenet(), 0.73, budget="rates", budget_settings={"rate": rate})
        assert masks == prunus.prune(lenet(), 0.73, budget="uniform")


def test_steps_give_what_one_step_gives():
    settings = {"budget": "rates", "budget_settings": {"layers": {"fc3": 0.1, "fc1": 0.4}}}
    model, stepped = lenet(), None
    for sparsity in (0.3, 0.5, 0.9, 0.99):
        stepped = prunus.prune(model, sparsity, current=stepped, **settings)
    assert (stepped ^ prunus.prune(lenet(), 0.99, **settings)).kept <= 2
    assert prunus.prune(lenet(), 0.0, **settings).removed == 0


def test_the_last_pattern_that_matches_counts():
    layers = {"*": 0.5, "fc3.weight": 0.1}
    masks = prunus.prune(lenet(), 0.5, budget="rates", budget_settings={"layers": layers})
    assert masks.sparsities["fc1.weight"] == pytest.approx(0.5, abs=0.01)
    assert masks.sparsities["fc3.weight"] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"rate": 1.0}, ArgumentError, r"in \(0, 1\), got 1.0"),
        ({"rate": True}, ArgumentError, "got True"),
        ({"layers": {"fc3": 0}}, ArgumentError, "got 0"),
        ({"layers": 0.1}, ArgumentError, "map names to rates"),
        ({"layers": {"fc4": 0.1}}, ScopeError, "fc4"),
        ({"rates": 0.1}, ArgumentError, "did you mean 'rate'"),
    ],
)
def test_wrong_rates_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        prunus.prune(nn.Sequential(nn.Linear(3, 4)), 0.5, budget="rates", budget_settings=settings)
