"""Training a stack of models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from prunus.errors import TrainingError
from prunus.training.batches import Batch
from prunus.training.optimizers import make_optimizer
from prunus.training.together.chain import has_hooks
from prunus.training.together.check import computes_the_same
from prunus.training.together.fit import Fit, Outcome
from prunus.training.together.stack import Stack


def fit_stacked(fits: Sequence[Fit]) -> list[Outcome] | None:
    """Train models of one structure by one plan as one model.

    Returns:
        for each, the mean loss of every epoch, or the error by which it ended; None where a stack of these models does
        not compute what they compute, and they are as they were.
    """
    if any(has_hooks(fit.model) for fit in fits):  # which would not be those of the stack's parameters
        return None
    before = [[each.detach().clone() for each in _tensors(fit.model)] for fit in fits]
    try:
        stack = Stack([fit.model for fit in fits])
    except Exception:  # whatever a model raises that cannot be copied
        return None
    try:
        with torch.random.fork_rng([]):
            means = _Training(fits, stack).epochs()
    except Exception:  # of the users' own code too: alone it is known whose it is
        means = None
    stack.release()
    if means is None:
        with torch.no_grad():
            for fit, values in zip(fits, before, strict=True):
                for each, value in zip(_tensors(fit.model), values, strict=True):
                    each.copy_(value)
        return None
    return [_outcome(fit, own) for fit, own in zip(fits, zip(*means, strict=True), strict=True)]


class _Training:
    """One training of a stack.

    Args:
        fits: of the stack's models.
        stack: of them.
    """

    def __init__(self, fits: Sequence[Fit], stack: Stack) -> None:
        self._fits, self._stack = fits, stack
        self._trainer = fits[0].trainer
        self._checked: set[int] = set()
        self._last: tuple[Batch, ...] = ()

    def epochs(self) -> list[list[float]] | None:
        """Train; for each epoch the mean loss of each model. None as soon as they do not compute the same."""
        trainer, stack, stretch = self._trainer, self._stack, self._fits[0].stretch
        optimizer = make_optimizer(trainer.plan, stack.model)
        masks = stack.masks([fit.masks for fit in self._fits])
        means = []
        with masks.held(stack.model, optimizer) if masks else nullcontext():
            stack.model.train()
            for epoch, steps in trainer.epochs(stretch):
                losses = self._epoch(epoch, steps, optimizer)
                if losses is None:
                    return None
                means.append([float(loss) / len(steps) for loss in losses])
        # What a model does once its activations have grown, as to scale all of a batch, does not show at the beginning.
        return means if not self._last or computes_the_same(stack, self._last, trainer.loss) else None

    def _epoch(self, epoch: int, steps: range, optimizer: torch.optim.Optimizer) -> Tensor | None:
        """The sum of the losses of each model."""
        trainer, stack = self._trainer, self._stack
        sums = torch.zeros(len(self._fits), dtype=torch.float64)
        for step, batches in zip(steps, self._batches(epoch, steps), strict=False):
            size = len(batches[0][0])
            if size not in self._checked:
                if not computes_the_same(stack, batches, trainer.loss):
                    return None
                self._checked.add(size)
            self._last = batches
            trainer.set_rate(optimizer, step)
            optimizer.zero_grad()
            losses = stack.losses(batches, trainer.loss)
            torch.autograd.backward(list(losses))
            if trainer.plan.clip_norm is not None:
                stack.share_gradients()
                for model in stack.models:
                    nn.utils.clip_grad_norm_(model.parameters(), trainer.plan.clip_norm)
            optimizer.step()
            sums += torch.stack([loss.detach() for loss in losses])
            for fit in self._fits:
                fit.trainer.look_at(fit.model, step + 1)
        return sums

    def _batches(self, epoch: int, steps: range) -> Iterator[tuple[Batch, ...]]:
        first = steps.start % len(self._trainer.batches)
        return zip(*(fit.trainer.batches.epoch(epoch, fit.seed, first) for fit in self._fits), strict=True)


def _tensors(model: nn.Module) -> list[Tensor]:
    """What training changes, whether or not it is in a state dict."""
    return [*model.parameters(), *model.buffers()]


def _outcome(fit: Fit, losses: tuple[float, ...]) -> Outcome:
    try:
        for loss, (_, steps) in zip(losses, fit.trainer.epochs(fit.stretch), strict=True):
            fit.trainer.require_finite_loss(loss, steps.stop)
        fit.trainer.require_finite_weights(fit.model)
    except TrainingError as error:
        return error
    return [*losses]
