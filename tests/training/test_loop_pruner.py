from __future__ import annotations

import functools

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel

from prunus.schedules import Cubic, OneShot
from prunus.training.edge_popup import EdgePopup
from prunus.training.movement import MovementPruner, TopScores
from prunus.training.pruner import Pruner
from prunus.training.rewiring import Rewirer
from prunus.training.updates import Updates

MAKERS = [
    functools.partial(Pruner, schedule=OneShot(0.8, at=2)),
    functools.partial(Rewirer, sparsity=0.8, updates=Updates(until=2, every=1)),
    functools.partial(MovementPruner, rule=TopScores(Cubic(0.8, begin=1, end=2)), learning_rate=1.0),
    functools.partial(EdgePopup, sparsity=0.8, learning_rate=1.0),
]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 4))


@pytest.mark.parametrize("make", MAKERS, ids=["pruner", "rewirer", "movement", "edge-popup"])
def test_what_a_checkpoint_removes_is_removed_from_the_averages_at_once(make):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with make(model, optimizer) as pruner:
        for _ in range(3):
            optimizer.zero_grad()
            cross_entropy(model(torch.ones(2, 6)), torch.tensor([0, 1])).backward()
            optimizer.step()
            pruner.step()
        state = pruner.state_dict()
    assert 75 <= pruner.masks.removed <= 80
    again = network()
    average = AveragedModel(network())
    with make(again, torch.optim.SGD(again.parameters(), 0.1)) as pruner:
        pruner.mask_also(average)
        pruner.load_state_dict(state)
        assert all(bool((average.module.get_parameter(name)[~mask] == 0).all()) for name, mask in pruner.masks.items())
