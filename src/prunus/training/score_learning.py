"""What all need that learn scores from the gradients of somebody else's optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from prunus.errors import ArgumentError, MaskError, ScopeError, TrainingError


def require_trained(parameters: Mapping[str, nn.Parameter], optimizer: Optimizer) -> None:
    """Refuse parameters whose gradients do not come to the optimizer.

    Raises:
        ScopeError: one requires no gradient, or is none of the optimizer's.
    """
    updated = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in parameters.items():
        if not parameter.requires_grad or parameter not in updated:
            reason = "is not updated by the optimizer" if parameter.requires_grad else "requires no gradient"
            raise ScopeError(f"{name!r} {reason}, so no score can be learnt for its weights: exclude it")


def require_gradients(parameters: Mapping[str, nn.Parameter], optimizer: Optimizer, first: bool) -> None:
    """Refuse a step whose gradients cannot teach scores.

    Args:
        parameters: whose weights have scores.
        optimizer: that steps.
        first: whether these are the first gradients of the step.

    Raises:
        ArgumentError: they are not, or a gradient is a sparse tensor.
    """
    if not first:
        raise ArgumentError(
            f"scores are learnt from one backward pass a step, and {type(optimizer).__name__} evaluates its "
            "closure several times: choose another optimizer"
        )
    sparse = [name for name, each in parameters.items() if each.grad is not None and each.grad.is_sparse]
    if sparse:
        raise ArgumentError(
            f"the gradients of {', '.join(sparse)} are sparse tensors, by which no scores are learnt: make the "
            "embedding with sparse=False, or exclude it"
        )


def require_finite(scores: Mapping[str, Tensor], learning_rate: float) -> None:
    """Refuse scores that are no longer numbers.

    Raises:
        TrainingError: some are not.
    """
    broken = [name for name, each in scores.items() if not bool(each.isfinite().all())]
    if broken:
        raise TrainingError(
            f"the scores of {', '.join(broken)} are no longer finite: lower learning_rate (now {learning_rate:g}) or "
            "clip gradients"
        )


def require_fitting(state: Mapping[str, Any], parameters: Mapping[str, nn.Parameter]) -> None:
    """Refuse a checkpoint's scores and weights where they are of other parameters.

    Raises:
        MaskError: they are.
    """
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    for part in ("scores", "weights"):
        if {name: tensor.shape for name, tensor in state[part].items()} != shapes:
            raise MaskError(f"the state's {part} do not fit the parameters in scope, {sorted(shapes)}")
