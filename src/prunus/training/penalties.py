"""Terms of the loss that drive weights to zero, so that little is lost when they are removed afterwards."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prunus.errors import ArgumentError, ScopeError
from prunus.masks.patterns import KeepOf, Pattern, parse_pattern
from prunus.masks.scope import Scope

Penalty = Callable[[nn.Module], Tensor]
"""Model → 0-d tensor, differentiable, to be added to the loss."""


@dataclass(frozen=True, eq=False)
class Penalized:
    """A loss with a penalty of the model.

    Attributes:
        loss: (outputs, targets) → mean loss.
        penalty: one of ``PENALTIES``, or any function of a model.
        model: whose penalty it is.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    penalty: Penalty
    model: nn.Module

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss plus the penalty, 0-d."""
        return self.loss(outputs, targets) + self.penalty(self.model)


@dataclass(frozen=True)
class L1:
    """Strength · Σ |w|: weights are drawn to zero one by one.

    Attributes:
        strength: factor, not negative.
        include, exclude, types: which parameters are in scope; see ``Scope``.

    Source: Tibshirani 1996, the lasso; for networks Han et al. 2015, section 3.1 (arXiv:1506.02626).
    """

    strength: float
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    types: Sequence[str] = ()

    def __post_init__(self) -> None:
        require_strength(self.strength)
        require_lists(include=self.include, exclude=self.exclude, types=self.types)

    def __call__(self, model: nn.Module) -> Tensor:
        """0-d, float32 at least.

        Raises:
            ScopeError: nothing is in scope.
        """
        parameters = Scope(tuple(self.include), tuple(self.exclude), tuple(self.types)).parameters(model).values()
        return self.strength * _sum([_norm(parameter.reshape(1, -1), 1) for parameter in parameters])


@dataclass(frozen=True)
class GroupLasso:
    """Strength · Σ √|g| · ‖w_g‖₂ over all groups g: groups are drawn to zero as wholes.

    Where all weights of a group are zero, the gradient is zero.

    Attributes:
        strength: factor, not negative.
        pattern: what the groups are, one of ``PATTERNS`` but not N:M.
        include, exclude, types: which parameters are in scope; see ``Scope``.

    Source: Yuan & Lin 2006, the group lasso with K_j = p_j I; for networks Wen et al. 2016 (arXiv:1608.03665).
    """

    strength: float
    pattern: str = "channel"
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    types: Sequence[str] = ()

    def __post_init__(self) -> None:
        require_strength(self.strength)
        require_lists(include=self.include, exclude=self.exclude, types=self.types)
        require_groups(self.pattern)

    def __call__(self, model: nn.Module) -> Tensor:
        """0-d, float32 at least.

        Raises:
            ScopeError: nothing is in scope.
            ArgumentError: a parameter in scope has no such groups.
        """
        parameters = Scope(tuple(self.include), tuple(self.exclude), tuple(self.types)).parameters(model)
        pattern = require_groups(self.pattern)
        terms = []
        for layout in pattern.layouts({name: parameter.shape for name, parameter in parameters.items()}, model):
            norms = _norm(layout.matrix(parameters.__getitem__, 0.0), 2)
            terms.append(layout.sizes.to(norms.device, norms.dtype).sqrt() @ norms)
        return self.strength * _sum(terms)


@dataclass(frozen=True)
class BatchNormSlimming:
    """Strength · Σ |γ| over the scales of all BatchNorm layers: channels are drawn to zero.

    Attributes:
        strength: factor, not negative; 1e-4 or 1e-5 in the paper.
        exclude: patterns of names of BatchNorm layers to leave out.

    Source: Liu et al. 2017, equation 1 (arXiv:1708.06519).
    """

    strength: float = 1e-4
    exclude: Sequence[str] = ()

    def __post_init__(self) -> None:
        require_strength(self.strength)
        require_lists(exclude=self.exclude)

    def __call__(self, model: nn.Module) -> Tensor:
        """0-d, float32 at least.

        Raises:
            ScopeError: there is no BatchNorm layer with a scale.
        """
        scales = [
            module.weight
            for name, module in model.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
            and module.affine
            and not any(fnmatch.fnmatchcase(name, pattern) for pattern in self.exclude)
        ]
        if not scales:
            raise ScopeError(f"{type(model).__name__} has no BatchNorm layer with a scale to draw to zero")
        return self.strength * _sum([_norm(scale.reshape(1, -1), 1) for scale in scales])


def require_strength(strength: float) -> None:
    """Refuse a factor that is negative or no number.

    Raises:
        ArgumentError: it is.
    """
    if not 0 <= strength < math.inf:
        raise ArgumentError(f"strength must be a number that is not negative, got {strength}")


def require_lists(**lists: Sequence[str]) -> None:
    """Refuse a text where a list of names is wanted.

    Raises:
        ArgumentError: one is a text.
    """
    for argument, names in lists.items():
        if isinstance(names, str):
            raise ArgumentError(f"{argument} is a list of names, got the text {names!r}: write [{names!r}]")


def require_groups(pattern: str) -> Pattern:
    """The pattern that is written so, if it is one of groups.

    Raises:
        ArgumentError: it is none, or N:M, which leaves some of every M weights and so divides them into no groups.
    """
    parsed = parse_pattern(pattern)
    if isinstance(parsed, KeepOf):
        raise ArgumentError(f"the pattern {pattern} is no division into groups that stand or fall together")
    return parsed


def _norm(rows: Tensor, order: int) -> Tensor:
    """Norm of each row; half precision is summed in single."""
    return torch.linalg.vector_norm(rows, order, dim=1, dtype=torch.promote_types(rows.dtype, torch.float32))


def _sum(terms: list[Tensor]) -> Tensor:
    return torch.stack([term.sum() for term in terms]).sum()
