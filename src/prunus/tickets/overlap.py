"""How far two masks agree, beside what chance would give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prunus.errors import MaskError

if TYPE_CHECKING:
    from prunus.masks.masks import Masks

Arrays = Mapping[str, np.ndarray]  # parameter name → bool array of the parameter's shape, True = kept
DRAWS = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Overlap:
    """What two masks of as many weights have in common.

    Attributes:
        first, second: weights that each keeps.
        both: weights that both keep.
        total: weights.
    """

    first: int
    second: int
    both: int
    total: int

    @property
    def jaccard(self) -> float:
        """|A ∩ B| / |A ∪ B|, in [0, 1]; 1 where neither keeps anything."""
        return float(_jaccard(self.first, self.second, np.array([self.both]))[0])

    @property
    def hamming(self) -> float:
        """Fraction of the weights that one keeps and the other removes, in [0, 1]."""
        return (self.first + self.second - 2 * self.both) / self.total


@dataclass(frozen=True)
class Chance:
    """What masks give that keep as many weights of each layer, at random places.

    Attributes:
        mean: over the draws.
        low, high: between which 95 % of them lie.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """Of two masks, in each layer and over all.

    Attributes:
        layers: parameter name → what they have in common there.
        layers_by_chance: parameter name → the Jaccard similarity that chance would give there.
        overall: over all layers together.
        by_chance: the Jaccard similarity that chance would give over all layers together.
        hamming_by_chance: the Hamming distance that chance would give over all layers together.
    """

    layers: Mapping[str, Overlap]
    layers_by_chance: Mapping[str, Chance]
    overall: Overlap
    by_chance: Chance
    hamming_by_chance: Chance

    @property
    def is_chance(self) -> bool:
        """Whether they agree neither more nor less than 95 % of random masks do."""
        return self.by_chance.low <= self.overall.jaccard <= self.by_chance.high


def as_arrays(masks: Masks | Arrays) -> dict[str, np.ndarray]:
    """The masks as arrays, which share the memory of tensors on the CPU.

    Raises:
        MaskError: an array is not of bools.
    """
    found = {}
    for name, mask in masks.items():
        array = mask if isinstance(mask, np.ndarray) else mask.numpy(force=True)
        if array.dtype != bool:
            raise MaskError(f"the mask of {name!r} must be a bool array, got {array.dtype}")
        found[name] = array
    return found


def agreement(first: Masks | Arrays, second: Masks | Arrays, *, draws: int = DRAWS, seed: int = 0) -> Agreement:
    """Compare two masks of one architecture.

    Where the weights that one of two masks keeps in a layer are permuted, the number that both keep is hypergeometric:
    the masks themselves need not be permuted to know what chance gives.

    Args:
        first, second: over the same parameters.
        draws: of random masks.
        seed: of the draws.

    Raises:
        MaskError: they cover other parameters.
    """
    first, second = as_arrays(first), as_arrays(second)
    if {name: mask.shape for name, mask in first.items()} != {name: mask.shape for name, mask in second.items()}:
        raise MaskError(
            f"masks can be compared over the same parameters: one has {', '.join(first)}, the other {', '.join(second)}"
        )
    layers = {
        name: Overlap(
            int(np.count_nonzero(mask)),
            int(np.count_nonzero(second[name])),
            int(np.count_nonzero(mask & second[name])),
            mask.size,
        )
        for name, mask in first.items()
    }
    generator = np.random.default_rng(seed)
    drawn = {
        name: generator.hypergeometric(each.first, each.total - each.first, each.second, draws)
        for name, each in layers.items()
    }
    overall = Overlap(
        *(sum(getattr(each, key) for each in layers.values()) for key in ("first", "second", "both", "total"))
    )
    both = np.sum([*drawn.values()], axis=0)
    return Agreement(
        layers,
        {name: _chance(_jaccard(each.first, each.second, drawn[name])) for name, each in layers.items()},
        overall,
        _chance(_jaccard(overall.first, overall.second, both)),
        _chance((overall.first + overall.second - 2 * both) / overall.total),
    )


def _chance(drawn: np.ndarray) -> Chance:
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], method="inverted_cdf")
    return Chance(float(drawn.mean()), float(low), float(high))


def _jaccard(first: int, second: int, both: np.ndarray) -> np.ndarray:
    either = first + second - both
    return np.divide(both, either, out=np.ones(len(both)), where=either > 0)
