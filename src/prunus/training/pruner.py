"""Pruning while any loop trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Unpack, final

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prunus.allocation.allocate import Allocation
from prunus.allocation.budgets.table import BUDGETS
from prunus.allocation.technique import Technique, TechniqueOptions
from prunus.criteria.scoring import Criterion
from prunus.criteria.subject import Subject
from prunus.criteria.table import CRITERIA
from prunus.errors import ArgumentError
from prunus.lookup import Table, own_code
from prunus.masks.holding import Holding, stepping_optimizer
from prunus.masks.masks import Masks
from prunus.schedules.base import Schedule, require_schedule
from prunus.training.before_update import before_update, gradient_scale, unscaled
from prunus.training.loop_pruner import LoopPruner
from prunus.training.replicas import agreed, replica_group


@final
class Pruner(LoopPruner[Allocation]):
    """Prunes a model by a schedule while your own loop trains it, and holds what is pruned at 0.0.

    Call ``step()`` after every ``optimizer.step()``. When training is over, ``close()`` (or leave the ``with``
    block): the weights stay as they are, and nothing holds them any longer.

    Where several processes train replicas of the model, as in DistributedDataParallel, the first decides for all: its
    batches are those that count.

    A criterion with a method ``observe(subject)`` is shown every step right before the optimizer makes it, when the
    gradients lie in ``parameter.grad``, those of removed weights cleared, the scale of mixed precision divided out. If
    it has ``state_dict()`` and ``load_state_dict(state)`` too, what it has gathered is part of the pruner's state.

    Args:
        model: any module.
        optimizer: the one that trains it.
        schedule: step → sparsity; a schedule that is due at step 0 prunes at once.
        criterion: a name, ``"package.module:name"``, or a function of a Subject.
        batches: (inputs, targets) pairs, for criteria that need data.
        loss: (outputs, targets) → mean loss, for criteria that need it.
        initial: name → the parameter's value at initialisation, for criteria that need it; copied.
        seed: of the criterion's random generator.
        state: of a checkpoint whose weights are loaded already; nothing is pruned until the schedule is due next.
        replicas: False where the other processes of ``torch.distributed`` train models of their own.
        technique: scope, pattern, aggregate, budget, settings, rounds, control, include, exclude, types, protect; see
            ``Technique``.

    Raises:
        ArgumentError: a setting is wrong, something that the criterion or the budget needs is missing, or the batches
            can be read only once.
        ScopeError: nothing is in scope.
        MaskError: the optimizer updates none of the parameters in scope, or the state's masks are of others.
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
        initial: Mapping[str, Tensor] | None = None,
        seed: int = 0,
        state: Mapping[str, Any] | None = None,
        replicas: bool = True,
        **technique: Unpack[TechniqueOptions],
    ) -> None:
        if isinstance(batches, Iterator):
            raise ArgumentError(
                "batches are read at every pruning, and an iterator gives them only once: pass a list or a DataLoader"
            )
        require_schedule(schedule)
        chosen = Technique(criterion, **technique)
        generator = torch.Generator().manual_seed(seed)
        first = None if initial is None else {name: value.detach().clone() for name, value in initial.items()}
        subject = Subject(model, chosen.parameters(model), batches, loss, generator, first)
        _require_given(chosen, subject)
        self._begin(subject, optimizer, schedule, chosen, state, replicas)

    @classmethod
    def of(cls, subject: Subject, optimizer: torch.optim.Optimizer, schedule: Schedule, technique: Technique) -> Pruner:
        """A pruner of a subject and a technique at hand; see the class."""
        pruner = cls.__new__(cls)
        pruner._begin(subject, optimizer, schedule, technique)
        return pruner

    def _begin(
        self,
        subject: Subject,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        technique: Technique,
        state: Mapping[str, Any] | None = None,
        replicas: bool = True,
    ) -> None:
        super().__init__(optimizer)
        self.schedule, self.technique = schedule, technique
        self._subject = subject
        self._criterion: Any = technique.resolve()
        self._holding = Holding(Masks.dense(subject.parameters), subject.model, optimizer)
        self._replicas = replica_group(subject.model, replicas)
        self._last: Allocation | None = None
        self._handles: list[Any] = []
        if hasattr(self._criterion, "observe"):
            self._handles.append(before_update(stepping_optimizer(optimizer), self._observe))
        self._holding.__enter__()
        try:
            if state is None:
                self._advance()
            else:
                self.load_state_dict(state)
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

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on in the middle of the schedule."""
        state = {"steps": self._steps, "masks": dict(self.masks), "generator": self._subject.generator.get_state()}
        return state | ({"criterion": self._criterion.state_dict()} if self._gathers else {})

    def _load(self, state: Mapping[str, Any]) -> None:
        keys = {"steps", "masks", "generator"} | ({"criterion"} if self._gathers else set())
        masks = self._masks_in(state, keys, self._subject.parameters)
        self._holding.replace(masks)
        self._steps = int(state["steps"])
        self._subject.generator.set_state(state["generator"].cpu())
        if self._gathers:
            self._criterion.load_state_dict(state["criterion"])

    def close(self) -> None:
        """Hold nothing any longer."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._holding.__exit__(None, None, None)

    @property
    def _gathers(self) -> bool:
        """Whether the criterion has a state."""
        return hasattr(self._criterion, "state_dict") and hasattr(self._criterion, "load_state_dict")

    def _observe(self, optimizer: torch.optim.Optimizer, first: bool) -> None:
        scale = gradient_scale(optimizer)
        if not first or scale is None:
            return
        name = self.technique.criterion if isinstance(self.technique.criterion, str) else ""
        with unscaled(self._subject.parameters.values(), scale), own_code(name):
            self._criterion.observe(self._subject)

    def _advance(self) -> Allocation | None:
        if not self.schedule.due(self._steps):
            return None
        sparsity = self.schedule.sparsity(self._steps)

        def choose() -> Allocation:
            return self.technique.allocate(self._subject, sparsity, self.masks, self._criterion)

        allocation = agreed(choose, self._subject.parameters, self._replicas)
        allocation.apply(self._subject.model)  # some criteria make up for what they remove
        self._holding.replace(allocation.masks)
        self._last = allocation
        return allocation


def _require_given(technique: Technique, subject: Subject) -> None:
    """Refuse a criterion or a budget that would find its data or the first weights missing at its first pruning.

    A criterion that observes the training needs no other data.

    Raises:
        ArgumentError: they are missing.
    """
    if _needs(CRITERIA, technique.criterion, "initial") and subject.initial is None:
        raise ArgumentError(
            f"the criterion {technique.criterion!r} compares weights with what they were before training: pass "
            "initial={parameter name: tensor}"
        )
    looks = _needs(CRITERIA, technique.criterion, "batches") and not hasattr(technique.resolve(), "observe")
    if subject.batches is None and (looks or _needs(BUDGETS, technique.budget, "batches")):
        who = f"criterion {technique.criterion!r}" if looks else f"budget {technique.budget!r}"
        raise ArgumentError(f"the {who} needs data: pass batches=[(inputs, targets), …] or a DataLoader")


def _needs(table: Table, name: object, what: str) -> bool:
    """Whether the entry of that name, where it is one of the table's, says that it needs something."""
    return isinstance(name, str) and name in table and what in table[name].needs
