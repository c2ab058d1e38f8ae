"""Training with a penalty, and with gates whose penalty decides what goes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from prunus.allocation.allocate import Allocation
from prunus.experiments.during import learnt
from prunus.experiments.technique_settings import TechniqueSettings
from prunus.lookup import own_code
from prunus.training.penalties import Penalized
from prunus.training.tables import PENALTIES
from prunus.training.trainer import Trainer

GATE_LEARNING_RATE = 0.1  # that of weights would leave gates where they are in a few hundred steps


def penalized(trainer: Trainer, settings: TechniqueSettings, model: nn.Module) -> Trainer:
    """The trainer with the technique's penalty of the model in its loss; the same one where there is no penalty."""
    name = settings.penalty
    if name is None:
        return trainer
    with own_code(name):
        penalty = _made(settings)

    def guarded(penalised: nn.Module) -> Tensor:
        with own_code(name):
            found: Tensor = penalty(penalised)
        return found

    return replace(trainer, loss=Penalized(trainer.loss, guarded, model))


def train_gated(
    model: nn.Module, settings: TechniqueSettings, trainer: Trainer, sparsity: float, seeds: tuple[int, int]
) -> tuple[Allocation, list[float]]:
    """Train the model in place with gates on its weights, and fold the gates into these; what stays, and the losses.

    Args:
        model: as it is initialised.
        settings: whose ``penalty`` is that of the gates.
        trainer: of the whole plan.
        sparsity: recorded as what was asked for; the gates settle what is reached.
        seeds: of the data's order and the gates' draws, and of the gates' first values.

    Raises:
        TargetError: no weight is left.
    """
    order, drawing = seeds
    penalty = _made(settings, seed=drawing % 2**63)
    gated = penalty.gated(model)
    # The plan's own optimizer would decay the gates with the weights, and move them at one rate with these.
    optimizer = trainer.make_optimizer(model)
    moving = torch.optim.Adam(gated.log_alpha.parameters(), settings.mask_learning_rate or GATE_LEARNING_RATE)

    def watch(*_: object) -> None:
        moving.step()
        moving.zero_grad()

    trainer = replace(trainer, loss=Penalized(trainer.loss, penalty, gated))
    losses = trainer.fit(gated, order, optimizer=optimizer, watch=watch)
    unprotected = gated.masks
    return learnt(gated.prune(settings.protect), unprotected, sparsity), losses


def _made(settings: TechniqueSettings, **others: Any) -> Any:
    """The penalty that the settings name, with what it takes of them."""
    name = settings.penalty or ""
    needs = PENALTIES[name].needs if ":" not in name else ()
    taken = {key: getattr(settings, key) for key in needs}
    return PENALTIES.resolve(name)(strength=settings.strength, **taken, **others)
