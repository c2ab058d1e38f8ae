from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prunus.training.optimizers import make_optimizer
from prunus.training.plan import Plan
from prunus.training.together.direct_adam import DirectAdam


@pytest.mark.parametrize("optimizer", DirectAdam.NAMES)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_step_is_to_the_bit_that_of_the_plans_optimizer(optimizer, weight_decay, dtype):
    torch.manual_seed(0)
    plan = Plan(optimizer=optimizer, weight_decay=weight_decay, learning_rate=0.01)
    ours = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3)).to(dtype)
    ours[0].bias.requires_grad_(False)
    theirs = copy.deepcopy(ours)
    before = copy.deepcopy(ours.state_dict())
    steppers = [(ours, DirectAdam(plan, ours)), (theirs, make_optimizer(plan, theirs))]
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
