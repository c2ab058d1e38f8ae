"""Skeletonization: the relevance of units."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from prunus.criteria.activations import examining
from prunus.criteria.gradients import require_telling
from prunus.criteria.subject import Scores, Subject, wide
from prunus.criteria.unit_gates import Stage, UnitGates, over_units
from prunus.errors import ArgumentError, ScoreError

_ERRORS = ("linear", "loss")


@dataclass(frozen=True)
class Skeletonization:
    """What the error would gain if a unit's attentional strength α fell from 1 to 0, to first order: −∂E/∂α at α = 1.

    α multiplies what the unit gives to others: its activation, the last of the functions (batch normalisation,
    activation, dropout) that follow its layer and act on each unit by itself. The model runs in evaluation mode. The
    paper scores hidden and input units; to leave out those of the last layer, exclude it.

    The error is that of the mean pattern of a batch, and its derivative is averaged over the batches as the paper
    averages over time: ρ ← decay · ρ + (1 − decay) · (−∂E/∂α). Batches of one pattern make it an average over patterns.
    With 0.8, what came ten batches ago counts a tenth of what came last.

    Attributes:
        error: ``"linear"``, the paper's Σ |target − output|, whose derivative does not vanish where the output comes
            near the target: classes are targets of 0 and 1, and the outputs then are those of the softmax over the
            second dimension; targets that are real numbers are compared with the outputs as they are. Or ``"loss"``,
            the subject's own.
        decay: in [0, 1).

    Raises:
        ArgumentError: the error is unknown, or decay is out of bounds.

    Source: Mozer & Smolensky 1989, "Skeletonization", the relevance with the linear error, averaged over time (Advances
    in Neural Information Processing Systems 1).
    """

    error: str = "linear"
    decay: float = 0.8

    def __post_init__(self) -> None:
        if self.error not in _ERRORS:
            raise ArgumentError(f"error must be one of {', '.join(map(repr, _ERRORS))}, got {self.error!r}")
        if not 0 <= self.decay < 1:
            raise ArgumentError(f"decay must lie in [0, 1), got {self.decay}")

    @torch.inference_mode(False)
    def __call__(self, subject: Subject) -> Scores:
        """Name → float tensor of the parameter's shape, in float32 at least, the relevance of the unit of each weight.

        Raises:
            ArgumentError: there are no batches, or the targets do not fit the outputs.
            ScoreError: a weight is not that of a linear or convolutional layer that runs, or no unit is relevant.
        """
        relevance = {name: torch.zeros(()) for name in subject.parameters}
        with examining(subject.model), torch.enable_grad():
            for inputs, targets in subject.data():
                with UnitGates(subject.parameters) as gates:
                    outputs = subject.model(inputs)
                error = linear_error(outputs, targets) if self.error == "linear" else subject.loss(outputs, targets)
                for name, slope in _slopes(error, gates).items():
                    relevance[name] = self.decay * relevance[name].to(slope.device) - (1 - self.decay) * slope
        require_telling(relevance, "the derivative of the error with respect to the units' attentional strengths")
        return over_units(subject, relevance)


def linear_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Σ |target − output| over all outputs of a pattern, as a mean over patterns.

    Args:
        outputs: (patterns, classes, ...) scores before the softmax, or real numbers.
        targets: (patterns, ...) int classes, or real numbers in the shape of the outputs.

    Raises:
        ArgumentError: the targets are neither.
    """
    if targets.is_floating_point() and targets.shape == outputs.shape:
        return (targets - outputs).abs().sum() / len(targets)
    if targets.is_floating_point() or outputs.dim() < 2 or targets.shape != (len(outputs), *outputs.shape[2:]):
        raise ArgumentError(
            f"the linear error is that of classes or of real numbers in the outputs' shape, {tuple(outputs.shape)}; "
            f"the targets are {targets.dtype} {tuple(targets.shape)}: give error = 'loss' to use the loss"
        )
    if int(targets.min()) < 0 or int(targets.max()) >= outputs.shape[1]:
        raise ArgumentError(
            f"the targets name classes from {int(targets.min())} to {int(targets.max())}, the model has "
            f"{outputs.shape[1]}: give error = 'loss' if the loss knows what they mean"
        )
    chances = outputs.softmax(1)
    wanted = torch.zeros_like(chances).scatter_(1, targets.long().unsqueeze(1), 1.0)
    return (wanted - chances).abs().sum() / len(targets)


def _slopes(error: Tensor, gates: UnitGates) -> dict[str, Tensor]:
    """Name → derivative of the error with respect to the gate on each unit's activation, for all calls of the layer."""
    silent = [name for name, stages in gates.outputs.items() if not stages]
    if silent:
        raise ScoreError(
            f"no units of {', '.join(map(repr, silent))} were seen when the model ran: they are seen of linear layers "
            "and convolutions, not of recurrent and attention layers and what is not used: exclude them"
        )
    ends = {name: [_end(stage) for stage in stages] for name, stages in gates.outputs.items()}
    every = [stage.gate for stages in ends.values() for stage in stages]
    found = iter(torch.autograd.grad(error, every, allow_unused=True, materialize_grads=True))
    return {name: wide(torch.stack([next(found) for _ in stages]).sum(0)) for name, stages in ends.items()}


def _end(stage: Stage) -> Stage:
    *_, last = stage.way()
    return last
