"""How to find the unnecessary weights: a criterion, what it ranks together, and where."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from prunus.allocation.allocate import Allocation, allocate
from prunus.criteria.scoring import Criterion, score
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError
from prunus.masks.masks import Masks
from prunus.masks.scope import Scope


@dataclass(frozen=True)
class Technique:
    """One way to choose what goes.

    Attributes:
        criterion: a name of the table, ``"package.module:name"``, or a function of a Subject.
        scope: ``"global"``, where all tensors compete, or ``"layer"``, the same sparsity in each.
        pattern: ``"weight"``, ``"row"``, ``"block:4x1"``, ``"2:4"``.
        include, exclude, types: which parameters are in scope; see ``Scope``.
        protect: keep at least the best weight or group of every tensor.
    """

    criterion: str | Criterion = "magnitude"
    scope: str = "global"
    pattern: str = "weight"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    protect: bool = True

    def parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Name → parameter in scope.

        Raises:
            ScopeError: nothing is in scope.
        """
        return Scope(self.include, self.exclude, self.types).parameters(model)

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
        if current is not None and current.keys() != subject.parameters.keys():
            raise ArgumentError(
                f"the current masks must cover the scope, {sorted(subject.parameters)}; they cover {sorted(current)}"
            )
        return allocate(
            score(subject, self.criterion),
            sparsity,
            scope=self.scope,
            pattern=self.pattern,
            current=current,
            protect=self.protect,
        )
