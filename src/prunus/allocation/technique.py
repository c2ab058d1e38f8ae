"""How to find the unnecessary weights: a criterion, what it ranks together, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from prunus.allocation.allocate import Allocation, allocate
from prunus.allocation.scopes import require_scope
from prunus.criteria.scoring import Criterion, resolve_criterion, score
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError
from prunus.masks.masks import Masks
from prunus.masks.pattern_names import read_pattern
from prunus.masks.scope import Scope
from prunus.schedules.base import require_sparsity


@dataclass(frozen=True)
class Technique:
    """One way to choose what goes.

    Attributes:
        criterion: a name of the table, ``"package.module:name"``, or a function of a Subject.
        scope: ``"global"``, where all tensors compete, or ``"layer"``, the same sparsity in each.
        pattern: ``"weight"``, ``"row"``, ``"block:4x1"``, ``"2:4"``.
        include, exclude, types: which parameters are in scope; see ``Scope``.
        protect: keep at least the best weight or group of every tensor.

    Raises:
        ArgumentError: the criterion, scope or pattern is unknown, or a list of names is one text.
    """

    criterion: str | Criterion = "magnitude"
    scope: str = "global"
    pattern: str = "weight"
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    types: Sequence[str] = ()
    protect: bool = True

    def __post_init__(self) -> None:
        resolve_criterion(self.criterion)
        read_pattern(self.pattern)
        require_scope(self.scope)
        for argument in ("include", "exclude", "types"):
            names = getattr(self, argument)
            if isinstance(names, str):
                raise ArgumentError(f"{argument} is a list of names, got the text {names!r}: write [{names!r}]")
            object.__setattr__(self, argument, tuple(names))

    def parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Name → parameter in scope.

        Raises:
            ScopeError: nothing is in scope.
        """
        return Scope(tuple(self.include), tuple(self.exclude), tuple(self.types)).parameters(model)

    def allocate(self, subject: Subject, sparsity: float, current: Masks | None = None) -> Allocation:
        """Score the subject and decide what stays; the model is left as it is.

        Args:
            subject: the model with its parameters in scope.
            sparsity: fraction to remove, in [0, 1), counting what ``current`` has removed already.
            current: masks of an earlier step over the same parameters; what they remove stays removed.

        Raises:
            ArgumentError: ``current`` covers other parameters, or a setting is unknown or out of bounds.
            ScoreError: the scores cannot be ranked.
            TargetError: the sparsity cannot be met.
        """
        sparsity = require_sparsity(sparsity)  # before scoring, which can take long
        if current is not None and current.keys() != subject.parameters.keys():
            raise ArgumentError(
                f"the current masks must cover the scope, {sorted(subject.parameters)}; they cover {sorted(current)}"
            )
        for name, mask in (current or {}).items():
            if mask.shape != subject.parameters[name].shape:
                raise ArgumentError(
                    f"the current mask of {name!r} has shape {tuple(mask.shape)}, the parameter "
                    f"{tuple(subject.parameters[name].shape)}"
                )
        return allocate(
            score(subject, self.criterion),
            sparsity,
            scope=self.scope,
            pattern=self.pattern,
            current=current,
            protect=self.protect,
        )
