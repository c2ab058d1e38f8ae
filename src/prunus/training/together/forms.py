"""Linear layers in the forms in which they are trained soonest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast, final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from prunus.masks.held import HeldParameter
from prunus.training.together.products import Places, affine

# Above this density, or with fewer examples, all derivatives are computed, and those of kept weights picked out.
DENSEST_SAMPLED = 0.15
FEWEST_SAMPLED = 16


class Form(nn.Module, ABC):
    """A linear layer that knows its derivatives."""

    weight: Tensor  # so called, as the layer's, where a message names it
    bias: Tensor | None

    def forward(self, inputs: Tensor) -> Tensor:
        """(…, in) to (…, out)."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        outputs = cast(Tensor, _Recorded.apply(rows, self, self.weight, self.bias))
        # As a layer of torch's gives them: dropout draws in the order in which they lie in memory.
        return outputs.contiguous().view(*inputs.shape[:-1], -1)

    @abstractmethod
    def outputs(self, inputs: Tensor, rectified: bool) -> tuple[Tensor, Tensor]:
        """(N, out) of (N, in), past a ReLU if ``rectified``; and what is to be kept of the inputs."""

    @abstractmethod
    def by_inputs(self, gradient: Tensor) -> Tensor:
        """(N, in): derivative by the inputs, from that by the outputs."""

    @abstractmethod
    def by_weight(self, gradient: Tensor, kept: Tensor) -> Tensor:
        """Of the shape of ``weight``: derivative by it, from that by the outputs and what was kept of the inputs."""

    @abstractmethod
    def picked(self, of_layer: Tensor) -> Tensor:
        """Of a tensor of the shape of the layer's weight, what is of ``weight``."""

    @abstractmethod
    def write_back(self) -> None:
        """Give the layer the weights as they are now."""


@final
class Whole(Form):
    """All weights of the layer, which are its own parameters.

    Args:
        layer: any.
        mask: bool of the weight's shape; derivatives are zero where it removes. None where others see to that.
    """

    def __init__(self, layer: nn.Linear, mask: Tensor | None = None) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self._held = None if mask is None else HeldParameter(mask, layer.weight.detach())

    def outputs(self, inputs: Tensor, rectified: bool) -> tuple[Tensor, Tensor]:
        """One product."""
        return affine(inputs, self.weight, self.bias, rectified=rectified), inputs

    def by_inputs(self, gradient: Tensor) -> Tensor:
        """One product."""
        return affine(gradient, self.weight.t())

    def by_weight(self, gradient: Tensor, kept: Tensor) -> Tensor:
        """One product."""
        return self.picked(affine(gradient.t(), kept.t()))

    def picked(self, of_layer: Tensor) -> Tensor:
        """All of it, overwritten with 0.0 where the mask removes."""
        if self._held is not None:
            self._held.clear(of_layer)
        return of_layer

    def write_back(self) -> None:
        """They are the layer's own."""


@final
class Kept(Form):
    """The kept weights alone: they are computed with, differentiated and updated.

    Args:
        layer: whose weights are zero where the mask removes; its bias is shared.
        mask: bool of the weight's shape.
    """

    def __init__(self, layer: nn.Linear, mask: Tensor) -> None:
        super().__init__()
        self._layer = (layer,)  # a tuple, so that it does not count as a module of this one
        self._places = mask.flatten().nonzero().flatten()
        self.weight = nn.Parameter(layer.weight.detach().flatten()[self._places])
        self.bias = layer.bias
        self._rows, self._columns = Places.of(mask), Places.of(mask.t())
        numbers = torch.zeros(mask.numel(), dtype=torch.int64)
        numbers[self._places] = torch.arange(len(self._places))
        self._by_column = numbers.view(mask.shape).t()[mask.t()]
        self._sparse = len(self._places) <= DENSEST_SAMPLED * mask.numel()

    def outputs(self, inputs: Tensor, rectified: bool) -> tuple[Tensor, Tensor]:
        """As columns: another layer of this form has no need to transpose them."""
        columns = inputs.t().contiguous()
        outputs = self._rows.product(self.weight, columns)
        if self.bias is not None:
            outputs.add_(self.bias.unsqueeze(1))
        if rectified:
            outputs.relu_()
        return outputs.t(), columns.t() if self._samples(inputs) else inputs

    def by_inputs(self, gradient: Tensor) -> Tensor:
        """As columns."""
        values = self.weight.index_select(0, self._by_column)
        return self._columns.product(values, gradient.t().contiguous()).t()

    def by_weight(self, gradient: Tensor, kept: Tensor) -> Tensor:
        """At the places of the kept weights."""
        if self._samples(gradient):
            return self._rows.sampled(self.weight, gradient.t().contiguous(), kept)
        return self.picked(affine(gradient.t(), kept.t()))

    def picked(self, of_layer: Tensor) -> Tensor:
        """At the places of the kept weights."""
        return of_layer.view(-1).index_select(0, self._places)

    @torch.no_grad()
    def write_back(self) -> None:
        """All others are 0.0."""
        self._layer[0].weight.zero_().view(-1)[self._places] = self.weight

    def _samples(self, rows: Tensor) -> bool:
        return self._sparse and len(rows) >= FEWEST_SAMPLED


class _Recorded(torch.autograd.Function):
    """The outputs of a form, as an operation that torch records."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, form: Form, *_: Tensor | None) -> Tensor:
        outputs, kept = form.outputs(inputs, False)
        context.form = form
        context.save_for_backward(kept)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        form, (kept,) = context.form, context.saved_tensors
        by_inputs, _, by_weight, by_bias = context.needs_input_grad
        return (
            form.by_inputs(gradient) if by_inputs else None,
            None,
            form.by_weight(gradient, kept) if by_weight else None,
            gradient.sum(0) if by_bias else None,
        )
