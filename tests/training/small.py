"""A network so small that it is trained in no time, and its batches by number."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy


def small_model():
    generator = torch.Generator().manual_seed(9)
    model = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 4))
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4)
    return model


def sgd(model):
    return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)


def batch(number):
    generator = torch.Generator().manual_seed(number)
    return torch.randn(8, 6, generator=generator), torch.randint(4, (8,), generator=generator)


def train(model, optimizer, pruner, steps, start=0):
    for number in range(start, start + steps):
        inputs, targets = batch(number)
        optimizer.zero_grad()
        cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        if pruner is not None:
            pruner.step()
