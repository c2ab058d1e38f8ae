"""Scores and a target to masks, under a pattern and a scope, with the layers protected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from prunus.allocation.aggregates import aggregated, require_aggregate
from prunus.allocation.rows import keep_in_rows
from prunus.allocation.scopes import require_scope
from prunus.allocation.select import keep_highest
from prunus.allocation.sources import Scored
from prunus.criteria.elementwise import Computed
from prunus.errors import ArgumentError, TargetError
from prunus.masks.layouts import Layout, Singles
from prunus.masks.masks import Masks
from prunus.masks.owners import owners_of
from prunus.masks.patterns import KeepOf, Weight, parse_pattern
from prunus.schedules.base import require_sparsity


@dataclass(frozen=True)
class Allocation:
    """Masks, and what had to be done to get them.

    Attributes:
        masks: what stays.
        requested_sparsity: what was asked for.
        protected: names of the tensors that the ranking alone would have emptied.
        weights: parameter name → what the kept weights become, where the criterion makes up for what is removed.
    """

    masks: Masks
    requested_sparsity: float
    protected: tuple[str, ...]
    weights: Mapping[str, Tensor] | None = None

    @torch.no_grad()
    def apply(self, model: nn.Module) -> None:
        """Set the removed weights to 0.0, in place, and the others to what they become.

        Raises:
            MaskError: the masks do not fit the model.
        """
        parameters = self.masks.parameters_of(model)
        for name, weight in (self.weights or {}).items():
            parameters[name].copy_(weight)
        self.masks.apply(model)


def allocate(
    scores: Mapping[str, Tensor],
    sparsity: float,
    *,
    scope: str = "global",
    pattern: str = "weight",
    aggregate: str = "mean",
    budget: Mapping[str, float] | None = None,
    current: Masks | None = None,
    protect: bool = True,
    model: nn.Module | None = None,
) -> Allocation:
    """Turn scores into masks of the asked sparsity.

    Single weights are counted exactly: over all tensors together in the global scope, in each tensor in the layer or
    row scope or under a budget; in the row scope the rows of a tensor differ by one weight at most. Groups (rows,
    blocks, channels …) are ranked by their aggregate score and counted exactly where all that compete have one size;
    where they differ in size, or in what ``current`` has left of them, the number of removed weights is the nearest
    that whole groups in their order can give.

    Args:
        scores: name → float tensor; higher stays.
        sparsity: fraction to remove, in [0, 1), counting what ``current`` has removed already.
        scope: ``"global"``, ``"layer"`` or, for single weights, ``"row"``; see ``SCOPES``.
        pattern: one of ``prunus.masks.pattern_names.PATTERNS``.
        aggregate: how a group's scores become one, see ``AGGREGATES``.
        budget: name → fraction to remove of that tensor, instead of the scope's; rows share it out equally.
        current: masks of an earlier step; what they remove stays removed.
        protect: keep at least the best weight or group of every tensor, unless the pattern removes whole layers.
        model: whose weights are scored; patterns that ask what a weight does (channel, head, module) need it,
            and N:M asks where there are transposed convolutions.

    Raises:
        ArgumentError: the sparsity is out of bounds, the scope, pattern or aggregate is unknown, or the row scope is
            asked for groups.
        TargetError: the target cannot be met: fewer weights would stay than there are tensors to protect, more are
            removed already, or an N:M pattern cannot have this sparsity.
    """
    sparsity = require_sparsity(sparsity)
    require_scope(scope)
    require_aggregate(aggregate)
    parsed = parse_pattern(pattern)
    computed = {name: Computed.of(scores, name) for name in scores}
    if isinstance(parsed, KeepOf):
        return _keep_of(parsed, computed, sparsity, current, model)
    if scope == "row" and not isinstance(parsed, Weight):
        raise ArgumentError(f"the scope 'row' compares single weights, got the pattern {pattern!r}: use 'layer'")
    layouts = parsed.layouts({name: each.shape for name, each in computed.items()}, model)
    ranked = [
        _Ranked(layout, _scored(layout, computed, aggregate, current), _left(layout, current)) for layout in layouts
    ]
    protect = protect and not parsed.empties_layers
    kept: dict[str, Tensor] = {}
    protected: list[str] = []
    for part, target in _competitions(ranked, sparsity, scope, budget):
        choose = _kept_in_rows if scope == "row" else _kept
        verdicts, emptied = choose(part, target, protect)
        protected += emptied
        for each in part:
            kept |= each.layout.spread(verdicts[each.key])
    masks = Masks.owning({name: kept[name].contiguous() for name in computed})
    if current is not None and not all(isinstance(layout, Singles) for layout in layouts):
        masks = masks & current
    return Allocation(masks, sparsity, tuple(protected))


class _Ranked(NamedTuple):
    """A layout with the scores of its groups, and how many weights earlier masks have left of each."""

    layout: Layout
    scored: Scored
    left: Tensor

    @property
    def key(self) -> str:
        return self.layout.names[0]


def _scored(layout: Layout, computed: Mapping[str, Computed], aggregate: str, current: Masks | None) -> Scored:
    if isinstance(layout, Singles):
        return Scored(computed[layout.name], None if current is None else current[layout.name].reshape(-1))
    groups = group_scores(layout, computed, aggregate, current)
    return Scored(Computed(torch.clone, (groups,)), groups > -math.inf)


def _left(layout: Layout, current: Masks | None) -> Tensor:
    """int64 (groups,), and of single weights, of which each is there or gone, their sizes."""
    if current is None or isinstance(layout, Singles):
        return layout.sizes
    return layout.matrix(lambda name: current[name].cpu().double(), 0.0).sum(1).long()


def group_scores(layout: Layout, computed: Mapping[str, Computed], aggregate: str, current: Masks | None) -> Tensor:
    """(groups,) float64, the aggregate of what is left of each group; −infinity where nothing is.

    Raises:
        ScoreError: see ``aggregated``.
    """

    def living(name: str) -> Tensor:
        whole = computed[name].part(slice(None)).reshape(computed[name].shape)
        return whole if current is None else whole.masked_fill(~current[name].to(whole.device), -math.inf)

    return aggregated(aggregate, layout.matrix(living, -math.inf))


def _competitions(
    ranked: Sequence[_Ranked], sparsity: float, scope: str, budget: Mapping[str, float] | None
) -> Iterable[tuple[Sequence[_Ranked], float]]:
    """Which layouts compete for which sparsity."""
    if budget is not None:
        return [([each], _shared(each.layout, budget)) for each in ranked]
    return [(ranked, sparsity)] if scope == "global" else [([each], sparsity) for each in ranked]


def _shared(layout: Layout, budget: Mapping[str, float]) -> float:
    """The fraction of a layout's weights that the budget of its parameters removes."""
    if len(layout.names) == 1:
        return budget[layout.names[0]]
    whole = layout.spread(torch.ones(len(layout.sizes), dtype=torch.bool))
    return sum(budget[name] * kept.numel() for name, kept in whole.items()) / layout.weights


