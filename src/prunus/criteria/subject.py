"""What a criterion is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prunus.errors import ArgumentError

Scores = Mapping[str, Tensor]


@dataclass(frozen=True)
class Subject:
    """A model under examination.

    Attributes:
        model: in the mode (training or evaluation) in which it is to be examined.
        parameters: name → parameter in scope, in the model's order.
        batches: (inputs, targets) pairs, iterable more than once; None where there are no data.
        loss: (outputs, targets) → the mean loss over the batch, a 0-d tensor.
        generator: the only source of randomness that a criterion may use.
        initial: name → the parameter's value at initialisation; None where it is not known.
    """

    model: nn.Module
    parameters: Mapping[str, nn.Parameter]
    batches: Iterable[tuple[Tensor, Tensor]] | None = None
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))
    initial: Mapping[str, Tensor] | None = None

    def weights(self) -> dict[str, Tensor]:
        """Name → weight in scope, detached from the graph; writing to one writes to the model.

        Weights of eight bits, with which torch hardly computes, are float32 copies.
        """
        return {
            name: parameter.detach().float() if parameter.element_size() == 1 else parameter.detach()
            for name, parameter in self.parameters.items()
        }

    @torch.inference_mode(False)  # in which copies can have gradients
    def data(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches that are not empty.

        Raises:
            ArgumentError: there are none, or one is no pair.
        """
        if self.batches is None:
            raise ArgumentError("this criterion needs data: pass batches=[(inputs, targets), …] or a DataLoader")
        found = False
        for batch in self.batches:
            inputs, targets = _pair(batch)
            if len(targets):
                found = True
                yield _usable(inputs), _usable(targets)
        if not found:
            hint = ", and an iterator gives them only once: pass a list or a DataLoader"
            raise ArgumentError(
                "the batches are empty: a criterion that needs data needs at least one example"
                + (hint if isinstance(self.batches, Iterator) else "")
            )

    @torch.inference_mode(False)  # the caller's, in which nothing has gradients
    def mean_gradients(self) -> dict[str, Tensor]:
        """Name → gradient of the loss, averaged over all examples of the batches; zero where it does not reach.

        In float32 at least; frozen weights have gradients too.

        Raises:
            ArgumentError: there are no batches, or the parameters cannot have gradients.
        """
        parameters = list(self.parameters.values())
        sums: list[Tensor] = []
        sizes: list[int] = []
        with torch.enable_grad(), thawed(self.parameters):
            for inputs, targets in self.data():
                loss = self.loss(self.model(inputs), targets)
                found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
                gradients = [wide(gradient) for gradient in found]
                sizes.append(len(targets))
                share = sizes[-1] / sizes[0]
                if len(sizes) == 1:
                    sums = gradients
                elif len(sizes) == 2:  # anew: gradients of several parameters may lie in one memory
                    sums = list(torch._foreach_add(sums, gradients, alpha=share))
                else:
                    torch._foreach_add_(sums, gradients, alpha=share)
                del loss, found, gradients  # so that the next batch can have their memory
        if len(sizes) > 1:
            torch._foreach_mul_(sums, sizes[0] / sum(sizes))
        return dict(zip(self.parameters, sums, strict=True))


def wide(gradient: Tensor) -> Tensor:
    """Dense, and in float32 at least."""
    if gradient.dtype is torch.float32 and gradient.layout is torch.strided:
        return gradient
    dense = gradient.to_dense() if gradient.is_sparse else gradient
    return dense.to(torch.promote_types(dense.dtype, torch.float32))


@contextmanager
def thawed(parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """All of the parameters require gradients inside.

    Raises:
        ArgumentError: one cannot have gradients.
    """
    for name, parameter in parameters.items():
        if parameter.is_inference():
            raise ArgumentError(
                f"{name!r} was made in torch.inference_mode() and cannot have gradients: make the model outside of it, "
                "or choose a criterion without them"
            )
        if parameter.element_size() == 1:
            raise ArgumentError(
                f"{name!r} is {parameter.dtype}, in which gradients are lost: score the model in bfloat16 or more, or "
                "by a criterion without them"
            )
    frozen = [parameter for parameter in parameters.values() if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _pair(batch: object) -> tuple[Tensor, Tensor]:
    """The inputs and the targets of a batch.

    Raises:
        ArgumentError: it is something else, such as a dictionary, or inputs without targets.
    """
    if not isinstance(batch, Sequence) or len(batch) != 2:
        got = type(batch).__name__ + (f" of {len(batch)}" if isinstance(batch, tuple | list) else "")
        raise ArgumentError(f"each of the batches must be a pair (inputs, targets), got a {got}")
    return batch[0], batch[1]


def _usable(value: Tensor) -> Tensor:
    """The tensor, or a copy that gradients can be computed with where it was made in inference mode."""
    return value.clone() if isinstance(value, Tensor) and value.is_inference() else value
