"""A fully connected network for tables."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn


def mlp(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Fully connected 100-60-classes with ReLU and PyTorch's default initialisation.

    Takes examples of any shape and flattens them; for tables ``input_shape`` is (features,).
    """
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(math.prod(input_shape), 100),
            relu1=nn.ReLU(),
            fc2=nn.Linear(100, 60),
            relu2=nn.ReLU(),
            fc3=nn.Linear(60, classes),
        )
    )
