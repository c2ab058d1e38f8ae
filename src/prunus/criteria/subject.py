"""What a criterion is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prunus.errors import ArgumentError

Scores = dict[str, Tensor]


@dataclass(frozen=True)
class Subject:
    """A model under examination.

    Attributes:
        model: in the mode (training or evaluation) in which it is to be examined.
        parameters: name → parameter in scope, in the model's order.
        batches: (inputs, targets) pairs, iterable more than once; None where there are no data.
        loss: (outputs, targets) → the mean loss over the batch, a 0-d tensor.
        generator: the only source of randomness that a criterion may use.
    """

    model: nn.Module
    parameters: Mapping[str, nn.Parameter]
    batches: Iterable[tuple[Tensor, Tensor]] | None = None
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    def weights(self) -> dict[str, Tensor]:
        """Name → weight in scope, detached from the graph; writing to one writes to the model."""
        return {name: parameter.detach() for name, parameter in self.parameters.items()}

    def mean_gradients(self) -> dict[str, Tensor]:
        """Name → gradient of the loss, averaged over all examples of the batches; zero where it does not reach.

        In float32 at least; frozen weights have gradients too.

        Raises:
            ArgumentError: there are no batches.
        """
        if self.batches is None:
            raise ArgumentError("this criterion needs data: pass batches=[(inputs, targets), …] or a DataLoader")
        sums = {
            name: torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
            for name, weight in self.weights().items()
        }
        count = 0
        with torch.enable_grad(), _thawed(self.parameters):
            for inputs, targets in self.batches:
                loss = self.loss(self.model(inputs), targets)
                gradients = torch.autograd.grad(loss, list(self.parameters.values()), allow_unused=True)
                count += len(targets)
                for name, gradient in zip(sums, gradients, strict=True):
                    if gradient is not None:
                        sums[name].add_(gradient, alpha=len(targets))
        if not count:
            raise ArgumentError("the batches are empty: a criterion that needs data needs at least one example")
        return {name: total / count for name, total in sums.items()}


@contextmanager
def _thawed(parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """All of the parameters require gradients inside."""
    frozen = [parameter for parameter in parameters.values() if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
