"""Doing the work of a recipe for trees."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from prunus.experiments.performer import Finished, Finishing, Performer
from prunus.experiments.tree_making import Grove
from prunus.experiments.tree_work import TreeWork
from prunus.history.store import History
from prunus.trees.evaluation import cost
from prunus.trees.storage import pack


@dataclass(frozen=True, eq=False)
class TreePerformer(Performer):
    """Grows and prunes the trees of one run.

    Attributes:
        grove: the run and its data.
        history: where the trees that it prunes are read.
    """

    grove: Grove
    history: History

    @classmethod
    def of(cls, work: TreeWork, history: History) -> TreePerformer:
        """The performer of the work, with its data loaded."""
        return cls(Grove.of(work), history)

    @property
    def data_digest(self) -> str:
        """Digest of the examples of all splits."""
        return self.grove.data_digest

    @property
    def versions(self) -> dict[str, str]:
        """Of what grows the trees."""
        return {"scikit-learn": version("scikit-learn")}

    def make(self, position: int) -> Finishing:
        """Grow or prune, measure and pack."""
        yield from ()  # no network is trained
        made, data = self.grove.make(position, self.history), self.grove.data
        parent = made.parent.record if made.parent else None
        return Finished(
            kind="pruned" if made.pruning else "trained",
            parent=parent.id if parent else None,
            validation=self.grove.outcome(made.estimator, data.validation),
            test=self.grove.outcome(made.estimator, data.test),
            cost=cost(made.estimator, parent.cost.size_bytes if parent and parent.cost else None),
            weights=pack(made.estimator),
            pruning=made.pruning,
            retraining="none" if made.pruning else None,
            training_loss=made.training_loss,
        )
