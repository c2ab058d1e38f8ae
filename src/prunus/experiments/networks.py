"""Doing the work of a recipe for a network."""

from __future__ import annotations

from dataclasses import dataclass

from prunus.experiments.consensus import ConsensusMaker
from prunus.experiments.dense_siblings import SiblingMaker
from prunus.experiments.maker import DenseMaker, Maker
from prunus.experiments.making import TechniqueMaker
from prunus.experiments.performer import Finished, Finishing, Performer
from prunus.experiments.technique_settings import TechniqueSettings
from prunus.experiments.ticket_controls import TicketMaker
from prunus.experiments.transfer import TransferMaker
from prunus.experiments.work import Work
from prunus.experiments.workshop import Workshop
from prunus.history.store import History
from prunus.masks.storage import masks_to_bytes
from prunus.packing.format import pack
from prunus.training.together.advance import stack_size


@dataclass(frozen=True)
class NetworkPerformer(Performer):
    """Trains and prunes the networks of one run.

    Attributes:
        maker: of the run's states.
    """

    maker: Maker

    @classmethod
    def of(cls, work: Work, history: History) -> NetworkPerformer:
        """The performer of the work, with its task loaded."""
        shop = Workshop.of(work)
        if work.technique is None:
            return cls(DenseMaker(work, shop, history))
        return cls(_maker(work.technique)(work, shop, history, work.technique))

    @property
    def data_digest(self) -> str:
        """Digest of the examples of all splits."""
        return self.maker.shop.data_digest

    @property
    def versions(self) -> dict[str, str]:
        """Nothing: every kind is done with torch's threads and numpy."""
        return {}

    @property
    def at_once(self) -> int:
        """As many as their networks are trained as one."""
        shop = self.maker.shop
        with shop.own_code():
            return stack_size(shop.build(self.maker.work.init_seed()), shop.plan)

    def make(self, position: int) -> Finishing:
        """Train, prune, measure and pack."""
        shop = self.maker.shop
        shop.curve.clear()
        with shop.own_code():
            made = yield from self.maker.make(position)
            (validation, test), cost = shop.outcomes(made.model), shop.cost(made.model, made.masks)
        return Finished(
            kind=made.kind,
            parent=made.parent,
            validation=validation,
            test=test,
            cost=cost,
            weights=pack(made.model.state_dict(), made.masks),
            masks=masks_to_bytes(made.masks) if made.masks else None,
            pruning=made.pruning,
            retraining=made.retraining,
            training_loss=made.training_loss,
            curve=tuple(shop.curve),
            voters=made.voters,
        )


def _maker(technique: TechniqueSettings) -> type[TechniqueMaker]:
    if technique.ticket == "unpruned":
        return SiblingMaker
    if technique.finds:
        return TechniqueMaker
    if technique.source:
        return TransferMaker
    return ConsensusMaker if technique.votes else TicketMaker
