"""WoodFisher."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from prunus.criteria.curvature import Tensors, see_gradients
from prunus.criteria.gradients import require_telling
from prunus.criteria.quadratic import inverted, refitted
from prunus.criteria.subject import Scores, Subject
from prunus.errors import ArgumentError
from prunus.masks.masks import Masks


@dataclass(frozen=True)
class WoodFisher:
    """What the loss rises by when a weight is removed and its block makes up for it: w_q² / (2 [F⁻¹]_qq).

    F is the empirical Fisher matrix, λI + 1/N Σ g_n g_nᵀ with the gradients g_n of single examples in evaluation mode,
    of each block of weights that follow one another in one parameter. The published recursion adds one g_n after
    another to F⁻¹ by the Woodbury identity; here F is summed up and inverted once, which gives the same in half of the
    operations and needs no N beforehand. A weight at 0.0 counts as removed already.

    ``reconstruct`` gives each block the weights at which its error is the least. F takes 8 · block_size bytes a weight.

    Attributes:
        block_size: weights of a block, at most; a parameter is divided into blocks of equal size.
        damping: λ.

    Raises:
        ArgumentError: a setting is out of bounds.

    Source: Singh & Alistarh 2020 (arXiv:2004.14340); several weights at once: Kurtic et al. 2022 (arXiv:2203.07259).
    """

    block_size: int = 128
    damping: float = 1e-5

    def __post_init__(self) -> None:
        if self.block_size < 1:
            raise ArgumentError(f"block_size must be at least 1, got {self.block_size}")
        if not 0 < self.damping < math.inf:
            raise ArgumentError(f"damping must be above 0 and finite, got {self.damping}: 1e-5 is usual")

    def __call__(self, subject: Subject) -> Scores:
        """The scores.

        Returns:
            parameter name → float64 tensor of the parameter's shape; higher stays.

        Raises:
            ArgumentError: there are no batches, or not as many targets as inputs.
            ScoreError: every gradient is zero, or the damping is lost in rounding.
        """
        found = {}
        for name, fisher in self._fishers(subject).items():
            weight = subject.parameters[name].detach()
            variances = _flat(self._inverted(fisher).diagonal(dim1=1, dim2=2), weight)
            found[name] = weight.double().square() / (2 * variances)
        return found

    @torch.no_grad()
    def reconstruct(self, subject: Subject, masks: Masks, pattern: str) -> tuple[Masks, Tensors]:
        """Let the kept weights of each block make up for those that go.

        Returns:
            the masks as they are, and parameter name → the new weight, of the parameter's shape and dtype.

        Raises:
            ArgumentError, ScoreError: as for the scores.
        """
        weights = {}
        for name, fisher in self._fishers(subject).items():
            weight = subject.parameters[name].detach()
            blocks = (self._blocks(value.reshape(1, -1)).squeeze(1) for value in (weight, ~masks[name]))
            before, gone = (block.to(fisher.device) for block in blocks)
            after = refitted(before, ~gone, self._inverted(fisher))
            weights[name] = _flat(after, weight).to(weight.dtype)
        return masks, weights

    def _fishers(self, subject: Subject) -> Tensors:
        """Parameter name → (blocks, size, size) float64, without the damping."""
        sums: Tensors = {}
        alive = {name: weight != 0 for name, weight in subject.weights().items()}

        def see(gradients: Tensors) -> None:
            for name, gradient in gradients.items():
                blocks = self._blocks((gradient.double() * alive[name]).flatten(1))
                if name in sums:
                    sums[name].baddbmm_(blocks.mT, blocks)
                else:
                    sums[name] = blocks.mT @ blocks

        count = see_gradients(subject, see)
        require_telling(sums, "the gradient of every example")
        return {name: total.div_(count) for name, total in sums.items()}

    def _inverted(self, fisher: Tensor) -> Tensor:
        damped = fisher.clone()
        damped.diagonal(dim1=1, dim2=2).add_(self.damping)
        return inverted(damped, f"raise the damping, {self.damping}, which is lost in rounding beside the gradients")

    def _blocks(self, rows: Tensor) -> Tensor:
        """(rows, weights) → (blocks, rows, size), the last block filled up with zeros."""
        count = -(-rows.shape[1] // self.block_size)
        size = -(-rows.shape[1] // count)
        return pad(rows, (0, count * size - rows.shape[1])).unflatten(1, (count, size)).transpose(0, 1)


def _flat(blocks: Tensor, weight: Tensor) -> Tensor:
    """Values of a weight's blocks, in the weight's shape."""
    return blocks.reshape(-1)[: weight.numel()].reshape(weight.shape)
