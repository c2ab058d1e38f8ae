"""How much structure there is in what single-weight pruning leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prunus.errors import ArgumentError

if TYPE_CHECKING:
    from torch import Tensor

    from prunus.masks.masks import Masks

DRAWS = 400
# View → the first dimensions that tell its groups apart once they are moved to the front.
VIEWS = {"row": (0,), "column": (1,), "kernel": (0, 1)}


@dataclass(frozen=True)
class Structure:
    """The kept weights of one layer, counted group by group.

    Attributes:
        groups: number of groups: rows (outputs, filters), columns (inputs) or kernels.
        empty: fraction of the groups of which nothing is left: these could go for good.
        empty_by_chance: what it would be, on average, with as many weights at random places.
        empty_beyond: the fraction that 97.5 % of such random masks do not exceed.
        gini: of the numbers of kept weights, 0 where all groups keep as many, towards 1 where few keep all.
        gini_by_chance: as above.
        entropy: of the shares of the groups in what is kept, over its highest value, in [0, 1].
        entropy_by_chance: as above.
        in_wholes: fraction of the kept weights that lie in as many of the fullest groups as would hold them all: 1
            where the mask is one of whole groups.
        in_wholes_by_chance: as above.
    """

    groups: int
    empty: float
    empty_by_chance: float
    empty_beyond: float
    gini: float
    gini_by_chance: float
    entropy: float
    entropy_by_chance: float
    in_wholes: float
    in_wholes_by_chance: float


def structure(masks: Masks, view: str = "row", *, draws: int = DRAWS, seed: int = 0) -> dict[str, Structure]:
    """Look at each layer's mask as groups.

    Args:
        masks: of weights with two dimensions or more; others are left out, and so is, for kernels, what has but two.
        view: ``"row"``, ``"column"`` or ``"kernel"``.
        draws: of random masks with as many weights of the layer.
        seed: of the draws.

    Raises:
        ArgumentError: there is no such view.

    Source: Paganini & Forde 2020 (arXiv:2001.05050), who ask how structured the masks of unstructured pruning are.
    """
    dimensions = dimensions_of(view)
    generator = np.random.default_rng(seed)
    return {name: _structure(mask, dimensions, draws, generator) for name, mask in in_groups(masks, dimensions).items()}


def dimensions_of(view: str) -> tuple[int, ...]:
    """The dimensions that tell the groups of a view apart.

    Raises:
        ArgumentError: there is no such view.
    """
    if view not in VIEWS:
        raise ArgumentError(f"view must be one of {', '.join(VIEWS)}, got {view!r}")
    return VIEWS[view]


def in_groups(masks: Masks, dimensions: tuple[int, ...]) -> dict[str, Tensor]:
    """The masks of weights that have such groups of more than one weight."""
    return {name: mask for name, mask in masks.items() if mask.dim() > max(1, len(dimensions))}


def _structure(mask: Tensor, dimensions: tuple[int, ...], draws: int, generator: np.random.Generator) -> Structure:
    front = mask.movedim(dimensions, tuple(range(len(dimensions))))
    counts = front.flatten(len(dimensions)).sum(-1).flatten().cpu().numpy()[None]
    size = mask.numel() // counts.size
    # A group's share of the kept weights is what a draw without replacement gives it.
    drawn = generator.multivariate_hypergeometric(
        np.full(counts.size, size), int(counts.sum()), draws, method="marginals"
    )
    empty_by_chance = _empty(drawn)
    return Structure(
        counts.size,
        float(_empty(counts)[0]),
        float(empty_by_chance.mean()),
        float(np.quantile(empty_by_chance, 0.975, method="inverted_cdf")),
        *(float(measure(each, size).mean()) for measure in (_gini, _entropy, _in_wholes) for each in (counts, drawn)),
    )


def _empty(counts: np.ndarray) -> np.ndarray:
    return (counts == 0).mean(1)


def _gini(counts: np.ndarray, size: int) -> np.ndarray:
    """Mean absolute difference of two groups over twice their mean; 0 where nothing is kept."""
    ordered = np.sort(counts, 1)
    groups, total = counts.shape[1], counts.sum(1)
    ranks = 2 * np.arange(1, groups + 1) - groups - 1
    return np.divide(ordered @ ranks, groups * total, out=np.zeros(len(counts)), where=total > 0)


def _entropy(counts: np.ndarray, size: int) -> np.ndarray:
    """1 where there is one group alone, or nothing is kept."""
    groups, total = counts.shape[1], counts.sum(1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    bits = -(shares * np.log(shares, out=np.zeros(shares.shape), where=shares > 0)).sum(1)
    return bits / np.log(groups) if groups > 1 else np.ones(len(counts))


def _in_wholes(counts: np.ndarray, size: int) -> np.ndarray:
    total = counts.sum(1)
    wholes = -(-total // size)
    running = np.sort(counts, 1)[:, ::-1].cumsum(1)
    inside = running[np.arange(len(counts)), np.maximum(wholes, 1) - 1]
    return np.divide(inside, total, out=np.ones(len(counts)), where=total > 0)


def mean_structure(several: Mapping[int, Masks], view: str = "row") -> dict[str, Structure]:
    """The means over the masks of several seeds, layer by layer."""
    found = [structure(masks, view) for masks in several.values()]
    return {
        name: Structure(
            found[0][name].groups,
            *(float(np.mean([vars(each[name])[key] for each in found])) for key in list(vars(found[0][name]))[1:]),
        )
        for name in (found[0] if found else ())
    }
