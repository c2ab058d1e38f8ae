"""What can be chosen: one technique at one sparsity, with a replicate for every seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Replicate:
    """One seed's model.

    Attributes:
        seed: the recipe's seed; replicates of different candidates with one seed share the dense model.
        run: id of its run.
        state: id of its state.
        choosing: metric → value on the validation split (costs and sparsity are the same in both).
        reporting: metric → value on the test split.
        examples: of the test split, to one of which its accuracy is rounded; 0 where their number is not known.
    """

    seed: int
    run: str
    state: str
    choosing: Mapping[str, float]
    reporting: Mapping[str, float]
    examples: int = 0


@dataclass(frozen=True)
class Candidate:
    """One technique at one requested sparsity.

    Attributes:
        technique: its name.
        requested_sparsity: asked for, in [0, 1).
        replicates: one for every seed, in order of seed.
    """

    technique: str
    requested_sparsity: float
    replicates: tuple[Replicate, ...]

    def choosing(self, metric: str) -> list[float]:
        """The metric's validation values, in order of seed."""
        return [replicate.choosing[metric] for replicate in self.replicates]

    def reporting(self, metric: str) -> list[float]:
        """The metric's test values, in order of seed."""
        return [replicate.reporting[metric] for replicate in self.replicates]
