"""Adam without what a step of torch's optimizers looks after besides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from prunus.training.plan import Plan


@final
class DirectAdam(torch.optim.Optimizer):
    """Adam or AdamW, to the bit as torch's fused one: it calls the same kernel.

    Hooks, profiling, closures, and parameters that have no gradient, take a step longer than the update of a small
    network: this one knows none of them.

    Args:
        plan: whose optimizer is one of ``NAMES``.
        model: on the CPU; at every step all its trainable parameters, which there must be, have gradients.
    """

    NAMES = ("adam", "adamw")

    def __init__(self, plan: Plan, model: nn.Module) -> None:
        parameters: list[Tensor] = [each for each in model.parameters() if each.requires_grad]
        usual = {"lr": plan.learning_rate, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
        super().__init__(parameters, usual | {"weight_decay": plan.weight_decay, "amsgrad": False, "maximize": False})
        self._parameters = parameters
        self._means = [torch.zeros_like(each) for each in parameters]
        self._squares = [torch.zeros_like(each) for each in parameters]
        self._steps = torch.zeros(())
        self._kernel = torch._fused_adamw_ if plan.optimizer == "adamw" else torch._fused_adam_

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update all parameters."""
        settings = {name: value for name, value in self.param_groups[0].items() if name != "params"}
        gradients = cast(list[Tensor], [each.grad for each in self._parameters])
        steps = [self._steps.add_(1)] * len(gradients)
        self._kernel(self._parameters, gradients, self._means, self._squares, [], steps, **settings)

    step.hooked = True  # type: ignore[attr-defined]  # or torch wraps it, for profiling and hooks
