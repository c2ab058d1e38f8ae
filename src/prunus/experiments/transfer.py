"""Training tickets on another task than that on which they were found."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prunus.errors import MaskError
from prunus.experiments.ticket_controls import Taken, TicketMaker, fits
from prunus.experiments.work import Step
from prunus.masks.masks import Masks
from prunus.masks.scope import canonical_parameters


class TransferMaker(TicketMaker):
    """A ticket of another task, or a control of it, trained by the whole plan.

    A layer whose shape depends on the task, as that which tells the classes apart, is not part of the ticket: it is
    whole, and begins with this task's first weights.

    Source: Morcos et al. 2019 (arXiv:1906.02773).
    """

    def _ticket(self, step: Step, model: nn.Module) -> Taken:
        """The other task's, its head whole where the classes are others.

        Raises:
            MaskError: the other task has a network of other layers, or of other inputs.
        """
        state = self.history.state(self.work.found.state_at(step.sparsity))
        parameters = canonical_parameters(model)
        masks = {}
        for name, mask in self.masks_of(state).items():
            if name not in parameters:
                raise MaskError(
                    f"the network has no parameter {name!r}, which that of the task {self.work.tasks[0]} has"
                )
            whole = torch.ones(parameters[name].shape, dtype=torch.bool)
            masks[name] = mask if fits(mask, whole, name) else whole
        return Taken(Masks(masks), state.id)

    def rewound_state(self) -> dict[str, Tensor]:
        """This task's first weights, in their place those of the other task that come with the mask."""
        own = self.restored(self.initial_state)[0].state_dict()
        carry, search = self.settings.carry, self.work.found
        if carry == "mask":
            return own
        carried = self.weights_of(search.state_id(0) if carry == "late" else search.dense.state_id(0))
        return {
            name: carried[name] if name in carried and carried[name].shape == value.shape else value
            for name, value in own.items()
        }

    @property
    def start(self) -> int:
        """The first: whatever the weights have learnt of the other task, they have learnt nothing of this one."""
        return 0
