"""Floating-point operations of one example through a network: dense, and without the products with zero weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from prunus.evaluation.undisturbed import (
    ExampleInputs,
    arguments,
    measurable,
    output_tensors,
    uncompiled,
    undisturbed,
)

_CONVOLUTIONS = (torch.ops.aten.convolution, torch.ops.aten._convolution)


@dataclass(frozen=True)
class Flops:
    """Floating-point operations per example; a multiply-add counts 2.

    Attributes:
        dense: of matrix products, convolutions and attention; all else (biases, activations, normalisation) is 0.
        effective: of these, without the products with a weight that is zero.
    """

    dense: int
    effective: int


def count_flops(model: nn.Module, example_inputs: ExampleInputs) -> Flops:
    """Count the operations of one forward pass in evaluation mode, per example.

    The formulas are those of ``torch.utils.flop_counter``; products with padding count. A product with a parameter,
    or a convolution with any weight, counts as effective in proportion to that weight's non-zero elements, however
    often and by whichever module it is applied. The model is left as it was.

    Args:
        model: any module; a compiled one is run eagerly.
        example_inputs: a tensor or a tuple of tensors, the model's positional arguments; the first dimension of the
            first is the batch, by whose length the counts are divided.

    Raises:
        ArgumentError: the inputs or outputs are not tensors, or the parameters have no values.
    """
    model, inputs = measurable(model), arguments(example_inputs)
    counter = _Counter(model)
    with undisturbed(model), uncompiled(model), _visible_operators(model), counter:
        outputs = model(*inputs)
    output_tensors(outputs)
    batch = len(inputs[0])
    return Flops(dense=round(counter.dense / batch), effective=round(counter.effective / batch))


class _Counter(TorchDispatchMode):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.dense = 0
        self.effective = 0
        self._storages = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled while this counts; True imports the compiler, which takes seconds

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        formula: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if formula is None:
            with self:  # parameters made in inference mode bring operators here that are still to be taken apart
                parts = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if parts is NotImplemented else parts
        result = func(*args, **kwargs)
        flops = formula(*args, **kwargs, out_val=result)
        weight = self._weight(func._overloadpacket, args)
        self.dense += flops
        # every element of a weight takes part in the same number of multiply-adds, so that this divides exactly
        self.effective += flops if weight is None else flops * int(torch.count_nonzero(weight)) // weight.numel()
        return result

    def _weight(self, operator: object, args: tuple[Any, ...]) -> Tensor | None:
        if operator in _CONVOLUTIONS:
            weight: Tensor = args[1]
            return weight
        matrices = (value for value in args if isinstance(value, Tensor) and value.dim() >= 2)
        return next((value for value in matrices if value.untyped_storage().data_ptr() in self._storages), None)


@contextmanager
def _visible_operators(model: nn.Module) -> Iterator[None]:
    """Fused kernels (attention, encoder layers, recurrent layers) fall apart into products that have a formula."""
    mkldnn: Any = torch.backends.mkldnn  # not its flags(), which touch TF32 and warn of it
    encoders, onednn = torch.backends.mha.get_fastpath_enabled(), mkldnn.enabled
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    torch.backends.mha.set_fastpath_enabled(False)
    mkldnn.enabled = onednn and not recurrent
    try:
        with torch.inference_mode(False), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(encoders)
        mkldnn.enabled = onednn
