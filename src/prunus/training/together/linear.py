"""Linear layers of several models as one batched product."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, cast, final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

VECTOR_BYTES = 64  # of the widest registers of a processor
FEWEST_COMPARED = 4000  # elements of products; where kernels differ, one in 150 or more of them did


@final
class StackedParameter(nn.Module):
    """K parameters of one shape as one of shape (K, …), of which they become views.

    Where a parameter does not fill whole vectors of the processor, an optimizer rounds its last elements otherwise in
    the middle of a larger tensor than at the end of their own: such parameters stay apart, and are copied.

    Args:
        parameters: of equal shapes.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        super().__init__()
        first = parameters[0]
        if first.numel() * first.element_size() % VECTOR_BYTES:
            self.apart = nn.ParameterList(parameters)
            self.views: tuple[Tensor, ...] = ()
            return
        self.whole = nn.Parameter(torch.stack([each.detach() for each in parameters]), first.requires_grad)
        self.views = tuple(parameters)
        for number, each in enumerate(parameters):
            each.data = self.whole.data[number]

    def forward(self) -> Tensor:
        """(K, …)."""
        return self.whole if self.views else torch.stack([*self.apart])

    def release(self) -> None:
        """Give the parameters memory of their own."""
        for each in self.views:
            each.data = each.data.clone()


@final
class StackedLinear(nn.Module):
    """K linear layers: inputs (K·B, …, in) to outputs (K·B, …, out).

    Args:
        members: of equal sizes.
    """

    def __init__(self, members: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = StackedParameter([member.weight for member in members])
        self.bias = None if members[0].bias is None else StackedParameter([member.bias for member in members])
        self._count = len(members)

    def forward(self, inputs: Tensor) -> Tensor:
        """Each member's share of the batch by its own weights.

        Raises:
            ArithmeticError: see ``rounds_as_alone``.
        """
        rows, weight = inputs.reshape(self._count, -1, inputs.shape[-1]), self.weight()
        if not rounds_as_alone(rows.shape, weight.shape[1], rows.dtype, self.bias is not None, rows.requires_grad):
            raise ArithmeticError("a batched product of this size rounds otherwise than products one by one")
        outputs = cast(Tensor, _Affine.apply(rows, weight, self.bias and self.bias()))
        return outputs.view(*inputs.shape[:-1], -1)


class _Affine(torch.autograd.Function):
    """x Wᵀ + b of every member.

    Torch's own derivative by a transposed factor of a batched product is laid out transposed, and copied before it is
    accumulated; this one is laid out as the weight.
    """

    @staticmethod
    def forward(context: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        context.save_for_backward(inputs, weight)
        transposed = weight.transpose(1, 2)
        return torch.bmm(inputs, transposed) if bias is None else torch.baddbmm(bias.unsqueeze(1), inputs, transposed)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = context.saved_tensors
        by_inputs, by_weight, by_bias = context.needs_input_grad
        return (
            torch.bmm(gradient, weight) if by_inputs else None,
            torch.bmm(gradient.transpose(1, 2), inputs) if by_weight else None,
            gradient.sum(1) if by_bias else None,
        )


@functools.cache
@torch.enable_grad()
def rounds_as_alone(shape: torch.Size, outputs: int, dtype: torch.dtype, biased: bool, by_inputs: bool) -> bool:
    """Whether a batched product and its derivatives are to the bit those of its factors one by one.

    Which kernels are taken depends on the sizes. Those for a few rows or columns add in another order, or round once
    where others round twice; the numbers of one batch may hide it, so that others are drawn.

    Args:
        shape: (K, B, in) of the inputs.
        outputs: of each layer.
        dtype: of all.
        biased: whether a bias is added.
        by_inputs: whether the derivative by the inputs is taken too.
    """
    generator = torch.Generator().manual_seed(0)
    count, rows, inputs = shape

    def drawn(*sizes: int) -> Tensor:
        return torch.randn(count, *sizes, generator=generator, dtype=dtype, requires_grad=True)

    for _ in range(0, FEWEST_COMPARED, count * min(rows * inputs, rows * outputs, inputs * outputs)):
        factors = [drawn(outputs, inputs), *[drawn(outputs)] * biased, *[drawn(rows, inputs)] * by_inputs]
        weight, bias = factors[0], factors[1] if biased else None
        given = factors[-1] if by_inputs else drawn(rows, inputs).detach()
        together = cast(Tensor, _Affine.apply(given, weight, bias))
        alone = [linear(given[k].clone(), weight[k], None if bias is None else bias[k]) for k in range(count)]
        gradient = drawn(rows, outputs).detach()
        found = torch.autograd.grad(together, factors, gradient)
        expected = torch.autograd.grad(alone, factors, [each.clone() for each in gradient])
        if not all(map(torch.equal, (together, *found), (torch.stack(alone), *expected))):
            return False
    return True
