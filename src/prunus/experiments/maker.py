"""What makes the states of a run, and the dense network's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass, replace

from torch import nn

from prunus.experiments.work import Work
from prunus.experiments.workshop import Workshop
from prunus.history.records import Pruning
from prunus.history.store import History
from prunus.masks.masks import Masks
from prunus.training.together.fit import Fit


@dataclass(frozen=True)
class Made:
    """A state that has been made and is to be recorded.

    Attributes:
        model: with its final weights.
        kind: ``"initial"``, ``"trained"`` or ``"pruned"``.
        parent: id of the state it was made from.
        masks: what stays; None where nothing is pruned.
        pruning: the step that made it.
        retraining: what was done with the kept weights.
        training_loss: mean of every epoch.
        voters: ids of the states whose masks were put to a vote.
    """

    model: nn.Module
    kind: str
    parent: str | None
    masks: Masks | None = None
    pruning: Pruning | None = None
    retraining: str | None = None
    training_loss: tuple[float, ...] = ()
    voters: tuple[str, ...] = ()


Making = Generator[Fit, list[float], Made]  # asks for trainings, and is sent the losses of each


@dataclass(frozen=True)
class Maker(ABC):
    """Makes the states of one run, each from states that are recorded.

    Attributes:
        work: the run.
        shop: its data and training.
        history: where the states it starts from are read.
    """

    work: Work
    shop: Workshop
    history: History

    @abstractmethod
    def make(self, position: int) -> Making:
        """The state at that position of the run; each training that it takes is asked for.

        Raises:
            PrunusError: it cannot be made.
        """

    def restored(self, state: str) -> tuple[nn.Module, Masks | None]:
        """A new model with exactly the weights of a recorded state, and its masks.

        It is read from the disk every time, so that nothing that training changes can alias what is recorded.
        """
        model = self.shop.build(self.work.init_seed())
        masks = self.history.state(state).restore(model)
        return model, masks or None

    @property
    def initial_state(self) -> str:
        """Id of the initialisation."""
        return self.work.dense.state_id(0)

    @property
    def dense_state(self) -> str:
        """Id of the trained dense network."""
        return self.work.dense.state_id(1)


class DenseMaker(Maker):
    """The dense network: initialised, then trained."""

    def make(self, position: int) -> Making:
        """Position 0 is the initialisation, 1 the trained network."""
        if position == 0:
            return Made(self._initialised(), "initial", None)
        model, _ = self.restored(self.initial_state)
        losses = yield Fit(self.shop.trainer(), model, self.work.order_seed())
        return Made(model, "trained", self.initial_state, training_loss=tuple(losses))

    def _initialised(self) -> nn.Module:
        """A fresh network, with another task's first weights in the layers that the two have alike, if so told."""
        seed, first = self.work.init_seed(), self.work.first
        model = self.shop.build(seed)
        if first is not None:
            theirs = Workshop.of(replace(self.work, task=first, first=None)).build(seed).state_dict()
            own = model.state_dict()
            alike = {name: value for name, value in theirs.items() if name in own and own[name].shape == value.shape}
            model.load_state_dict(own | alike)
        return model
