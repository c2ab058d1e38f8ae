"""The usual loss, and its derivative without a record of operations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_NO_CLASS, _MEAN = -100, 1  # the target that does not count, and the number of the reduction, as torch has them


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats, over examples or over all tokens of all examples.

    Args:
        logits: float (N, classes) or (N, T, classes).
        targets: int64 (N,) or (N, T).

    Returns:
        float scalar.
    """
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten())


def is_cross_entropy(loss: object, logits: Tensor, targets: Tensor) -> bool:
    """Whether a loss is the mean cross-entropy, over examples that have one class each."""
    named = loss is cross_entropy or loss is functional.cross_entropy
    return named and logits.dim() == 2 and targets.dim() == 1 and targets.dtype is torch.int64


def cross_entropy_and_derivative(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The loss and its derivative by the logits, to the bit as torch's: it calls the same kernels.

    Args:
        logits: float (N, classes), of which torch records nothing.
        targets: int64 (N,).
    """
    operators = torch.ops.aten
    logarithms = torch.log_softmax(logits, 1)
    loss, counted = operators.nll_loss_forward(logarithms, targets, None, _MEAN, _NO_CLASS)
    one = torch.ones((), dtype=loss.dtype)
    derivative = operators.nll_loss_backward(one, logarithms, targets, None, _MEAN, _NO_CLASS, counted)
    return loss, operators._log_softmax_backward_data(derivative, logarithms, 1, logits.dtype)
