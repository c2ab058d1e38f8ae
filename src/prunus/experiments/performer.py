"""What does a run's work, whatever the kind of experiment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from prunus.history.records import Pruning
from prunus.history.store import History
from prunus.outcomes import Cost, CurvePoint, SplitOutcome

if TYPE_CHECKING:
    from prunus.training.together.fit import Fit


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
        curve: how it fared while it was trained.
        voters: ids of the states whose masks were put to a vote.
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
    curve: tuple[CurvePoint, ...] = ()
    voters: tuple[str, ...] = ()


Finishing = Generator["Fit", list[float], Finished]  # asks for trainings, and is sent the losses of each


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

    @property
    def at_once(self) -> int:
        """How many runs like this one are done side by side; 1 where one by one is as quick."""
        return 1

    @abstractmethod
    def make(self, position: int) -> Finishing:
        """The state at that position of the run; each training that it takes is asked for, and not done.

        Raises:
            PrunusError: it cannot be made.
        """
