"""SparseGPT."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from prunus.criteria.activations import Layers, input_second_moments, layers_of, see_inputs
from prunus.criteria.compensation import Choice, Fixed, Neighbours, Share, compensate, damped, factor
from prunus.criteria.memory import unwatched
from prunus.criteria.subject import Scores, Subject
from prunus.errors import ArgumentError, ScoreError
from prunus.masks.masks import Masks
from prunus.masks.patterns import KeepOf, Pattern, Weight, parse_pattern


@dataclass(frozen=True)
class SparseGPT:
    """What a layer's squared error rises by when a weight is removed and its others make up for it: w² / [H⁻¹]_jj.

    H = XᵀX / n is taken over all examples and positions in evaluation mode, with the damping on its diagonal; the
    factor ½ is left out. The scores decide how many weights each tensor keeps. Which ones is then decided, and the
    others are updated, by ``reconstruct``: SparseGPT itself. Weights of inputs that are always 0 score 0 and become 0.

    Attributes:
        block_size: inputs of which the mask is chosen together; for N:M, rounded up to whole groups.
        damping: what is added to the diagonal of H, as a fraction of its mean.
        sequential: what a layer sees is taken anew with the layers before it already pruned, as published, at the cost
            of one pass over the data for each layer; otherwise all layers share one pass over the dense model.

    Raises:
        ArgumentError: a setting is out of bounds.

    Source: Frantar & Alistarh 2023, section 3 and algorithm 1 (arXiv:2301.00774); the scores: its eq. 3, which is the
    published choice of the mask before any weight has changed.
    """

    block_size: int = 128
    damping: float = 0.01
    sequential: bool = True

    def __post_init__(self) -> None:
        if self.block_size < 1:
            raise ArgumentError(f"block_size must be at least 1, got {self.block_size}")
        if not 0 < self.damping < math.inf:
            raise ArgumentError(f"damping must be above 0, got {self.damping}: 0.01 is usual")

    def __call__(self, subject: Subject) -> Scores:
        """The static scores.

        Returns:
            parameter name → tensor of the parameter's shape, in float32 at least; higher stays.

        Raises:
            ScoreError: a weight is of no linear layer or convolution, or what its layer sees is not finite.
            ArgumentError: there are no batches.
        """
        found, weights = {}, subject.weights()
        for name, moments in input_second_moments(subject).items():
            weight = weights[name]
            rows = weight.to(moments.dtype).reshape(len(moments), -1, moments.shape[1])
            with _naming(name):
                scores = [self._static(*of_group) for of_group in zip(rows, moments, strict=True)]
            found[name] = torch.cat(scores).reshape(weight.shape)
        return found

    @torch.no_grad()
    def reconstruct(self, subject: Subject, masks: Masks, pattern: str) -> tuple[Masks, dict[str, Tensor]]:
        """Choose anew which weights go, as many of each tensor, and let the others make up for them.

        Single weights and N:M are chosen as the algorithm goes along. The masks of other patterns stay as they are, and
        an output keeps the other weights that it had where the update would not lower its squared error. A weight that
        is 0.0 and removed already stays so. Layers are visited in the order in which the model calls them; if
        ``sequential``, each is left pruned in the model, which the caller puts back.

        Returns:
            the masks, and parameter name → the new weight, of the parameter's shape and dtype.

        Raises:
            ScoreError: as for the scores.
            ArgumentError: there are no batches.
        """
        parsed = parse_pattern(pattern)
        layers = layers_of(subject)
        steps = [[name] for name in _called(subject, layers)] if self.sequential else [list(layers)]
        kept: dict[str, Tensor] = {}
        weights: dict[str, Tensor] = {}
        for names in steps:
            for name, moments in input_second_moments(subject, {name: layers[name] for name in names}).items():
                weight = subject.parameters[name]
                with _naming(name):
                    kept[name], weights[name] = self._solved(weight.detach(), moments, masks[name], parsed)
                if self.sequential:
                    weight.copy_(weights[name])
        return Masks.owning({name: kept[name] for name in masks}), weights

    def _static(self, rows: Tensor, moments: Tensor) -> Tensor:
        variances = torch.cholesky_inverse(factor(damped(moments, self.damping))).diagonal()
        return (rows.square() / variances).masked_fill_(moments.diagonal() == 0, 0.0)

    def _solved(
        self, weight: Tensor, moments: Tensor, mask: Tensor, pattern: Pattern | KeepOf
    ) -> tuple[Tensor, Tensor]:
        """Mask and weight of one layer."""
        groups, inputs = moments.shape[:2]
        order = _order(weight, inputs, pattern)
        rows = weight.to(moments.dtype).reshape(groups, -1, inputs)
        going = ~mask.to(weight.device).reshape(rows.shape)
        kept, new = torch.empty_like(going), torch.empty_like(rows)
        for group in range(groups):
            before, choice = rows[group][:, order].mT, going[group][:, order].mT
            gone, after = self._solved_group(before, choice, moments[group][order][:, order], pattern)
            kept[group][:, order], new[group][:, order] = ~gone.mT, after.mT
        return kept.reshape(weight.shape), new.reshape(weight.shape).to(weight.dtype)

    def _solved_group(
        self, weights: Tensor, going: Tensor, moments: Tensor, pattern: Pattern | KeepOf
    ) -> tuple[Tensor, Tensor]:
        """(inputs, outputs) which weights go, and what the others become."""
        weights = weights.clone(memory_format=torch.contiguous_format)
        weights[moments.diagonal() == 0] = 0.0
        choice = _choice(going.contiguous(), weights, pattern)
        block = self.block_size + -self.block_size % (choice.together or 1)
        with unwatched():
            gone, after = compensate(weights, damped(moments, self.damping), choice, block)
        if isinstance(choice, Fixed):
            after = _better(weights, weights.masked_fill(gone, 0.0), after, moments)
        return gone, after


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """An error inside says which parameter it is about."""
    try:
        yield
    except ScoreError as error:
        raise ScoreError(f"{name!r}: {error}") from error


def _choice(going: Tensor, weights: Tensor, pattern: Pattern | KeepOf) -> Choice:
    if isinstance(pattern, KeepOf):
        return Neighbours(pattern, going & (weights == 0))
    return Share(int(going.sum()), going & (weights == 0)) if isinstance(pattern, Weight) else Fixed(going)


def _better(before: Tensor, removed: Tensor, compensated: Tensor, moments: Tensor) -> Tensor:
    """The compensated weights of those outputs whose squared error is lower for it: of a mask that the algorithm has
    not chosen itself, what is made up for early can stand in the way of what comes later.

    Args:
        before, removed, compensated: (inputs, outputs).
        moments: H, (inputs, inputs).
    """
    first, second = (((before - after) * (moments @ (before - after))).sum(0) for after in (compensated, removed))
    return torch.where(first <= second, compensated, removed)


def _order(weight: Tensor, inputs: int, pattern: Pattern | KeepOf) -> Tensor | slice:
    """The order in which inputs are visited: neighbours of an N:M pattern come together."""
    if weight.dim() == 2 or not isinstance(pattern, KeepOf):
        return slice(None)
    return torch.arange(inputs, device=weight.device).reshape(weight.shape[1], -1).mT.reshape(-1)


def _called(subject: Subject, layers: Layers) -> list[str]:
    """The parameters in scope in the order in which the model first calls their layers."""
    order: dict[str, None] = {}
    see_inputs(subject, layers, lambda name, layer, inputs: order.setdefault(name))
    return list(order)