def _kept(part: Sequence[_Ranked], sparsity: float, protect: bool) -> tuple[dict[str, Tensor], list[str]]:
    """Layout → which of its groups stay, flat, and the layouts that only protection keeps from being emptied."""
    sources = {each.key: each.scored for each in part}
    found = keep_highest(sources, _number_kept(part, sparsity))
    if not protect:
        return found, []
    living = [key for key, source in sources.items() if source.alive]
    emptied = [key for key in living if not bool(found[key].any())]
    if emptied:
        raised = [each._replace(scored=each.scored.first_best_raised()) for each in part]
        kept = _number_kept(raised, sparsity)
        if kept < len(living) and len(part) > 1:
            raise TargetError(
                f"sparsity {sparsity} leaves {kept} for {len(living)} tensors, of which each keeps at least one: "
                "ask for less, exclude some, or turn the protection off"
            )
        found = keep_highest({each.key: each.scored for each in raised}, max(kept, len(living)))
    return found, emptied


def _kept_in_rows(part: Sequence[_Ranked], sparsity: float, protect: bool) -> tuple[dict[str, Tensor], list[str]]:
    """As ``_kept``, of one layout of single weights whose rows share its budget equally."""
    (ranked,) = part
    layout, scored = ranked.layout, ranked.scored
    assert isinstance(layout, Singles)
    asked = _number_kept(part, sparsity)
    count = max(asked, min(1, scored.alive)) if protect else asked
    scores = torch.cat(list(scored.pieces()))
    kept = keep_in_rows(scores.reshape(math.prod(layout.shape[:1]), -1), count).reshape(-1)
    if scored.living is not None and bool((kept & ~scored.living.to(kept.device)).any()):
        raise TargetError(
            f"sparsity {sparsity} would keep more of some row of {ranked.key!r} than earlier masks have left: they "
            "were chosen in another scope"
        )
    return {ranked.key: kept}, [ranked.key] if count > asked else []


