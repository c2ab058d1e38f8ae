"""Doing the trainings that are asked for, in the way that takes the least time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import nn

from prunus.training.plan import Plan
from prunus.training.together.fit import Fit, Outcome
from prunus.training.together.quick import fit_quickly
from prunus.training.together.stack import parameter_modules, structure
from prunus.training.together.stacked import fit_stacked

# Of one model's parameters, above which a processor's caches make a stack slower than its models one by one.
LARGEST_BYTES = 160_000
STACK_BYTES = 2_500_000  # of all parameters of a stack, beyond which nothing is gained
# Of what all layers of a stack take in and give out for a batch of rows, and of its derivatives: what takes memory
# beside the parameters, their gradients and an optimizer's moments, which are a few times STACK_BYTES.
BATCH_BYTES = 64_000_000
MOST = 64


def fit_together(fits: Sequence[Fit]) -> list[Outcome]:
    """Do several trainings; what comes of each does not depend on the others.

    Small models of one structure, plan and number of batches are trained as one, to the bit as each by itself. Of
    larger models, linear layers take quicker forms, which round otherwise than ``Fit.alone`` does.

    Args:
        fits: of different models.

    Returns:
        for each, the mean loss of every epoch, or the error by which it ended.
    """
    found: dict[int, Outcome] = {}
    for numbers in _groups(fits):
        size = stack_size(fits[numbers[0]].model, fits[numbers[0]].trainer.plan)
        for start in range(0, len(numbers), size):
            share = numbers[start : start + size]
            found |= zip(share, _advance([fits[number] for number in share]), strict=True)
    return [found[number] for number in range(len(fits))]


def stack_size(model: nn.Module, plan: Plan) -> int:
    """How many models like this one are trained as one; 1 where one by one is as quick."""
    parameters = [*model.parameters()]
    size = sum(each.numel() * each.element_size() for each in parameters)
    layers = [*parameter_modules(model)]
    if not 0 < size <= LARGEST_BYTES or any(each.device.type != "cpu" for each in parameters):
        return 1
    if any(type(layer) is not nn.Linear for layer in layers):
        return 1
    features = sum(sum(layer.weight.shape) for layer in cast(list[nn.Linear], layers))
    of_batch = 2 * plan.batch_size * features * parameters[0].element_size()
    return max(1, min(MOST, STACK_BYTES // size, BATCH_BYTES // of_batch))


def _groups(fits: Sequence[Fit]) -> list[list[int]]:
    """Positions of those that can be one model."""
    groups: dict[Any, list[int]] = {}
    for number, fit in enumerate(fits):
        trainer = fit.trainer
        kind = (structure(fit.model), trainer.plan, trainer.loss, len(trainer.batches), fit.stretch)
        groups.setdefault(kind if trainer.distillation is None else number, []).append(number)
    return [*groups.values()]


def _advance(fits: Sequence[Fit]) -> list[Outcome]:
    outcomes = fit_stacked(fits) if len(fits) > 1 else None
    return outcomes or [_alone(fit) for fit in fits]


def _alone(fit: Fit) -> Outcome:
    try:
        # Of what may be in a stack, only the other models decide whether it is: it rounds the same without them.
        losses = fit_quickly(fit) if stack_size(fit.model, fit.trainer.plan) == 1 else None
        return fit.alone() if losses is None else losses
    except Exception as error:  # of a user's own code too: whoever asked is told of it
        return error
