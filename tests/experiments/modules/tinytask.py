"""A user's own task: three classes of six numbers each, small enough for a model to train in milliseconds."""

from __future__ import annotations

import os
import time

import torch
from torch import nn

from prunus.tasks import Data, Examples, Task


def task():
    data = Data("tiny", examples(120, 1), examples(60, 2), examples(60, 3), ("a", "b", "c"))
    return Task("tiny", data, build)


def a_class_is_missing():
    test = examples(60, 3)
    without = Examples(test.inputs, test.targets % 2)
    return Task("tiny", Data("tiny", examples(120, 1), examples(60, 2), without, ("a", "b", "c")), build)


def nothing_to_prune():
    return Task("tiny", task().data, lambda: nn.Sequential(nn.BatchNorm1d(6), Thirds()))


def examples(count, seed):
    targets = torch.arange(count) % 3
    inputs = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    inputs[torch.arange(count), targets] += 2
    return Examples(inputs, targets)


def build():
    time.sleep(float(os.environ.get("SECONDS_TO_BUILD", "0")))  # so that there is time to interrupt it
    return built(3)


def built(classes, inputs=6):
    return nn.Sequential(nn.Linear(inputs, 20), nn.ReLU(), nn.Dropout(0.1), nn.Linear(20, classes))


def first_layer_only(subject):
    """A criterion that would empty every layer but the first."""
    return {name: weight.abs() + 10 * (index == 0) for index, (name, weight) in enumerate(subject.weights().items())}


class Thirds(nn.Module):
    def forward(self, inputs):
        return inputs[:, :3] + inputs[:, 3:]


def two_classes():
    """Another task of the same domain, with another head."""
    whole = [examples(count, seed) for count, seed in ((150, 4), (60, 5), (60, 6))]
    parts = [Examples(each.inputs[each.targets < 2], each.targets[each.targets < 2]) for each in whole]
    return Task("pair", Data("pair", *parts, ("a", "b")), lambda: built(2))


def head_first():
    """The same two classes, but the head draws its weights before the other layer."""

    def build():
        head = nn.Linear(20, 2)
        return nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Dropout(0.1), head)

    return Task("head first", two_classes().data, build)


def other_layers():
    """The same two classes, told apart by a network whose layers are called otherwise."""
    return Task("others", two_classes().data, lambda: nn.Sequential(nn.Identity(), nn.Linear(6, 2)))


def wider():
    """The three classes, each with two numbers more."""
    splits = task().data.splits().values()
    wide = [Examples(torch.cat([each.inputs, each.inputs[:, :2]], 1), each.targets) for each in splits]
    return Task("wider", Data("wider", *wide, ("a", "b", "c")), lambda: built(3, inputs=8))
