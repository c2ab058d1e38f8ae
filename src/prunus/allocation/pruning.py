"""Pruning a model in one step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prunus.allocation.technique import Technique
from prunus.criteria.scoring import Criterion
from prunus.criteria.subject import Subject
from prunus.masks.masks import Masks


def prune(
    model: nn.Module,
    sparsity: float,
    *,
    criterion: str | Criterion = "magnitude",
    scope: str = "global",
    pattern: str = "weight",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    types: Sequence[str] = (),
    batches: Iterable[tuple[Tensor, Tensor]] | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    current: Masks | None = None,
    protect: bool = True,
    seed: int = 0,
) -> Masks:
    """Remove the weights that a criterion finds unnecessary: they are set to 0.0 in place, the masks are returned.

    Args:
        model: any module; it keeps its class, its parameters and its state-dict keys.
        sparsity: fraction to remove of all weights in scope, in [0, 1), exactly.
        criterion: a name (``prunus criteria`` lists them), ``"package.module:name"``, or a function of a Subject.
        scope: ``"global"``, where all layers compete, or ``"layer"``, the same sparsity in each.
        pattern: ``"weight"``, ``"row"``, ``"block:4x1"``, ``"2:4"``.
        include, exclude, types: which parameters are in scope; see ``Scope``.
        batches: (inputs, targets) pairs, for criteria that need data.
        loss: (outputs, targets) → mean loss, for criteria that need it.
        current: masks of an earlier step; what they remove stays removed and counts.
        protect: keep at least the best weight or group of every tensor.
        seed: of the criterion's random generator.

    Raises:
        ArgumentError: an argument is unknown or out of bounds.
        ScopeError: nothing is in scope.
        ScoreError: the scores cannot be ranked.
        TargetError: the sparsity cannot be met.
    """
    technique = Technique(
        criterion=criterion,
        scope=scope,
        pattern=pattern,
        include=include,
        exclude=exclude,
        types=types,
        protect=protect,
    )
    subject = Subject(model, technique.parameters(model), batches, loss, torch.Generator().manual_seed(seed))
    allocation = technique.allocate(subject, sparsity, current)
    allocation.masks.apply(model)
    return allocation.masks
