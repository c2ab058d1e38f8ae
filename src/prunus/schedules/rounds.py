"""Rounds of prune-and-retrain on the way to target sparsities."""

from __future__ import annotations

import math
from collections.abc import Sequence

from prunus.errors import ArgumentError
from prunus.schedules.base import require_sparsity


def rounds_to(targets: Sequence[float], fraction: float) -> list[float]:
    """Rising sparsities that land on every target and never remove more than ``fraction`` of what is left.

    Between two targets every round removes the same share of what is left: with 20 % at most, from 0 to 0.5 takes
    the four rounds 0.159, 0.293, 0.405, 0.5.

    Args:
        targets: rising sparsities, each in [0, 1).
        fraction: largest share of what is left that one round may remove, in (0, 1).

    Raises:
        ArgumentError: the targets do not rise or an argument is out of bounds.
    """
    if not 0 < fraction < 1:
        raise ArgumentError(f"fraction must lie in (0, 1), got {fraction}")
    found: list[float] = []
    density = 1.0
    for target in targets:
        require_sparsity(target, "a target sparsity")
        left = (1 - target) / density
        if left > 1 or (found and left == 1):
            raise ArgumentError(f"target sparsities must rise, got {list(targets)}")
        count = max(1, math.ceil(math.log(left) / math.log(1 - fraction) - 1e-9))
        found += [1 - density * left ** (number / count) for number in range(1, count)]
        found.append(target)
        density = 1 - target
    return found
