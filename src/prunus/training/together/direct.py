"""Optimizers without what a step of torch's looks after besides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from prunus.training.plan import Plan


@final
class DirectOptimizer:
    """Adam, AdamW or SGD, to the bit as torch's fused ones: it calls the same kernels.

    Hooks, profiling, closures, and parameters that have no gradient, take a step longer than the update of a small
    network, and to make the first of torch's optimizers takes a process a second. This one knows none of them.

    Args:
        plan: whose optimizer is one of ``NAMES``.
        model: on the CPU; at every step all its trainable parameters have gradients.
    """

    NAMES = ("adam", "adamw", "sgd")

    def __init__(self, plan: Plan, model: nn.Module) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": plan.learning_rate}]
        self._parameters: list[Tensor] = [each for each in model.parameters() if each.requires_grad]
        self._count = torch.zeros(())  # of steps
        settings: dict[str, Any] = {"weight_decay": plan.weight_decay, "maximize": False}
        if plan.optimizer == "sgd":
            self._kernel: Callable[..., None] = torch._fused_sgd_
            self._memory = [self._zeros() if plan.momentum else []]
            settings |= {"momentum": plan.momentum, "nesterov": plan.nesterov, "dampening": 0, "is_first_step": False}
        else:
            self._kernel = torch._fused_adamw_ if plan.optimizer == "adamw" else torch._fused_adam_
            self._memory = [self._zeros(), self._zeros(), [], [self._count] * len(self._parameters)]
            settings |= {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False}
        self._settings = settings

    @torch.no_grad()
    def step(self) -> None:
        """Update all parameters."""
        self._count.add_(1)
        gradients = cast(list[Tensor], [each.grad for each in self._parameters])
        self._kernel(self._parameters, gradients, *self._memory, lr=self.param_groups[0]["lr"], **self._settings)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for each in self._parameters:
            each.grad = None

    def _zeros(self) -> list[Tensor]:
        return [torch.zeros_like(each) for each in self._parameters]
