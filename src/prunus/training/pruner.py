"""Pruning while any loop trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack, final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prunus.allocation.allocate import Allocation
from prunus.allocation.technique import Technique
from prunus.criteria.scoring import Criterion
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError, MaskError
from prunus.masks.holding import Holding
from prunus.masks.masks import Masks
from prunus.schedules.base import Schedule


class TechniqueOptions(TypedDict, total=False):
    """The settings of a ``Technique`` beyond its criterion; see there."""

    scope: str
    pattern: str
    include: Sequence[str]
    exclude: Sequence[str]
    types: Sequence[str]
    protect: bool


@final
class Pruner:
    """Prunes a model by a schedule while your own loop trains it, and holds what is pruned at 0.0.

    Call ``step()`` after every ``optimizer.step()``. When training is over, ``close()`` (or leave the ``with``
    block): the weights stay as they are, and nothing holds them any longer.

    Args:
        model: any module.
        optimizer: the one that trains it.
        schedule: step → sparsity; a schedule that is due at step 0 prunes at once.
        criterion: a name, ``"package.module:name"``, or a function of a Subject.
        batches: (inputs, targets) pairs, for criteria that need data.
        loss: (outputs, targets) → mean loss, for criteria that need it.
        seed: of the criterion's random generator.
        technique: scope, pattern, include, exclude, types, protect; see ``Technique``.

    Raises:
        ScopeError: nothing is in scope.
        MaskError: the optimizer updates none of the parameters in scope.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        criterion: str | Criterion = "magnitude",
        *,
        batches: Iterable[tuple[Tensor, Tensor]] | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
        seed: int = 0,
        **technique: Unpack[TechniqueOptions],
    ) -> None:
        chosen = Technique(criterion, **technique)
        generator = torch.Generator().manual_seed(seed)
        self._begin(Subject(model, chosen.parameters(model), batches, loss, generator), optimizer, schedule, chosen)

    @classmethod
    def of(cls, subject: Subject, optimizer: torch.optim.Optimizer, schedule: Schedule, technique: Technique) -> Pruner:
        """A pruner of a subject and a technique at hand; see the class."""
        pruner = cls.__new__(cls)
        pruner._begin(subject, optimizer, schedule, technique)
        return pruner

    def _begin(
        self, subject: Subject, optimizer: torch.optim.Optimizer, schedule: Schedule, technique: Technique
    ) -> None:
        self.schedule, self.technique = schedule, technique
        self._subject = subject
        self._holding = Holding(Masks.dense(subject.parameters), subject.model, optimizer)
        self._steps = 0
        self._last: Allocation | None = None
        self._holding.__enter__()
        try:
            self._prune_when_due()
        except BaseException:
            self.close()
            raise

    @property
    def last(self) -> Allocation | None:
        """What the last pruning did; None before the first."""
        return self._last

    @property
    def masks(self) -> Masks:
        """What stays now."""
        return self._holding.masks

    @property
    def steps(self) -> int:
        """Training steps done."""
        return self._steps

    def step(self) -> Allocation | None:
        """Count one training step and, when the schedule is due, prune.

        Returns:
            the new masks and what was done to get them; None where nothing was due.

        Raises:
            ScoreError: the scores cannot be ranked; the masks are as before.
            TargetError: the scheduled sparsity cannot be met.
        """
        self._steps += 1
        return self._prune_when_due()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on in the middle of the schedule."""
        return {"steps": self._steps, "masks": dict(self.masks), "generator": self._subject.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        The model's weights and the optimizer's state are loaded by you, after the pruner is made: a schedule that is
        due at step 0 has pruned by then.

        Raises:
            ArgumentError: not a pruner's state.
            MaskError: its masks do not fit the model.
        """
        if state.keys() != {"steps", "masks", "generator"}:
            raise ArgumentError(f"not a pruner's state: it has the keys {sorted(state)}")
        masks = Masks(state["masks"])
        if masks.keys() != self.masks.keys():
            raise MaskError(f"the state's masks cover {sorted(masks)}, this pruner prunes {sorted(self.masks)}")
        self._holding.replace(masks)
        self._steps = int(state["steps"])
        self._subject.generator.set_state(state["generator"])

    def close(self) -> None:
        """Hold nothing any longer."""
        self._holding.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prune_when_due(self) -> Allocation | None:
        if not self.schedule.due(self._steps):
            return None
        sparsity = self.schedule.sparsity(self._steps)
        allocation = self.technique.allocate(self._subject, sparsity, self.masks)
        self._holding.replace(allocation.masks)
        self._last = allocation
        return allocation
