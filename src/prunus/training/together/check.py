"""Whether a stack computes what its models compute alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from prunus.criteria.undisturbed import undisturbed
from prunus.training.batches import Batch
from prunus.training.together.attributes import Attributes
from prunus.training.together.stack import Loss, Stack


def computes_the_same(stack: Stack, batches: Sequence[Batch], loss: Loss) -> bool:
    """Whether losses and gradients of the stack are those of its models one by one, to the bit.

    A model may look at its batch as a whole, draw random numbers, use parameters past the modules that own them, or
    keep count of something: then they differ, or cannot be computed at all. So they do where a processor rounds
    otherwise in the middle of a larger tensor than at its beginning.

    Args:
        stack: left as it is.
        batches: one for each model, of equal sizes.
        loss: (outputs, targets) → mean loss.
    """
    everything = nn.ModuleList([*stack.models, stack.model])
    with undisturbed(everything, hide_gradients=True), Attributes(everything) as attributes:
        everything.train()
        before = torch.get_rng_state()
        try:
            together = stack.losses(batches, loss)
            _put_gradients(together, [stack.model])
            stack.share_gradients()
            found = [*together, *_gradients(stack.models)]
        except Exception:  # whatever a model raises that cannot be stacked: alone it may run
            return False
        if not torch.equal(before, torch.get_rng_state()):
            return False
        alone = [loss(model(inputs), targets) for model, (inputs, targets) in zip(stack.models, batches, strict=True)]
        _put_gradients(alone, stack.models)
        return not attributes.replaced() and all(map(_equal, found, [*alone, *_gradients(stack.models)]))


def _put_gradients(losses: Sequence[Tensor], models: Sequence[nn.Module]) -> None:
    """Differentiate past the hooks by which masks are held, which clear gradients."""
    trained = [each for model in models for each in model.parameters() if each.requires_grad]
    for parameter, gradient in zip(trained, torch.autograd.grad(losses, trained, allow_unused=True), strict=True):
        parameter.grad = gradient


def _gradients(models: Sequence[nn.Module]) -> list[Tensor | None]:
    return [parameter.grad for model in models for parameter in model.parameters()]


def _equal(first: Tensor | None, second: Tensor | None) -> bool:
    if first is None or second is None:
        return first is second
    return torch.allclose(first, second, rtol=0, atol=0, equal_nan=True)
