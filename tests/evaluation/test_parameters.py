from __future__ import annotations

import math

import torch
from torch import nn

from prunus.evaluation.parameters import count_nonzero_parameters, count_parameters


def test_tied_parameters_count_once():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5, bias=False))
    model[1].weight = model[0].weight
    model[0].weight.data[0] = 0
    assert (count_parameters(model), count_nonzero_parameters(model)) == (20, 16)


def test_negative_zero_is_zero_and_nan_is_not():
    model = nn.Linear(3, 1, bias=False)
    model.weight.data = torch.tensor([[-0.0, 0.0, math.nan]])
    assert count_nonzero_parameters(model) == 1
