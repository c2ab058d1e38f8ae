"""Layer-wise optimal brain surgeon."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from prunus.criteria.activations import input_second_moments
from prunus.criteria.curvature import Tensors
from prunus.criteria.quadratic import Quota, inverted, refitted, removal_errors
from prunus.criteria.subject import Scores, Subject
from prunus.errors import ArgumentError, ScoreError
from prunus.masks.masks import Masks
from prunus.masks.patterns import KeepOf, parse_pattern


@dataclass(frozen=True)
class LayerwiseOBS:
    """What a layer's squared error ‖WX − W'X‖² / n rises by when a weight goes and its row makes up for it.

    Each row of a layer, the weights of one output, is emptied one weight by one, each time the one of least rise
    (ExactOBS, with H = 2XXᵀ / n over all examples and positions in evaluation mode). The score is that rise, or what
    came before it in the row where that was more: the lowest scores of a layer are what the paper's choice over all
    rows removes. Rises of different layers are of different scales: the scope "layer" compares rows only.

    ``reconstruct`` gives the kept weights of each row the values of least squares. For an N:M pattern it chooses anew
    which weights go: the row is emptied only down to N of each M.

    Attributes:
        damping: what is added to the diagonal of H, as a fraction of its mean.

    Raises:
        ArgumentError: the damping is out of bounds.

    Source: Frantar & Alistarh 2022, section 4 (arXiv:2208.11580).
    """

    damping: float = 1e-4

    def __post_init__(self) -> None:
        if not 0 <= self.damping < math.inf:
            raise ArgumentError(f"damping must be at least 0 and finite, got {self.damping}: 1e-4 to 1e-2 is usual")

    def __call__(self, subject: Subject) -> Scores:
        """The scores.

        Returns:
            parameter name → float64 tensor of the parameter's shape; higher stays.

        Raises:
            ScoreError: a weight is of no linear layer or convolution, or its inputs are all zero, or too few for the
                damping.
            ArgumentError: there are no batches.
        """
        found = {}
        for name, weight, inverses in self._layers(subject):
            errors = [removal_errors(*group) for group in zip(_rows(weight, inverses), inverses, strict=True)]
            found[name] = torch.cat(errors).reshape(weight.shape)
        return found

    @torch.no_grad()
    def reconstruct(self, subject: Subject, masks: Masks, pattern: str) -> tuple[Masks, Tensors]:
        """Let the kept weights of each row make up for those that go.

        Returns:
            the masks, other ones for an N:M pattern, and parameter name → the new weight, of the parameter's shape and
            dtype.

        Raises:
            ArgumentError, ScoreError: as for the scores.
        """
        parsed = parse_pattern(pattern)
        kept, weights = dict(masks), {}
        for name, weight, inverses in self._layers(subject):
            if isinstance(parsed, KeepOf):
                kept[name] = _chosen(parsed, name, weight, masks[name].to(weight.device), inverses)
            groups = zip(_rows(weight, inverses), _rows(kept[name], inverses), inverses, strict=True)
            weights[name] = torch.cat([refitted(*group) for group in groups]).reshape(weight.shape).to(weight.dtype)
        return Masks.owning(kept), weights

    def _layers(self, subject: Subject) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Parameter name, weight, and H⁻¹ as (groups, inputs, inputs) float64."""
        for name, moments in input_second_moments(subject).items():
            hessian = 2 * moments.double()
            diagonal = hessian.diagonal(dim1=1, dim2=2)
            if not bool(diagonal.any(1).all()):
                raise ScoreError(
                    f"the inputs of the layer of {name!r} are all zero, so nothing can be ranked: look at the data and "
                    "for dead units before it, or exclude it"
                )
            diagonal.add_(self.damping * diagonal.mean(1, keepdim=True))
            remedy = f"give {name!r} more examples, or raise the damping, {self.damping}"
            yield name, subject.parameters[name].detach(), inverted(hessian, remedy)


def _rows(weight: Tensor, inverses: Tensor) -> Tensor:
    """(groups, outputs of each, inputs)."""
    return weight.reshape(len(inverses), -1, inverses.shape[1])


def _chosen(pattern: KeepOf, name: str, weight: Tensor, mask: Tensor, inverses: Tensor) -> Tensor:
    """The N:M mask of which no set of M neighbours loses more than it may; what is 0.0 and removed stays removed."""
    numbers = torch.arange(weight[0].numel(), device=weight.device).reshape(weight.shape[1], -1)
    sets = (numbers // numbers.shape[1] // pattern.of) * numbers.shape[1] + numbers % numbers.shape[1]
    quota = Quota(sets.reshape(-1), pattern.of - pattern.keep)
    gone = _rows((weight == 0) & ~mask, inverses)
    groups = zip(_rows(weight, inverses), inverses, gone, strict=True)
    return pattern.select(name, torch.cat([removal_errors(*group, quota) for group in groups]).reshape(weight.shape))
