"""The training loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prunus.errors import ArgumentError, TrainingError
from prunus.masks.masks import Masks
from prunus.training.batches import Batch, Batches, epoch_seed
from prunus.training.distillation import Distillation
from prunus.training.optimizers import Stepper, make_optimizer
from prunus.training.plan import Plan

Watch = Callable[[int, Stepper], None]
Look = Callable[[int, nn.Module], None]
Differentiate = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Stretch:
    """Which part of the plan to train.

    Attributes:
        start: step to begin with, from 0: the learning rate and the order of the data are those of that step.
        stop: step to end before; None is the end of the plan.
    """

    start: int = 0
    stop: int | None = None


WHOLE = Stretch()


@dataclass(frozen=True)
class Trainer:
    """Trains models on one data set by one plan.

    Attributes:
        batches: the training split.
        plan: how to train.
        loss: (outputs, targets) → mean loss of the batch.
        distillation: takes the place of the loss, and learns from a teacher too.
        look: called with the number of steps done and the model whenever the plan says so.
        differentiate: (inputs, targets) → loss of the batch, whose derivatives it makes the gradients of the
            parameters; torch differentiates where None.
    """

    batches: Batches
    plan: Plan
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy
    distillation: Distillation | None = None
    look: Look | None = None
    differentiate: Differentiate | None = None

    @property
    def total_steps(self) -> int:
        """Steps of the whole plan."""
        return self.plan.epochs * len(self.batches)

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """A fresh optimizer of the plan for the model."""
        return make_optimizer(self.plan, model)

    def fit(
        self,
        model: nn.Module,
        seed: int,
        *,
        masks: Masks | None = None,
        stretch: Stretch = WHOLE,
        optimizer: Stepper | None = None,
        watch: Watch | None = None,
    ) -> list[float]:
        """Train the model in place.

        Two calls with equal arguments on equal weights give equal weights; torch's global random state, which
        dropout draws from, is seeded inside and restored afterwards.

        Args:
            model: left in training mode.
            seed: of the order of the data, of augmentation and of dropout.
            masks: held throughout.
            stretch: part of the plan to train.
            optimizer: a fresh one of the plan where None; one of torch's where masks are held.
            watch: called after every step with the number of steps done and the optimizer.

        Returns:
            mean training loss of every epoch, or part of one, that was trained.

        Raises:
            TrainingError: the loss or a weight is no longer finite.
        """
        optimizer = optimizer or self.make_optimizer(model)
        devices = sorted({p.device.index for p in model.parameters() if p.is_cuda})
        losses: list[float] = []
        with (
            torch.random.fork_rng(devices),
            masks.held(model, cast(torch.optim.Optimizer, optimizer)) if masks else nullcontext(),
        ):
            model.train()
            for epoch, steps in self.epochs(stretch):
                torch.manual_seed(epoch_seed(seed, epoch))  # a run in two stretches draws what one run draws
                batches = self.batches.epoch(epoch, seed, steps.start % len(self.batches))
                losses.append(self._epoch(model, optimizer, batches, steps, watch))
                self.require_finite_loss(losses[-1], steps.stop)
        self.require_finite_weights(model)
        return losses

    def epochs(self, stretch: Stretch) -> list[tuple[int, range]]:
        """Each epoch of which the stretch trains a part, and the steps of that part.

        Raises:
            ArgumentError: the stretch is no part of the plan.
        """
        stop = self.total_steps if stretch.stop is None else stretch.stop
        if not 0 <= stretch.start <= stop <= self.total_steps:
            raise ArgumentError(f"cannot train from step {stretch.start} to {stop} of {self.total_steps}")
        each = len(self.batches)
        return [
            (epoch, range(max(stretch.start, epoch * each), min(stop, (epoch + 1) * each)))
            for epoch in range(stretch.start // each, -(-stop // each))
        ]

    def batch_loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """What the model is trained to lower on a batch."""
        return self.outputs_loss(model(inputs), inputs, targets)

    def outputs_loss(self, outputs: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        """The same from the model's outputs."""
        return self.distillation(outputs, targets, inputs) if self.distillation else self.loss(outputs, targets)

    def set_rate(self, optimizer: Stepper, step: int) -> None:
        """Give the optimizer the learning rate of that step of the plan."""
        rate = self.plan.rate(step, self.total_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate

    def look_at(self, model: nn.Module, step: int) -> None:
        """Look at the model after so many steps, if the plan says so."""
        every = self.plan.evaluate_every
        if self.look is not None and every is not None and step % every == 0:
            self.look(step, model)

    def require_finite_loss(self, mean: float, step: int) -> None:
        """Refuse a mean loss before that step that is not finite.

        Raises:
            TrainingError: it is not.
        """
        if not math.isfinite(mean):
            raise TrainingError(
                f"the training loss became {mean} before step {step}: lower learning_rate (now "
                f"{self.plan.learning_rate:g}), set clip_norm, or look for broken inputs"
            )

    def require_finite_weights(self, model: nn.Module) -> None:
        """Refuse weights that are not finite.

        Raises:
            TrainingError: some are not.
        """
        broken = [name for name, parameter in model.named_parameters() if not bool(parameter.isfinite().all())]
        if broken:
            raise TrainingError(
                f"training left {', '.join(broken)} with values that are not finite: lower learning_rate (now "
                f"{self.plan.learning_rate:g}) or set clip_norm"
            )

    def _epoch(
        self,
        model: nn.Module,
        optimizer: Stepper,
        batches: Iterator[Batch],
        steps: range,
        watch: Watch | None,
    ) -> float:
        sum_of_losses = torch.zeros((), dtype=torch.float64)
        for step, (inputs, targets) in zip(steps, batches, strict=False):
            self.set_rate(optimizer, step)
            if self.differentiate is None:
                optimizer.zero_grad()
                loss = self.batch_loss(model, inputs, targets)
                loss.backward()
            else:
                loss = self.differentiate(inputs, targets)
            if self.plan.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), self.plan.clip_norm)
            optimizer.step()
            sum_of_losses += loss.detach().cpu()
            if watch is not None:
                watch(step + 1, optimizer)
            self.look_at(model, step + 1)
        return float(sum_of_losses) / len(steps)
