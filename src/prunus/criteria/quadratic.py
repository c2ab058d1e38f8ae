"""Weights whose removal costs a quadratic error, ½ δᵀHδ for a change δ, and the others, which make up for it.

Several independent errors, one a row, are treated together: all rows may share one H, or each have its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from prunus.errors import ScoreError

_NARROW = 16  # removals after which the inverses are brought up to date
_ELEMENTS = 1 << 25  # of the inverses of rows that are treated together


@dataclass(frozen=True)
class Quota:
    """How many weights may go of each set before all sets have lost as many.

    Attributes:
        sets: (weights,) int64, to which set each belongs; sets of equal size, numbered from 0.
        most: how many may go of each.
    """

    sets: Tensor
    most: int


def inverted(hessian: Tensor, remedy: str) -> Tensor:
    """H⁻¹.

    Args:
        hessian: (..., weights, weights), symmetric.
        remedy: what to do where it has no inverse that makes sense.

    Raises:
        ScoreError: it is not positive definite, so that there is no least error.
    """
    factor, failed = torch.linalg.cholesky_ex(hessian)
    if bool(failed.any()) or not bool(factor.isfinite().all()):
        lowest = float(torch.linalg.eigvalsh(hessian).min())
        raise ScoreError(
            f"the second derivatives are not positive definite (lowest eigenvalue {lowest:.3g}), so that no error is "
            f"the least: {remedy}"
        )
    return torch.cholesky_inverse(factor)


def removal_errors(weights: Tensor, inverse: Tensor, first: Tensor | None = None, quota: Quota | None = None) -> Tensor:
    """What each weight adds to the error when all go one by one, each time the one that adds least.

    Removing weight q adds w_q² / (2 [H⁻¹]_qq), whereupon the others become w − w_q [H⁻¹]_q / [H⁻¹]_qq, and what is
    left of H⁻¹ is H⁻¹ − [H⁻¹]_q [H⁻¹]_qᵀ / [H⁻¹]_qq. Of equal ones the first goes.

    Args:
        weights: (rows, weights).
        inverse: H⁻¹, (weights, weights).
        first: (rows, weights) bool, what goes before all others.
        quota: which go only after others.

    Returns:
        (rows, weights) float64, higher the later a weight of a row goes: where one adds less than one before it, the
        next higher number, so that over several rows the lowest numbers are always the beginnings of their sequences.

    Source: Hassibi & Stork 1992, the saliency; Frantar & Alistarh 2022, section 4, lemma 1 (arXiv:2208.11580), of which
    the updates of H⁻¹ are applied several at a time.
    """
    size = max(1, _ELEMENTS // inverse.numel())
    parts = range(0, len(weights), size)
    return torch.cat(
        [
            _removal_errors(
                weights[start : start + size].double(),
                inverse.double(),
                None if first is None else first[start : start + size],
                quota,
            )
            for start in parts
        ]
    )


def refitted(weights: Tensor, kept: Tensor, inverse: Tensor) -> Tensor:
    """What the kept weights become when the others go and the error is the least: w − w_Q ([H⁻¹]_QQ)⁻¹ [H⁻¹]_Q.

    Removing the weights Q one by one, in any order, comes to the same.

    Args:
        weights: (rows, weights).
        kept: (rows, weights) bool.
        inverse: H⁻¹, (weights, weights), or one for each row.

    Returns:
        (rows, weights) in the dtype of ``inverse``, 0 where a weight goes.

    Source: Kurtic et al. 2022 (arXiv:2203.07259); for one weight Hassibi & Stork 1992.
    """
    width = weights.shape[1]
    size = max(1, _ELEMENTS // width**2)
    identity = torch.eye(width, dtype=inverse.dtype, device=inverse.device)
    found = []
    for start in range(0, len(weights), size):
        rows, gone = weights[start : start + size].to(inverse), ~kept[start : start + size].to(inverse.device)
        part = inverse[start : start + size] if inverse.dim() == 3 else inverse
        system = torch.where(gone.unsqueeze(1) & gone.unsqueeze(2), part, identity)
        pull = torch.cholesky_solve((rows * gone).unsqueeze(2), torch.linalg.cholesky(system))
        found.append((rows - (part @ pull).squeeze(2)).masked_fill_(gone, 0.0))
    return torch.cat(found)


def _removal_errors(weights: Tensor, inverse: Tensor, first: Tensor | None, quota: Quota | None) -> Tensor:
    rows, width = weights.shape
    every = torch.arange(rows, device=weights.device)
    left, inverses = weights.clone(), inverse.expand(rows, width, width).clone()
    variances = inverse.diagonal().expand(rows, width).clone()
    changes = weights.new_empty(rows, _NARROW, width)  # of H⁻¹, that are not applied yet: minus cᵀc
    gone = torch.zeros_like(weights, dtype=torch.bool)
    found, last = torch.empty_like(weights), weights.new_full((rows,), -math.inf)
    spent = _Spent(rows, quota, weights.device)
    for step in range(width):
        errors = left.square().div_(variances).div_(2)
        if first is not None:
            errors.masked_fill_(first, -1.0)
        errors = spent.forbid(errors, step).masked_fill_(gone, math.inf)
        chosen = errors.argmin(1)
        last = torch.maximum(errors[every, chosen], last.nextafter(last.new_tensor(math.inf)))
        found[every, chosen] = last
        spent.add(chosen)

        waiting = step % _NARROW
        column = inverses[every, chosen]
        if waiting:
            pending = changes[:, :waiting]
            column = column - (pending[every, :, chosen].unsqueeze(1) @ pending).squeeze(1)
        column /= variances[every, chosen].sqrt().unsqueeze(1)
        left -= column * (left[every, chosen] / column[every, chosen]).unsqueeze(1)
        variances.sub_(column.square()).clamp_(min=torch.finfo(variances.dtype).tiny)
        gone[every, chosen] = True
        changes[:, waiting] = column
        if waiting == _NARROW - 1:
            inverses.baddbmm_(changes.mT, changes, alpha=-1)
    return found


class _Spent:
    """How much of a quota is used up."""

    def __init__(self, rows: int, quota: Quota | None, device: torch.device) -> None:
        self._quota = quota
        if quota is not None:
            self._sets = quota.sets.to(device).expand(rows, -1)
            count = int(quota.sets.max()) + 1
            self._gone = torch.zeros(rows, count, dtype=torch.int64, device=device)
            self._bound = count * quota.most

    def forbid(self, errors: Tensor, step: int) -> Tensor:
        """Errors that are infinite where a set has lost all that it may before the others have."""
        if self._quota is None or step >= self._bound:
            return errors
        return errors.masked_fill_(self._gone.gather(1, self._sets) >= self._quota.most, math.inf)

    def add(self, chosen: Tensor) -> None:
        """One more weight of each row is gone."""
        if self._quota is not None:
            sets = self._sets.gather(1, chosen.unsqueeze(1))
            self._gone.scatter_add_(1, sets, torch.ones_like(sets))
