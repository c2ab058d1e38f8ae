"""The exact top of every row of a matrix: each output competes within itself."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def keep_in_rows(scores: Tensor, count: int) -> Tensor:
    """True for exactly ``count`` of the scores: of every row as many, its highest.

    Where the rows cannot all keep equally many, those whose next score is highest keep one more. Of equal scores the
    first stays.

    Args:
        scores: (rows, columns) of floats, none of them NaN.
        count: from 0 to the number of scores.
    """
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))  # exact, and half precision is slow to rank
    rows, columns = scores.shape
    each, more = divmod(count, rows)
    some = 0 < each < columns
    kept = _highest(scores, each) if some else torch.full(scores.shape, each > 0, device=scores.device)
    if more:
        best, place = scores.clamp(min=torch.finfo(scores.dtype).min).masked_fill(kept, -math.inf).max(1)
        chosen = best.argsort(descending=True, stable=True)[:more]
        kept[chosen, place[chosen]] = True
    return kept


def _highest(scores: Tensor, each: int) -> Tensor:
    """True for the ``each`` highest of every row."""
    threshold = _ranked(scores, scores.shape[1] - each)
    kept = scores > threshold
    level = scores == threshold
    spare = each - kept.count_nonzero(1)
    tied = (level.count_nonzero(1) > spare).nonzero().squeeze(1)
    level[tied] &= level[tied].cumsum(1) <= spare[tied].unsqueeze(1)
    return kept.logical_or_(level)


def _ranked(scores: Tensor, place: int) -> Tensor:
    """(rows, 1): what stands at a place of each row, counted from 0, if the lowest comes first."""
    if scores.device.type != "cpu":
        return scores.kthvalue(place + 1, dim=1, keepdim=True).values
    return torch.from_numpy(np.partition(scores.numpy(), place, axis=1)[:, place : place + 1].copy())  # much faster
