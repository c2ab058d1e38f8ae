"""One update of a sparse tensor's connections: some are dropped, as many are grown."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from prunus.allocation.select import Flat, keep_highest


def survivors(weight: Tensor, mask: Tensor, fraction: float, drop: str) -> Tensor:
    """The mask without those connections that are dropped.

    The count is rounded down, as the authors of RigL do; of equal magnitudes the last goes first.

    Args:
        weight: of any shape, finite.
        mask: bool of the weight's shape, True where there is a connection.
        fraction: of the connections to drop, in [0, 1].
        drop: one of ``DROPS``; with ``"signed"``, connections of weight zero count as the smallest positive ones.

    Returns:
        bool of the weight's shape.

    Source: Evci et al. 2020, algorithm 1 (arXiv:1911.11134); Mocanu et al. 2018 (arXiv:1707.04780).
    """
    if drop == "magnitude":
        return _largest(weight, mask, fraction)
    return _largest(weight, mask & (weight >= 0), fraction) | _largest(weight, mask & (weight < 0), fraction)


def with_grown(mask: Tensor, scores: Tensor, count: int) -> Tensor:
    """The mask with ``count`` more connections: those with the highest scores that are not in it yet.

    Of equal scores the first is taken.

    Args:
        mask: bool, with room for them.
        scores: float of the mask's shape, finite.
        count: how many.
    """
    return mask | _highest(scores, ~mask, count)


def _largest(weight: Tensor, mask: Tensor, fraction: float) -> Tensor:
    count = int(mask.sum())
    return _highest(weight.abs(), mask, count - math.floor(fraction * count + 1e-9))


def _highest(scores: Tensor, among: Tensor, count: int) -> Tensor:
    found = torch.zeros_like(among)
    if count:
        found[among] = keep_highest({"": Flat(scores[among])}, count)[""]
    return found
