"""Masks on which several agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prunus.errors import ArgumentError, MaskError

if TYPE_CHECKING:
    from prunus.masks.masks import Masks


@dataclass(frozen=True)
class Consensus:
    """What enough of several masks keep.

    Attributes:
        masks: what stays.
        votes: how many of the masks must keep a weight.
        of: number of masks.
        sparsity_by_chance: expected of as many masks that keep as many weights of each layer at random.
    """

    masks: Masks
    votes: int
    of: int
    sparsity_by_chance: float


def vote(masks: Sequence[Masks], share: float = 1.0) -> Consensus:
    """Keep what at least that share of the masks keeps: 1 is their intersection, just above 0 their union.

    By chance, a weight of a layer is kept by each mask independently, with the density that the mask has there.

    Args:
        masks: of networks with the same first weights, over the same parameters; at least one.
        share: in (0, 1]; the number of votes is rounded up.

    Raises:
        ArgumentError: there are no masks, or the share is out of bounds.
        MaskError: they cover other parameters.

    Source: Paganini & Forde 2020 (arXiv:2001.05050) for intersections of tickets that were found independently.
    """
    import torch

    from prunus.masks.masks import Masks

    if not masks:
        raise ArgumentError("a vote needs at least one mask, got none")
    if not 0 < share <= 1:
        raise ArgumentError(f"share must lie in (0, 1], got {share}")
    shapes = [{name: mask.shape for name, mask in each.items()} for each in masks]
    if any(each != shapes[0] for each in shapes):
        raise MaskError("masks can vote over the same parameters: names or shapes differ")
    needed = votes_needed(share, len(masks))
    kept = {name: torch.stack([each[name] for each in masks]).sum(0) >= needed for name in masks[0]}
    expected = sum(
        mask.numel() * kept_by_chance(needed, [int(each[name].count_nonzero()) / mask.numel() for each in masks])
        for name, mask in kept.items()
    )
    found = Masks(kept)
    return Consensus(found, needed, len(masks), 1 - expected / found.total)


def votes_needed(share: float, of: int) -> int:
    """How many of the masks must keep a weight: at least one, and at least that share of them."""
    return max(1, math.ceil(share * of - 1e-9))


def kept_by_chance(needed: int, densities: Sequence[float]) -> float:
    """Probability that at least so many of the masks keep a weight, each independently with its density."""
    counts = np.ones(1)
    for density in densities:
        counts = np.convolve(counts, [1 - density, density])
    return float(counts[needed:].sum())
