"""The plan's optimizer."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from prunus.errors import TrainingError
from prunus.training.plan import Plan


class Stepper(Protocol):
    """What training asks of an optimizer."""

    param_groups: list[dict[str, Any]]

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self) -> Any:
        """Update the parameters."""


def make_optimizer(plan: Plan, model: nn.Module) -> torch.optim.Optimizer:
    """A fresh optimizer over the model's trainable parameters, fused where torch can.

    Raises:
        TrainingError: no parameter of the model can be trained.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise TrainingError(f"nothing to train: no parameter of {type(model).__name__} requires a gradient")
    rate, weight_decay, momentum = plan.learning_rate, plan.weight_decay, plan.momentum
    fused = all(parameter.is_floating_point() and parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    match plan.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, rate, weight_decay=weight_decay, fused=fused)
        case "adamw":
            return torch.optim.AdamW(parameters, rate, weight_decay=weight_decay, fused=fused)
        case "sgd":
            return torch.optim.SGD(
                parameters, rate, momentum, weight_decay=weight_decay, nesterov=plan.nesterov, fused=fused
            )
        case "rmsprop":
            return torch.optim.RMSprop(parameters, rate, momentum=momentum, weight_decay=weight_decay)
