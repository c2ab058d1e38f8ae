from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prunus.training.optimizers import make_optimizer
from prunus.training.plan import Plan
from prunus.training.together.direct import DirectOptimizer


@pytest.mark.parametrize(
    "plan",
    [
        Plan(optimizer="adam"),
        Plan(optimizer="adam", weight_decay=0.1),
        Plan(optimizer="adamw", weight_decay=0.1),
        Plan(optimizer="sgd"),
        Plan(optimizer="sgd", momentum=0.9, weight_decay=0.1),
        Plan(optimizer="sgd", momentum=0.9, nesterov=True),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_to_the_bit_those_of_the_plans_optimizer(plan, dtype):
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3)).to(dtype)
    ours[0].bias.requires_grad_(False)
    theirs = copy.deepcopy(ours)
    before = copy.deepcopy(ours.state_dict())
    steppers = [(ours, DirectOptimizer(plan, ours)), (theirs, make_optimizer(plan, theirs))]
    for number in range(20):
        inputs = torch.randn(4, 7, dtype=dtype)
        for model, stepper in steppers:
            stepper.param_groups[0]["lr"] = 0.01 / (number + 1)
            stepper.zero_grad()
            model(inputs).square().sum().backward()
            stepper.step()
    for name, weight in ours.state_dict().items():
        assert torch.equal(weight, theirs.state_dict()[name])
        assert torch.equal(weight, before[name]) == (name == "0.bias")
