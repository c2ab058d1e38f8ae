"""SynFlow: iterative synaptic flow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase

from prunus.criteria.activations import examining
from prunus.criteria.gradients import require_telling
from prunus.criteria.subject import Scores, Subject
from prunus.errors import ArgumentError, ScoreError
from prunus.masks.scope import unwrapped

_LEAST = 1e-20  # of every layer's largest score, lest smaller ones that count leave the range of single precision


@dataclass(frozen=True)
class SynFlow:
    """|θ| · ∂R/∂|θ| of the flow R = 1ᵀ(∏ |θ|)1: how much flows through a weight from inputs of 1 to the outputs.

    R is the sum of the outputs for one input of ones, of the shape of the batches' examples, with all weights replaced
    by their absolute values. As in the authors' code the model runs in evaluation mode, so that batch normalisation
    multiplies by |γ| / √(variance + ε). What is added (biases, shifts, running means) is zero, as it is in the
    authors' networks at initialisation, and so the scores of a layer that all paths pass sum up to R. Data are not
    looked at.

    The sparsity is reached in ``rounds`` that each remove the same fraction of what is left and score anew, which keeps
    any layer from being emptied.

    Computed in the model's precision, float32 at least, and again in float64 where that leaves its range.

    Attributes:
        rounds: at least 1; 100 in the paper.

    Raises:
        ArgumentError: rounds is out of bounds.

    Source: Tanaka et al. 2020, "iterative synaptic flow pruning" (arXiv:2006.05467), and
    github.com/ganguli-lab/Synaptic-Flow.
    """

    rounds: int = 100

    def __post_init__(self) -> None:
        if isinstance(self.rounds, bool) or not isinstance(self.rounds, int) or self.rounds < 1:
            raise ArgumentError(f"rounds must be a whole number of at least 1, got {self.rounds!r}")

    @torch.inference_mode(False)
    def __call__(self, subject: Subject) -> Scores:
        """Name → tensor of the parameter's shape, not negative, float32 or float64; higher stays.

        Raises:
            ArgumentError: there are no batches.
            ScoreError: there is no such flow through the model: its inputs are no real numbers, it normalises by
                statistics of the input itself, its activations saturate, or a weight is one that is added.
        """
        inputs, _ = next(subject.data())
        if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
            raise ScoreError(
                "synaptic flow starts from inputs of ones, which must be real numbers: it is not defined for a model "
                "of indices"
            )
        ones = torch.ones(1, *inputs.shape[1:], device=inputs.device)
        with examining(subject.model), torch.enable_grad():
            dtypes = [parameter.dtype for parameter in subject.parameters.values()]
            scores = _flow(subject, ones, torch.promote_types(dtypes[0], torch.float32))
            if not all(_LEAST < float(score.max()) < math.inf for score in scores.values()):
                scores = _flow(subject, ones, torch.float64)
        require_telling(scores, "the synaptic flow")
        return {name: _positive(name, score, scores) for name, score in scores.items()}


def _flow(subject: Subject, ones: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """Name → |θ| · ∂R/∂|θ|."""
    model = unwrapped(subject.model)
    tensors = _linearised(model, dtype)
    own_names = {id(parameter): own_name for own_name, parameter in model.named_parameters()}
    weights = {name: tensors[own_names[id(parameter)]] for name, parameter in subject.parameters.items()}
    for name, weight in weights.items():
        if _is_added(name):
            raise ScoreError(f"nothing flows through {name!r}, which is added: exclude it")
        weight.requires_grad_(True)
    outputs = functional_call(model, tensors, (ones.to(dtype),))
    if not isinstance(outputs, Tensor):
        raise ScoreError(
            f"synaptic flow ends at outputs that are one tensor, the model returns {type(outputs).__name__}"
        )
    slopes = torch.autograd.grad(outputs.sum(), list(weights.values()), allow_unused=True, materialize_grads=True)
    return {name: (weights[name] * slope).detach() for name, slope in zip(weights, slopes, strict=True)}


def _linearised(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """The model's parameters and buffers for the flow, by the model's own names."""
    tensors = {}
    for name, parameter in model.named_parameters():
        value = parameter.detach().to(dtype)
        tensors[name] = torch.zeros_like(value) if _is_added(name) else value.abs()
    for name, buffer in model.named_buffers():
        tensors[name] = buffer.to(dtype) if buffer.is_floating_point() else buffer
    for path, module in model.named_modules():
        if isinstance(module, _NormBase):
            if module.running_mean is None:
                raise ScoreError(
                    f"{path!r} normalises by statistics of its input, through which there is no synaptic flow: give it "
                    "running statistics, or choose another criterion"
                )
            mean = f"{path}.running_mean" if path else "running_mean"
            tensors[mean] = torch.zeros_like(tensors[mean])
    return tensors


def _is_added(name: str) -> bool:
    attribute = name.rpartition(".")[2]
    return attribute.startswith("bias") or attribute.endswith("bias")


def _positive(name: str, score: Tensor, scores: Mapping[str, Tensor]) -> Tensor:
    """The score without the rounding errors below zero that fast convolutions make."""
    largest = max(float(each.max()) for each in scores.values())
    if float(score.min()) < -1e-3 * largest:
        raise ScoreError(
            f"the flow through {name!r} is negative for some weights: synaptic flow is for networks in which a signal "
            "that is not negative stays so (ReLU, pooling, batch normalisation); exclude it or choose another criterion"
        )
    return score.clamp(min=0)
