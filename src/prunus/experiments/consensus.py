"""Training what several searches agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from prunus.allocation.allocate import Allocation
from prunus.errors import MaskError
from prunus.experiments.maker import Made, Making
from prunus.experiments.ticket_controls import Taken, TicketMaker, fits
from prunus.experiments.work import Step
from prunus.history.records import OWN_CHOICE, Pruning
from prunus.masks.masks import Masks
from prunus.masks.scope import canonical_parameters
from prunus.schedules.rounds import rounds_to
from prunus.tickets.voting import vote

ROUNDING = 1e-9  # of a sparsity


class ConsensusMaker(TicketMaker):
    """What enough of several tickets keep that were found from the same first weights, or a control of it.

    Source: Paganini & Forde 2020, what tickets of several tasks have in common (arXiv:2007.04091); Movva et al. 2021,
        unions and intersections of tickets of siblings (arXiv:2104.14753).
    """

    def make(self, position: int) -> Making:
        """The consensus at that position, a control of it, or the ticket that one search finds at its sparsity."""
        if self.settings.ticket != "bespoke":
            return (yield from super().make(position))
        step = self.work.steps[position]
        model, _ = self.restored(self.initial_state)
        return (yield from self._bespoke(step, self._ticket(step, model).masks.sparsity))

    def _ticket(self, step: Step, model: nn.Module) -> Taken:
        """What enough of the searches keep; of a layer that is to be protected, what most do where that is nothing.

        Raises:
            MaskError: one of the tasks has a network of other layers, or of other inputs.
        """
        states = [self.history.state(work.state_at(step.sparsity)) for work in self.work.searches]
        found = [self.masks_of(state) for state in states]
        parameters = canonical_parameters(model)
        names = dict.fromkeys(name for masks in found for name in masks)
        if missing := [name for name in names if name not in parameters]:
            raise MaskError(f"the network has no parameter {missing[0]!r}, which that of another of the tasks has")
        agreed, empty = {}, []
        for name in names:
            several = self._alike(name, found, parameters)
            agreed[name] = vote(several, self.settings.vote).masks[name]
            if self.settings.protect and not bool(agreed[name].any()):
                votes = torch.stack([masks[name] for masks in several]).sum(0)
                agreed[name] = votes == votes.max()
                empty.append(name)
        own = [state for state, work in zip(states, self.work.searches, strict=True) if work.id == self.work.found.id]
        voters = tuple(state.id for state in states)
        return Taken(Masks(agreed), own[0].id if own else voters[0], voters, tuple(empty))

    def _alike(self, name: str, found: Sequence[Masks], parameters: dict[str, nn.Parameter]) -> list[Masks]:
        """The masks of one parameter; one that keeps all where no search had any of its shape, as for other classes."""
        whole = torch.ones(parameters[name].shape, dtype=torch.bool)
        fitting = [Masks({name: masks[name]}) for masks in found if name in masks and fits(masks[name], whole, name)]
        return fitting or [Masks({name: whole})]

    def _bespoke(self, step: Step, sparsity: float) -> Making:
        """The ticket of one search at that sparsity: the last that it has recorded on the way there, pruned further."""
        search, chained = self.work.found, self.settings.schedule != "one-shot"
        recorded = [self.history.state(search.state_id(position)) for position in range(search.states_planned)]
        earlier = [each for each in recorded if chained and each.record.masks and each.record.sparsity <= sparsity]
        parent = earlier[-1] if earlier else self.history.state(self.trained_state)
        model, masks = self.restored(parent.id)
        reached = parent.record.sparsity if masks else 0.0
        allocation, losses = Allocation(masks or Masks({}), step.sparsity, ()), [*parent.record.training_loss]
        self.shop.curve[:] = (
            parent.record.curve
        )  # where the search has gone as far as that, its ticket is the bespoke one
        for level in self._levels(reached, sparsity):
            allocation = self._allocate(replace(step, sparsity=level), model, masks)
            masks = allocation.masks
            self.shop.curve.clear()
            losses = yield from self._retrain("rewind", model, masks, step.position)
        self._recalibrate(model)
        pruning = self._pruning(step, allocation)
        return Made(model, "pruned", parent.id, allocation.masks, pruning, "rewind", tuple(losses))

    def _levels(self, reached: float, sparsity: float) -> list[float]:
        """The rounds from one sparsity to another; none where it is reached."""
        if sparsity - reached < ROUNDING:
            return []
        if self.settings.schedule != "iterative":
            return [sparsity]
        fraction = self.settings.fraction
        return [1 - (1 - reached) * (1 - each) for each in rounds_to([1 - (1 - sparsity) / (1 - reached)], fraction)]

    def _pruning(self, step: Step, allocation: Allocation) -> Pruning:
        """The sparsity is what comes of the vote."""
        return replace(super()._pruning(step, allocation), schedule=OWN_CHOICE)
