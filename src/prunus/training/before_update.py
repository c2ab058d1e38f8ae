"""Looking at the gradients of a step before the optimizer uses them, however it is called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

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
