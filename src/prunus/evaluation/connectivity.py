"""Which parameters still lie on a path from the input to the output."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from prunus.errors import ArgumentError
from prunus.evaluation.operators import HANDLERS
from prunus.evaluation.running import (
    ExampleInputs,
    arguments,
    evaluating,
    measurable,
    output_tensors,
    uncompiled,
)
from prunus.evaluation.signals import Alive, ProductMet, Signals, Unfollowable, support


def effective_parameters(model: nn.Module, example_inputs: ExampleInputs) -> int | None:
    """The number of parameters in ``effective_masks``, or None where the model cannot be followed.

    Raises:
        ArgumentError: the inputs or outputs are not tensors, or the parameters have no values.
    """
    counts = effective_counts(model, example_inputs)
    return None if counts is None else sum(counts.values())


def effective_counts(model: nn.Module, example_inputs: ExampleInputs) -> dict[str, int] | None:
    """Parameter name → how much of it is in ``effective_masks``, or None where the model cannot be followed.

    Raises:
        ArgumentError: the inputs or outputs are not tensors, or the parameters have no values.
    """
    try:
        masks = _effective_masks(model, example_inputs)
    except Unfollowable:
        return None
    return {name: int(torch.count_nonzero(mask)) for name, mask in masks.items()}


def effective_masks(model: nn.Module, example_inputs: ExampleInputs) -> dict[str, Tensor]:
    """The parameters that are not zero and lie on a path of non-zero parameters from the input to the output.

    The model runs once on supports instead of values: 1 where a value is not zero, 0 where it is. Nonlinearities
    become the identity, normalisation its scale and shift, maximum a sum; no signal cancels another. A weight is
    effective where a signal reaches it and it reaches the output, a bias or shift where its unit reaches the output
    (it starts a signal of its own nowhere else). Every supported activation is 0 or 1 on the way forward and every
    gradient on the way back, so that no depth overflows or underflows.

    Attention and gates multiply two signals; a signal passes if the other factor is not zero for every input, be it
    for a bias or for a function such as the sigmoid that is not 0 at 0. All rows of an embedding count as looked up.
    A tensor of two or more dimensions that is added to a signal, such as a table of positions, is a source like the
    input; what of it the example inputs do not slice off is not effective.

    Args:
        model: any module; a compiled one is run eagerly. It is left as it was.
        example_inputs: a tensor or a tuple of tensors, the model's positional arguments. Values of float tensors
            are not looked at; integers are passed as they are.

    Returns:
        parameter name → bool tensor of its shape; of tied parameters the first name.

    Raises:
        ArgumentError: the inputs or outputs are not tensors, the parameters have no values, or the model does what
            cannot be followed: an operator that is not in the table of ``prunus.evaluation.operators``, a result
            that is computed without gradients, TorchScript.

    Source: Vysogorets & Kempe 2021, "Connectivity matters: neural network pruning through the lens of effective
    sparsity" (arXiv:2107.02306).
    """
    try:
        return _effective_masks(model, example_inputs)
    except Unfollowable as reason:
        raise ArgumentError(f"cannot follow the signal through {type(model).__name__}: {reason}") from reason


def _effective_masks(model: nn.Module, example_inputs: ExampleInputs) -> dict[str, Tensor]:
    model, inputs = measurable(model), arguments(example_inputs)
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise Unfollowable("parts of it are TorchScript, whose operators cannot be seen")
    kept = {name: parameter.detach() != 0 for name, parameter in model.named_parameters()}
    # cuDNN may convolve by transforms that round zeros away
    exact = torch.backends.cudnn.flags(enabled=False)
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model), uncompiled(), exact:
        supports = {name: mask.to(torch.float32).requires_grad_() for name, mask in kept.items()}
        try:
            outputs = _followed(model, supports, inputs)
        except RuntimeError as error:
            with torch.no_grad():
                output_tensors(model(*inputs))  # raises what is the caller's fault; else the supports did not fit
            raise Unfollowable(f"it does not run on supports: {error}") from error
        reached = torch.autograd.grad(outputs, list(supports.values()), allow_unused=True)
    return {
        name: torch.zeros_like(mask) if gradient is None else mask & (gradient != 0)
        for (name, mask), gradient in zip(kept.items(), reached, strict=True)
    }


def _followed(model: nn.Module, supports: dict[str, Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """The sum of the outputs, whose gradient is not zero where a parameter is effective."""
    try:
        return _pass(model, supports, inputs, Signals(HANDLERS, supports.values()))
    except ProductMet:
        alive: Alive = []
        _pass(model, supports, inputs, Signals(HANDLERS, supports.values(), alive=alive, constants=True))
        return _pass(model, supports, inputs, Signals(HANDLERS, supports.values(), alive=alive))


def _pass(model: nn.Module, supports: dict[str, Tensor], inputs: Sequence[Tensor], signals: Signals) -> Tensor:
    with signals:
        outputs = functional_call(model, supports, tuple(_source(value) for value in inputs))
    found = [output for output in output_tensors(outputs) if output.requires_grad]
    if not found:
        raise Unfollowable("its output does not depend on its parameters in a way that gradients follow")
    if not all(bool(torch.isfinite(output).all() & (output >= 0).all()) for output in found):
        raise Unfollowable("a signal became negative or infinite on the way")
    return torch.stack([support(output).sum() for output in found]).sum()


def _source(value: Tensor) -> Tensor:
    if not value.is_floating_point():
        return value
    return torch.ones_like(value, dtype=torch.float32).requires_grad_().clone()  # no leaf may be changed in place
