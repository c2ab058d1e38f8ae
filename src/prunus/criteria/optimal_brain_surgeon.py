"""Optimal brain surgeon."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from prunus.criteria.curvature import (
    Product,
    Tensors,
    mean_over_batches,
    output_roots,
    see_gradients,
)
from prunus.criteria.gradients import require_telling
from prunus.criteria.quadratic import inverted, refitted, removal_errors
from prunus.criteria.subject import Scores, Subject
from prunus.errors import ArgumentError, ScoreError
from prunus.masks.masks import Masks

_HESSIANS = ("gauss-newton", "fisher", "exact")


@dataclass(frozen=True)
class OptimalBrainSurgeon:
    """What the loss rises by when a weight is removed and all others make up for it: w_q² / (2 [H⁻¹]_qq).

    Weights are removed one by one, each time the one of least rise, whereupon the others and H⁻¹ are brought up to
    date; the score is that rise, or what came before it where that was more, so that the score's order is the order of
    removal. ``reconstruct`` gives the kept weights the values at which the error is the least.

    H is that of the loss in evaluation mode over all weights in scope together, n × n for n weights, plus the damping.

    Attributes:
        hessian: ``"gauss-newton"``, 1/N Σ XXᵀ with X the derivative of the outputs, times the root of the loss's second
            derivative, which is the paper's matrix for the squared error; ``"fisher"``, the same with the gradients of
            the examples' losses for X, which costs one pass instead of one for each output; ``"exact"``, the Hessian
            itself, which must be positive definite.
        damping: α, what is added to H's diagonal; the paper takes 1e-8 to 1e-4.
        greedy: remove one by one, as the paper does; otherwise all scores are of the dense model.
        limit: the most weights in scope.

    Raises:
        ArgumentError: a setting is unknown or out of bounds.

    Source: Hassibi & Stork 1992, the saliency L_q, and the recursion for H⁻¹, whose result is here had by one inversion
    of the sum (Advances in Neural Information Processing Systems 5).
    """

    hessian: str = "gauss-newton"
    damping: float = 1e-6
    greedy: bool = True
    limit: int = 2000

    def __post_init__(self) -> None:
        if self.hessian not in _HESSIANS:
            raise ArgumentError(f"hessian must be one of {', '.join(map(repr, _HESSIANS))}, got {self.hessian!r}")
        if not 0 <= self.damping < math.inf:
            raise ArgumentError(f"damping must be at least 0 and finite, got {self.damping}: 1e-8 to 1e-4 is usual")
        if self.limit < 1:
            raise ArgumentError(f"limit must be at least 1, got {self.limit}")

    def __call__(self, subject: Subject) -> Scores:
        """The scores.

        Returns:
            parameter name → float64 tensor of the parameter's shape; higher stays.

        Raises:
            ScoreError: there are more weights than the limit, or H is zero or not positive definite.
            ArgumentError: there are no batches, or not as many targets as inputs.
        """
        inverse = self._inverse(subject)
        weights = _joined(subject.weights())
        errors = removal_errors(weights, inverse) if self.greedy else weights.square() / (2 * inverse.diagonal())
        return _parted(errors, subject)

    @torch.no_grad()
    def reconstruct(self, subject: Subject, masks: Masks, pattern: str) -> tuple[Masks, Tensors]:
        """Let the kept weights make up for those that go: all together, which comes to the same as one by one.

        Returns:
            the masks as they are, and parameter name → the new weight, of the parameter's shape and dtype.

        Raises:
            ArgumentError, ScoreError: as for the scores.
        """
        weights = subject.weights()
        kept = _joined({name: masks[name].to(weight.device) for name, weight in weights.items()})
        found = _parted(refitted(_joined(weights), kept.bool(), self._inverse(subject)), subject)
        return masks, {name: value.to(weights[name].dtype) for name, value in found.items()}

    def _inverse(self, subject: Subject) -> Tensor:
        count = sum(parameter.numel() for parameter in subject.parameters.values())
        if count > self.limit:
            raise ScoreError(
                f"optimal brain surgeon needs a matrix of {count} × {count} for the {count} weights in scope, and the "
                f"limit is {self.limit}: include fewer layers, raise the limit, or take 'woodfisher', which divides "
                "the weights into blocks, or 'layerwise-obs'"
            )
        matrix = self._matrix(subject, count)
        require_telling({"H": matrix}, "the matrix of second derivatives")
        matrix.diagonal().add_(self.damping)
        return inverted(matrix, f"train to a minimum, raise the damping, {self.damping}, or take another hessian")

    def _matrix(self, subject: Subject, count: int) -> Tensor:
        """H without the damping, float64."""
        if self.hessian == "exact":
            return mean_over_batches(subject, lambda product: {"H": _rows(product, subject)})["H"].double()
        found = torch.zeros(count, count, dtype=torch.float64, device=next(iter(subject.parameters.values())).device)

        def see(gradients: Tensors) -> None:
            rows = torch.cat([gradient.flatten(1) for gradient in gradients.values()], 1).double()
            found.addmm_(rows.mT, rows)

        if self.hessian == "fisher":
            examples = see_gradients(subject, see)
        else:
            examples = sum(len(targets) for _, targets in subject.data())
            for of_output in output_roots(subject):
                see_gradients(of_output, see)
        return found / examples


def _rows(product: Product, subject: Subject) -> Tensor:
    """The matrix, from its products with the unit vectors."""
    found = []
    for name, parameter in subject.parameters.items():
        for place in range(parameter.numel()):
            vector = {other: torch.zeros_like(weight) for other, weight in subject.weights().items()}
            vector[name].view(-1)[place] = 1.0
            found.append(_joined(product(vector)))
    matrix = torch.cat(found)
    return (matrix + matrix.mT) / 2


def _joined(tensors: Tensors) -> Tensor:
    """(1, weights in scope), float64."""
    return torch.cat([tensor.detach().reshape(1, -1).double() for tensor in tensors.values()], 1)


def _parted(joined: Tensor, subject: Subject) -> Tensors:
    parts = joined.reshape(-1).split([parameter.numel() for parameter in subject.parameters.values()])
    return {
        name: part.reshape(parameter.shape)
        for (name, parameter), part in zip(subject.parameters.items(), parts, strict=True)
    }
