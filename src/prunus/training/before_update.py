"""Looking at the gradients of a step before the optimizer uses them, however it is called."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.optim.optimizer import Optimizer

Look = Callable[[Optimizer, bool], None]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def before_update(optimizer: Optimizer, look: Look) -> Any:
    """Call ``look(optimizer, first)`` in every step, whenever there are new gradients.

    Without a closure that is right before the step. With one, as Lightning passes, the gradients come into being inside
    of it, so it is after each of its calls; ``first`` tells the first from those that a line search may add.

    Args:
        optimizer: that steps.
        look: sees the weights as they were before the step at the first call.

    Returns:
        a handle whose ``remove()`` ends it.
    """

    def before_step(stepping: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            look(stepping, True)
            return None
        seen = _seen(closure, functools.partial(look, stepping))
        if len(args) > 1:
            return (args[0], seen, *args[2:]), kwargs
        return args, {**kwargs, "closure": seen}

    return optimizer.register_step_pre_hook(before_step)


def gradient_scale(optimizer: Optimizer) -> float | None:
    """By what the gradients are too large when a fused optimizer unscales them itself; None where it will not step.

    A GradScaler tells such an optimizer so, by attributes, for the time of its step.
    """
    if float(getattr(optimizer, "found_inf", None) or 0):
        return None
    return float(getattr(optimizer, "grad_scale", None) or 1)


@contextmanager
def unscaled(parameters: Iterable[nn.Parameter], scale: float) -> Iterator[None]:
    """Inside, the parameters' gradients are divided by the scale; afterwards they are the tensors that they were."""
    scaled = [(parameter, parameter.grad) for parameter in parameters if scale != 1 and parameter.grad is not None]
    for parameter, gradient in scaled:
        parameter.grad = gradient / scale
    try:
        yield
    finally:
        for parameter, gradient in scaled:
            parameter.grad = gradient


def _seen(closure: Callable[[], Any], look: Callable[[bool], None]) -> Callable[[], Any]:
    """The closure, followed by ``look``."""
    first = True

    def closing() -> Any:
        nonlocal first
        loss = closure()
        look(first)
        first = False
        return loss

    return closing
