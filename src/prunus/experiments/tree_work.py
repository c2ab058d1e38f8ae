"""The work of a recipe for trees: its runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from prunus.experiments.base_work import BaseWork
from prunus.experiments.identity import derive_seed
from prunus.experiments.tree_settings import GrowingSettings, TreeTechniqueSettings

_SEEDS = 2**32  # scikit-learn takes seeds below this


@dataclass(frozen=True)
class TreeWork(BaseWork):
    """One run that has to be done: growing, or one technique, with one seed.

    Attributes:
        training: how to grow.
        technique: None for growing.
        sparsities: targets; none where the technique makes its own choice.
    """

    kind: ClassVar[str] = "trees"
    training: GrowingSettings
    technique: TreeTechniqueSettings | None = None

    @property
    def stated_training(self) -> dict[str, Any]:
        """The settings of the growing that differ from their defaults."""
        return self.training.stated()

    @property
    def states_planned(self) -> int:
        """States that the run has when it is complete."""
        return max(len(self.sparsities), 1)

    def growing_seed(self) -> int:
        """Of the trees: the same for all that share task and init seed."""
        return derive_seed("grow", self.task, self.seeds.init) % _SEEDS

    def splitting_seed(self) -> int:
        """Of what is held out from growing: the same for all that share task and order seed."""
        return derive_seed("hold out", self.task, self.seeds.order) % _SEEDS

    def pruning_seed(self) -> int:
        """Of this technique, whatever the other seeds are."""
        return derive_seed("prune", self._stated, self.seeds.pruning) % _SEEDS
