"""The exact top of scores that lie in several tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prunus.masks.masks import Masks
from prunus.schedules.base import require_sparsity


def keep_top(scores: Mapping[str, Tensor], sparsity: float) -> Masks:
    """Masks that remove exactly ``round(sparsity · n)`` of the n weights with the lowest scores.

    Of equal scores the first stays, in the order of the mapping and row-major within a tensor.

    Args:
        scores: name → float tensor, finite or ±infinity.
        sparsity: fraction to remove over all tensors together, in [0, 1).

    Raises:
        ArgumentError: the sparsity is out of bounds.
    """
    total = sum(score.numel() for score in scores.values())
    return keep_count(scores, total - round(require_sparsity(sparsity) * total))


def keep_count(scores: Mapping[str, Tensor], count: int) -> Masks:
    """Masks that keep exactly the ``count`` highest scores; of equal ones the first stays."""
    if not count:
        return Masks({name: torch.zeros_like(score, dtype=torch.bool) for name, score in scores.items()})
    exact = {name: score.double() for name, score in scores.items()}  # the threshold would be rounded to their dtype
    threshold = _threshold(exact, count)
    spare = count - sum(int((score > threshold).sum()) for score in exact.values())
    masks = {}
    for name, score in exact.items():
        above = score > threshold
        level = (score == threshold).reshape(-1)
        ties = int(level.sum())
        if ties > spare:
            level &= level.cumsum(0) <= spare
        spare -= min(ties, spare)
        masks[name] = above | level.reshape(score.shape)
    return Masks(masks)


def _threshold(scores: Mapping[str, Tensor], count: int) -> float:
    """The ``count``-th highest score."""
    everything = torch.cat([score.reshape(-1) for score in scores.values()])
    return float(everything.kthvalue(len(everything) - count + 1).values)
