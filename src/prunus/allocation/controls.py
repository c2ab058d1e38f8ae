"""Controls: what a technique owes to its choice of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunus.lookup import require_name

if TYPE_CHECKING:
    from prunus.allocation.allocate import Allocation
    from prunus.criteria.subject import Scores, Subject
    from prunus.masks.masks import Masks

CONTROLS = {
    "shuffle": "As many weights of each tensor go, but at random: is it the weights or the layers' budgets that count?",
    "invert": "The weights with the highest scores go first: does the order count at all?",
}


def require_control(name: str | None) -> None:
    """Refuse a control that is not in the table.

    Raises:
        UnknownNameError: there is no such control.
    """
    if name is not None:
        require_name("control", name, CONTROLS)


def shuffled(allocation: Allocation, pattern: str, subject: Subject, current: Masks | None) -> Allocation:
    """Masks with the same number of weights of each tensor, drawn by the subject's generator.

    Source: Frankle et al. 2021, randomly shuffling (arXiv:2009.08576).
    """
    from prunus.allocation.allocate import allocate
    from prunus.criteria.random import random

    return allocate(
        random(subject),
        allocation.requested_sparsity,
        pattern=pattern,
        budget=allocation.masks.sparsities,
        current=current,
        protect=False,  # what the technique has emptied must be empty here too
        model=subject.model,
    )


def inverted(
    scores: Scores, pattern: str, aggregate: str, subject: Subject, current: Masks | None
) -> tuple[Scores, str]:
    """Scores and an aggregate by which weights or groups come in the opposite order.

    The highest of a group's negated scores, or their norm, is not the negative of what the group scored: where the
    aggregate is one of these, each weight gets the negative of its group's score.
    """
    import torch

    from prunus.allocation.allocate import group_scores
    from prunus.criteria.elementwise import Computed, negated
    from prunus.masks.patterns import KeepOf, Weight, parse_pattern

    parsed = parse_pattern(pattern)
    if aggregate not in ("max", "l2") or isinstance(parsed, KeepOf | Weight):
        return negated(scores), aggregate
    computed = {name: Computed.of(scores, name) for name in scores}
    found: dict[str, torch.Tensor] = {}
    for layout in parsed.layouts({name: each.shape for name, each in computed.items()}, subject.model):
        groups = group_scores(layout, computed, aggregate, current)
        found |= layout.spread(torch.where(groups.isfinite(), -groups, 0.0))  # a removed group has none
    return {name: found[name] for name in scores}, "first"
