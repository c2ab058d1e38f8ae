"""How to train, as a plain value. Free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from prunus.errors import ArgumentError
from prunus.lookup import require_name

OptimizerName = Literal["adam", "adamw", "sgd", "rmsprop"]
DecayName = Literal["constant", "cosine", "linear", "steps"]
OPTIMIZERS, DECAYS = get_args(OptimizerName), get_args(DecayName)
WITH_MOMENTUM = ("sgd", "rmsprop")


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        epochs: passes over the training split.
        batch_size: examples of one step.
        optimizer: ``"adam"``, ``"adamw"``, ``"sgd"`` or ``"rmsprop"``.
        learning_rate: at its highest.
        momentum: of SGD and RMSprop; the others take none.
        nesterov: whether SGD looks ahead.
        weight_decay: L2 penalty, or decoupled decay with AdamW.
        decay: how the learning rate falls: ``"constant"``, ``"cosine"`` and ``"linear"`` to 0, or ``"steps"``.
        milestones: fractions of all steps at which ``"steps"`` multiplies the rate by ``factor``.
        factor: see ``milestones``.
        warmup_steps: steps over which the rate rises linearly from 0.
        clip_norm: largest norm of the gradient; None does not clip.
        evaluate_every: steps between two looks at the network while it is trained; None does not look.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    epochs: int = 10
    batch_size: int = 60
    optimizer: OptimizerName = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    decay: DecayName = "constant"
    milestones: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1
    warmup_steps: int = 0
    clip_norm: float | None = None
    evaluate_every: int | None = None

    def __post_init__(self) -> None:
        for kind, chosen, known in (("optimizer", self.optimizer, OPTIMIZERS), ("decay", self.decay, DECAYS)):
            require_name(kind, chosen, dict.fromkeys(known))
        for name in ("epochs", "batch_size", "learning_rate", "factor"):
            if not getattr(self, name) > 0:
                raise ArgumentError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("momentum", "weight_decay", "warmup_steps"):
            if not getattr(self, name) >= 0:
                raise ArgumentError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ArgumentError(f"clip_norm must be above 0, got {self.clip_norm}")
        if self.evaluate_every is not None and not self.evaluate_every > 0:
            raise ArgumentError(f"evaluate_every must be above 0, got {self.evaluate_every}")
        if not all(0 < milestone < 1 for milestone in self.milestones):
            raise ArgumentError(f"milestones are fractions of all steps, in (0, 1), got {list(self.milestones)}")
        for name in ("milestones", "factor"):
            if self.decay != "steps" and getattr(self, name) != getattr(Plan, name):
                raise ArgumentError(
                    f"{name} goes with decay = 'steps': {self.decay!r} has none, got {getattr(self, name)}"
                )
        if self.momentum and self.optimizer not in WITH_MOMENTUM:
            allowed = " or ".join(map(repr, WITH_MOMENTUM))
            raise ArgumentError(
                f"momentum goes with optimizer = {allowed}: {self.optimizer!r} takes none, got {self.momentum}"
            )
        if self.nesterov and not (self.optimizer == "sgd" and self.momentum > 0):
            raise ArgumentError("nesterov needs optimizer = 'sgd' and momentum above 0")

    def constant(self, epochs: int, learning_rate: float) -> Plan:
        """The same plan with other epochs, all of them at one learning rate."""
        unused = {name: getattr(Plan, name) for name in ("decay", "milestones", "factor", "warmup_steps")}
        return replace(self, epochs=epochs, learning_rate=learning_rate, **unused)

    def rate(self, step: int, total: int) -> float:
        """Learning rate of step ``step`` (from 0) of ``total``."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(1, total - self.warmup_steps)
        match self.decay:
            case "cosine":
                return self.learning_rate * (1 + math.cos(math.pi * progress)) / 2
            case "linear":
                return self.learning_rate * (1 - progress)
            case "steps":
                passed = sum(step >= fraction * total - 1e-9 for fraction in self.milestones)
                return self.learning_rate * self.factor**passed
            case _:
                return self.learning_rate
