"""LAMP: magnitude relative to what is left of the layer."""

from __future__ import annotations

import torch
from torch import Tensor

from prunus.criteria.subject import Scores, Subject


def lamp(subject: Subject) -> Scores:
    """The square of a weight, divided by the sum of the squares of all weights of its layer that are not smaller.

    Within a layer the order is that of magnitude; the highest score of every layer is 1, so global competition empties
    none. Of equal weights the first scores higher.

    Returns:
        parameter name → float64 tensor of the parameter's shape, in [0, 1]; higher stays.

    Source: Lee et al. 2021, the LAMP score (arXiv:2010.07611).
    """
    return {name: _scores(weight) for name, weight in subject.weights().items()}


def _scores(weight: Tensor) -> Tensor:
    squares, order = weight.reshape(-1).double().square().sort(descending=True, stable=True)
    left = squares.cumsum(0)
    shares = torch.where(left > 0, squares / left, 0.0)  # a layer of zeros
    return torch.empty_like(squares).scatter_(0, order, shares).reshape(weight.shape)
