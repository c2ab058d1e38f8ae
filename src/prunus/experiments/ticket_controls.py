"""Training controls of the tickets that a technique has found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from prunus.allocation.allocate import Allocation
from prunus.allocation.controls import shuffled
from prunus.allocation.technique import Technique
from prunus.errors import HistoryError, MaskError
from prunus.experiments.maker import Made, Making
from prunus.experiments.making import TechniqueMaker
from prunus.experiments.work import Step
from prunus.history.state import State
from prunus.masks.masks import Masks
from prunus.masks.storage import masks_from_bytes
from prunus.packing.format import unpack

NEW_WEIGHTS = ("reinitialised", "redrawn")
RANDOM = ("shuffled", "redrawn")
UNTRAINED = ("untrained", "signed")


@dataclass(frozen=True)
class Taken:
    """A ticket that was found elsewhere.

    Attributes:
        masks: of this run's network.
        parent: id of the state that has them, or the first of several.
        voters: ids of the states whose masks were put to a vote.
        protected: tensors that were kept from being emptied.
    """

    masks: Masks
    parent: str
    voters: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()


class TicketMaker(TechniqueMaker):
    """The control of each ticket that another run has found at the same sparsity.

    What a ticket owes to its weights, to the places of its connections, or to their number in each layer, is what is
    lost when these are drawn anew.

    Source: Frankle & Carbin 2019, random reinitialisation (arXiv:1803.03635); Frankle et al. 2021, shuffling and
        inversion (arXiv:2009.08576); Zhou et al. 2019, supermasks (arXiv:1905.01067).
    """

    def make(self, position: int) -> Making:
        """The control at that position."""
        step, kind = self.work.steps[position], self.settings.ticket
        model, _ = self.restored(self.initial_state)
        ticket = self._ticket(step, model)
        allocation = self._changed(ticket, step, model)
        if kind in UNTRAINED:
            self._leave_untrained(model, allocation.masks)
        how = "none" if kind in UNTRAINED else "reinit" if kind in NEW_WEIGHTS else "rewind"
        losses = yield from self._retrain(how, model, allocation.masks, step.position)
        self._recalibrate(model)
        pruning = self._pruning(step, allocation)
        return Made(model, "pruned", ticket.parent, allocation.masks, pruning, how, tuple(losses), ticket.voters)

    def _ticket(self, step: Step, model: nn.Module) -> Taken:
        """The ticket that was found.

        Raises:
            HistoryError: it has no masks.
        """
        state = self.history.state(self.work.found.state_at(step.sparsity))
        protected = state.record.pruning.protected if state.record.pruning else ()
        return Taken(self.masks_of(state), state.id, protected=protected)

    def masks_of(self, state: State) -> Masks:
        """What stays in a recorded state, of whatever network.

        Raises:
            HistoryError: it has no masks.
        """
        if state.record.masks is None:
            raise HistoryError(f"the state {state.id} has no masks, so it is no ticket")
        return masks_from_bytes(self.history.blobs.get(state.record.masks))

    def weights_of(self, state: str) -> dict[str, Tensor]:
        """Name → parameter or buffer of a recorded state, of whatever network."""
        return unpack(self.history.state(state).weights()).tensors

    @property
    def technique(self) -> Technique:
        """How the ticket was found, or the opposite."""
        found = super().technique
        return replace(found, control="invert") if self.settings.ticket == "inverted" else found

    def order_seed(self, position: int) -> int:
        """Of the order of the data, which is another one where that is what is changed."""
        if self.settings.ticket == "reordered":
            return self.work.pruning_seed("reordered", position)
        return super().order_seed(position)

    @torch.no_grad()
    def _leave_untrained(self, model: nn.Module, masks: Masks) -> None:
        """The first weights under the masks, or their signs times their standard deviation in each layer.

        Source: Zhou et al. 2019, supermasks and signed constants (arXiv:1905.01067).
        """
        model.load_state_dict(self.rewound_state())
        for parameter in masks.parameters_of(model).values():
            if self.settings.ticket == "signed":
                parameter.copy_(parameter.sign() * parameter.std())
        masks.apply(model)

    def _changed(self, ticket: Taken, step: Step, model: nn.Module) -> Allocation:
        allocation = Allocation(ticket.masks, step.sparsity, ticket.protected)
        kind = self.settings.ticket
        if kind == "inverted":  # by the dense network's scores: what earlier rounds removed has none to tell it apart
            return self._allocate(step, self.restored(self.trained_state)[0], None)
        if kind not in RANDOM:
            return allocation
        generator = torch.Generator().manual_seed(self.work.pruning_seed(kind, step.position))
        subject = replace(self._subject(step, model), generator=generator)
        found = shuffled(allocation, self.settings.pattern, subject, None)
        whole = {name: mask for name, mask in ticket.masks.items() if bool(mask.all())}  # which N:M would prune
        return replace(found, masks=Masks({**found.masks, **whole}))


def fits(mask: Tensor, parameter: Tensor, name: str) -> bool:
    """Whether a mask of another task's network is one of this network's parameter; else that is one of its head.

    Raises:
        MaskError: they differ in more than the number of outputs, so that it is no head for other classes.
    """
    if mask.shape != parameter.shape and mask.shape[1:] != parameter.shape[1:]:
        raise MaskError(
            f"{name!r} has the shape {tuple(parameter.shape)} here and {tuple(mask.shape)} on another of the tasks: "
            "tickets can be taken where inputs are alike, and only the number of classes differs"
        )
    return mask.shape == parameter.shape