def _number_kept(part: Sequence[_Ranked], sparsity: float) -> int:
    """How many groups stay of the layouts that share one budget."""
    total, left = sum(each.layout.weights for each in part), sum(map(_weights_left, part))
    if _even(part):
        count = sum(each.scored.count for each in part)
        kept = count - round(sparsity * count)
        goes_back = sum(each.scored.alive for each in part) < kept and left < round((1 - sparsity) * total)
    else:
        kept = _nearest(part, sparsity)
        # Whole groups may have removed more than was asked for, by half of the last of them at most.
        largest = max(int((each.layout.sizes * (each.left == 0)).max()) for each in part)
        goes_back = total - left - round(sparsity * total) > largest / 2
    if goes_back:
        raise TargetError(f"cannot go back to sparsity {sparsity}: {total - left} of {total} are removed already")
    return kept


def _weights_left(ranked: _Ranked) -> int:
    """Number of weights that may stay."""
    layout, scored, left = ranked
    if isinstance(layout, Singles):
        return scored.alive
    return int(left.sum())


def _even(part: Sequence[_Ranked]) -> bool:
    """Whether all groups have one size, and each is whole or gone."""
    sizes = {size for each in part for size in _distinct(each.layout)}
    return len(sizes) < 2 and all(
        isinstance(each.layout, Singles) or bool(((each.left == each.layout.sizes) | (each.left == 0)).all())
        for each in part
    )


def _distinct(layout: Layout) -> list[int]:
    return [1] if isinstance(layout, Singles) else layout.sizes.unique().tolist()


def _nearest(part: Sequence[_Ranked], sparsity: float) -> int:
    """How many groups stay so that the weights of the others, worst first, come nearest to the target."""
    scores = torch.cat([piece.cpu() for each in part for piece in each.scored.pieces()])
    sizes, left = (torch.cat(parts) for parts in ([each.layout.sizes for each in part], [each.left for each in part]))
    order = scores.argsort(descending=True, stable=True).flip(0)
    order = order[left[order] > 0]
    gone, target = int((sizes - left).sum()), round(sparsity * int(sizes.sum()))
    removed = gone + left[order].cumsum(0)
    below = int((removed <= target).sum())
    before = int(removed[below - 1]) if below else gone
    if below < len(removed) and int(removed[below]) - target < target - before:
        below += 1
    return len(removed) - below


def _keep_of(
    pattern: KeepOf, computed: Mapping[str, Computed], sparsity: float, current: Masks | None, model: nn.Module | None
) -> Allocation:
    if abs(sparsity - pattern.sparsity) > 1e-6:
        raise TargetError(
            f"the pattern {pattern.name} fixes the sparsity at {pattern.sparsity:g}, got {sparsity:g}: ask for that"
        )
    owners = {} if model is None else owners_of(model)
    found = {}
    for name, each in computed.items():
        scores = each.part(slice(None)).reshape(each.shape)
        if current is not None:
            scores = scores.masked_fill(~current[name].to(scores.device), -math.inf)
        found[name] = pattern.select(name, scores, owners.get(name))
    masks = Masks.owning(found)
    if current is not None and masks & current != masks:
        raise TargetError(
            f"the current masks leave fewer than {pattern.keep} of some {pattern.of} weights: the pattern "
            f"{pattern.name} cannot be had from them"
        )
    return Allocation(masks, sparsity, ())
