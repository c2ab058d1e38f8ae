"""Scores and a target to masks, under a pattern and a scope, with the layers protected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from prunus.allocation.keep import keep_count
from prunus.allocation.scopes import require_scope
from prunus.errors import TargetError
from prunus.masks.masks import Masks
from prunus.masks.patterns import KeepOf, Pattern, Weight, parse_pattern
from prunus.schedules.base import require_sparsity


@dataclass(frozen=True)
class Allocation:
    """Masks, and what had to be done to get them.

    Attributes:
        masks: what stays.
        requested_sparsity: what was asked for.
        protected: names of the tensors that the ranking alone would have emptied.
    """

    masks: Masks
    requested_sparsity: float
    protected: tuple[str, ...]


def allocate(
    scores: Mapping[str, Tensor],
    sparsity: float,
    *,
    scope: str = "global",
    pattern: str = "weight",
    current: Masks | None = None,
    protect: bool = True,
) -> Allocation:
    """Turn scores into masks of the asked sparsity.

    Single weights are counted exactly: over all tensors together in the global scope, in each tensor in the layer
    scope. Groups (rows, blocks) are ranked by their mean score and counted exactly per tensor in the layer scope;
    in the global scope, where groups differ in size, the number of removed weights is the nearest that whole
    groups in their order can give.

    Args:
        scores: name → float tensor; higher stays.
        sparsity: fraction to remove, in [0, 1), counting what ``current`` has removed already.
        scope: ``"global"`` or ``"layer"``.
        pattern: ``"weight"``, ``"row"``, ``"block:4x1"``, ``"2:4"``.
        current: masks of an earlier step; what they remove stays removed.
        protect: keep at least the best weight or group of every tensor.

    Raises:
        ArgumentError: the sparsity is out of bounds, or the scope or pattern is unknown.
        TargetError: the target cannot be met: fewer weights would stay than there are tensors to protect, more are
            removed already, or an N:M pattern cannot have this sparsity.
    """
    sparsity = require_sparsity(sparsity)
    require_scope(scope)
    parsed = parse_pattern(pattern)
    if current is not None:
        scores = {name: score.masked_fill(~current[name], -torch.inf) for name, score in scores.items()}
    if isinstance(parsed, KeepOf):
        return _keep_of(parsed, scores, sparsity, current)
    grouped = {name: _means(parsed, score) for name, score in scores.items()}
    sizes = {name: parsed.sizes(score.shape) for name, score in scores.items()}
    parts = [[name] for name in scores] if scope == "layer" else [list(scores)]
    verdicts: dict[str, Tensor] = {}
    protected: list[str] = []
    for part in parts:
        groups = {name: grouped[name] for name in part}
        kept = _number_kept(groups, sizes, sparsity)
        found = keep_count(groups, kept)
        living = [name for name in part if bool((groups[name] > -torch.inf).any())]
        emptied = [name for name in living if not bool(found[name].any())] if protect else []
        if emptied:
            raised = {name: _first_best(group) for name, group in groups.items()}
            found = keep_count(raised, _number_protected(raised, sizes, sparsity, len(living)))
        protected += emptied
        verdicts |= found
    masks = Masks({name: parsed.spread(verdicts[name], score.shape) for name, score in scores.items()})
    if current is not None and not isinstance(parsed, Weight):
        masks = masks & current
    return Allocation(masks, sparsity, tuple(protected))


def _number_kept(groups: Mapping[str, Tensor], sizes: Mapping[str, Tensor | None], sparsity: float) -> int:
    """How many groups stay of the tensors that share one budget."""
    count = sum(group.numel() for group in groups.values())
    several = {name: size for name, size in sizes.items() if name in groups and size is not None}
    if len(groups) > 1 and several and len({int(size) for each in several.values() for size in each.unique()}) > 1:
        kept = _nearest(groups, several, sparsity)
    else:
        kept = count - round(sparsity * count)
    gone = sum(int((group == -torch.inf).sum()) for group in groups.values())
    if count - gone < kept:
        raise TargetError(f"cannot go back to sparsity {sparsity}: {gone} of {count} are removed already")
    return kept


def _number_protected(
    raised: Mapping[str, Tensor], sizes: Mapping[str, Tensor | None], sparsity: float, least: int
) -> int:
    """How many groups stay once the best of each tensor does; a tensor with a budget of its own keeps one."""
    kept = _number_kept(raised, sizes, sparsity)
    if kept < least and len(raised) > 1:
        raise TargetError(
            f"sparsity {sparsity} leaves {kept} for {least} tensors, of which each keeps at least one: "
            "ask for less, exclude some, or turn the protection off"
        )
    return max(kept, least)


def _nearest(groups: Mapping[str, Tensor], sizes: Mapping[str, Tensor], sparsity: float) -> int:
    """How many groups stay so that the weights of the others, worst first, come nearest to the target."""
    order = torch.cat(list(groups.values())).argsort(dim=0, descending=True, stable=True).flip(0)
    removed = torch.cat([sizes[name] for name in groups])[order.cpu()].cumsum(0)
    target = round(sparsity * int(removed[-1]))
    below = int((removed <= target).sum())
    before = int(removed[below - 1]) if below else 0
    if below < len(removed) and int(removed[below]) - target < target - before:
        below += 1
    return len(removed) - below


def _means(pattern: Pattern, score: Tensor) -> Tensor:
    """Mean score of each group over the weights that are not removed yet; −infinity where none is left."""
    if isinstance(pattern, Weight):
        return pattern.totals(score)
    left = score > -torch.inf
    counts = pattern.totals(left.double())
    totals = pattern.totals(score.double().masked_fill(~left, 0))  # half precision would overflow
    return torch.where(counts > 0, totals / counts.clamp(min=1), -torch.inf)


def _first_best(group: Tensor) -> Tensor:
    """The same ranking with its first best raised above all others, so that it stays."""
    raised = group.clone()
    best = int(group.argmax())
    if raised[best] > -torch.inf:
        raised[best] = torch.inf
    return raised


def _keep_of(pattern: KeepOf, scores: Mapping[str, Tensor], sparsity: float, current: Masks | None) -> Allocation:
    if abs(sparsity - pattern.sparsity) > 1e-6:
        raise TargetError(
            f"the pattern {pattern.name} fixes the sparsity at {pattern.sparsity:g}, got {sparsity:g}: ask for that"
        )
    masks = Masks({name: pattern.select(name, score) for name, score in scores.items()})
    if current is not None and masks & current != masks:
        raise TargetError(
            f"the current masks leave fewer than {pattern.keep} of some {pattern.of} weights: the pattern "
            f"{pattern.name} cannot be had from them"
        )
    return Allocation(masks, sparsity, ())
