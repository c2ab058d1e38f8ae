"""How to find the unnecessary weights: a criterion, what it ranks together, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from torch import nn

from prunus.allocation.aggregates import require_aggregate
from prunus.allocation.allocate import Allocation, allocate
from prunus.allocation.budgets.request import Budget, Request
from prunus.allocation.budgets.resolve import resolve_budget, shared_out
from prunus.allocation.controls import inverted, require_control, shuffled
from prunus.allocation.scopes import require_scope
from prunus.criteria.scoring import Criterion, resolve_criterion, score
from prunus.criteria.subject import Subject
from prunus.criteria.undisturbed import undisturbed
from prunus.errors import ArgumentError
from prunus.masks.masks import Masks
from prunus.masks.pattern_names import read_pattern
from prunus.masks.scope import Scope
from prunus.schedules.base import require_sparsity


class TechniqueOptions(TypedDict, total=False):
    """The settings of a ``Technique`` beyond its criterion; see there."""

    scope: str
    pattern: str
    aggregate: str
    budget: str | Budget | None
    settings: Mapping[str, Any]
    budget_settings: Mapping[str, Any]
    rounds: int | None
    control: str | None
    include: Sequence[str]
    exclude: Sequence[str]
    types: Sequence[str]
    protect: bool


@dataclass(frozen=True)
class Technique:
    """One way to choose what goes.

    Attributes:
        criterion: a name of the table, ``"package.module:name"``, or a function of a Subject.
        scope: ``"global"``, where all tensors compete, ``"layer"``, the same sparsity in each, or ``"row"``, the same
            for each output of each.
        pattern: ``"weight"``, ``"channel"``, ``"block:4x1"``, ``"2:4"`` …: see ``prunus.masks.pattern_names.PATTERNS``.
        aggregate: how the scores of a group become one: ``"mean"``, ``"sum"``, ``"max"``, ``"l2"`` or ``"first"``.
        budget: how sparse each tensor is to be, a name of ``BUDGETS``, ``"package.module:name"`` or a function of a
            Request; it takes the place of the scope.
        settings: of the criterion, where it has any.
        budget_settings: of the budget, where it has any.
        rounds: steps in which the sparsity is reached, scoring anew at each, the density falling by the same factor;
            None asks the criterion, and is 1 where it says nothing.
        control: a check of what the technique owes to its choice: ``"shuffle"`` removes as many weights of each
            tensor at random, ``"invert"`` those with the highest scores first, in one round whatever ``rounds`` is:
            without its best weights a network may have nothing left to score;
            neither makes up for what goes.
        include, exclude, types: which parameters are in scope; see ``Scope``.
        protect: keep at least the best weight or group of every tensor.

    Raises:
        ArgumentError: the criterion, scope or pattern is unknown, or a list of names is one text.
    """

    criterion: str | Criterion = "magnitude"
    scope: str = "global"
    pattern: str = "weight"
    aggregate: str = "mean"
    budget: str | Budget | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    budget_settings: Mapping[str, Any] = field(default_factory=dict)
    rounds: int | None = None
    control: str | None = None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    types: Sequence[str] = ()
    protect: bool = True

    def __post_init__(self) -> None:
        resolve_criterion(self.criterion, self.settings)
        read_pattern(self.pattern)
        require_scope(self.scope)
        require_aggregate(self.aggregate)
        require_control(self.control)
        self._require_budget()
        if self.rounds is not None and self.rounds < 1:
            raise ArgumentError(f"rounds must be at least 1, got {self.rounds}")
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

    def resolve(self) -> Criterion:
        """The criterion, ready to be called; one that observes training has seen nothing of it yet."""
        return resolve_criterion(self.criterion, self.settings)

    def allocate(
        self, subject: Subject, sparsity: float, current: Masks | None = None, criterion: Criterion | None = None
    ) -> Allocation:
        """Score the subject and decide what stays; the model is left as it is.

        Args:
            subject: the model with its parameters in scope.
            sparsity: fraction to remove, in [0, 1), counting what ``current`` has removed already.
            current: masks of an earlier step over the same parameters; what they remove stays removed.
            criterion: what ``resolve()`` returned, if it has observed training since.

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
        criterion = criterion or self.resolve()
        rounds = getattr(criterion, "rounds", 1) if self.rounds is None else self.rounds
        if self.control == "invert":
            rounds = 1
        found = self._in_rounds(subject, criterion, sparsity, current, rounds)
        if self.control == "shuffle":
            found = shuffled(found, self.pattern, subject, current)
        reconstruct = getattr(criterion, "reconstruct", None)
        if reconstruct is None or self.control:  # it might choose other weights again
            return found
        with undisturbed(subject.model):
            if current is not None:
                current.apply(subject.model)  # what is chosen anew takes weights at 0.0 for removed, and no others
            masks, weights = reconstruct(subject, found.masks, self.pattern)
        return replace(found, masks=masks, weights=weights)

    def _in_rounds(
        self, subject: Subject, criterion: Criterion, sparsity: float, current: Masks | None, rounds: int
    ) -> Allocation:
        """Go to the sparsity in steps that each keep the same fraction, with what is removed at 0.0 for the next."""
        start = 0.0 if current is None else current.sparsity
        if rounds == 1 or start >= sparsity or read_pattern(self.pattern).fixed_sparsity is not None:
            return self._step(subject, criterion, sparsity, current)
        with undisturbed(subject.model):
            for number in range(1, rounds):
                factor = ((1 - sparsity) / (1 - start)) ** (number / rounds)
                step = self._step(subject, criterion, 1 - (1 - start) * factor, current)
                current = step.masks
                current.apply(subject.model)
            return self._step(subject, criterion, sparsity, current)

    def _step(self, subject: Subject, criterion: Criterion, sparsity: float, current: Masks | None) -> Allocation:
        scores = score(subject, criterion, self._label)
        aggregate = self.aggregate
        if self.control == "invert":
            scores, aggregate = inverted(scores, self.pattern, aggregate, subject, current)
        budget = None
        if self.budget is not None:
            request = Request(subject, scores, sparsity, current, self.protect, self.pattern, aggregate)
            with undisturbed(subject.model):
                budget = shared_out(request, self.budget, self.budget_settings)
        return allocate(
            scores,
            sparsity,
            scope=self.scope,
            pattern=self.pattern,
            aggregate=aggregate,
            budget=budget,
            current=current,
            protect=self.protect,
            model=subject.model,
        )

    def _require_budget(self) -> None:
        if self.budget is None:
            if self.budget_settings:
                raise ArgumentError(f"budget_settings need a budget, got {', '.join(self.budget_settings)}")
            return
        resolve_budget(self.budget, self.budget_settings)
        if read_pattern(self.pattern).fixed_sparsity is not None:
            raise ArgumentError(f"the pattern {self.pattern} fixes every layer's sparsity: leave the budget out")

    @property
    def _label(self) -> str | None:
        return self.criterion if isinstance(self.criterion, str) else None
