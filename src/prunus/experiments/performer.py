"""What does a run's work, whatever the kind of experiment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

from prunus.history.records import Pruning
from prunus.history.store import History
from prunus.outcomes import Cost, SplitOutcome


@dataclass(frozen=True)
class Finished:
    """A state that has been made and measured, and is to be recorded.

    Attributes:
        kind: ``"initial"``, ``"trained"`` or ``"pruned"``.
        parent: id of the state it was made from; None where it was made from nothing.
        validation, test: how it fares.
        cost: what it costs.
        weights: its packed file.
        masks: their file; None where there are none.
        pruning: the step that made it.
        retraining: what was done with what was kept.
        training_loss: mean of every epoch.
    """

    kind: str
    parent: str | None
    validation: SplitOutcome
    test: SplitOutcome
    cost: Cost
    weights: bytes
    masks: bytes | None = None
    pruning: Pruning | None = None
    retraining: str | None = None
    training_loss: tuple[float, ...] = ()


class Performer(ABC):
    """Makes the states of one run from those that are recorded; of each kind of work there is one."""

    @classmethod
    @abstractmethod
    def of(cls, work: Any, history: History) -> Self:
        """The performer of the work, with its data at hand.

        Raises:
            PrunusError: the data or the user's own code cannot be read.
        """

    @property
    @abstractmethod
    def data_digest(self) -> str:
        """Digest of the examples of all splits, so that data that change behind a name are noticed."""

    @property
    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Versions of what it uses beside what every kind uses."""

    @abstractmethod
    def make(self, position: int) -> Finished:
        """The state at that position of the run.

        Raises:
            PrunusError: it cannot be made.
        """
