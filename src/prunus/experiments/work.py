"""The work of a recipe for a network: its runs, and the steps of each."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from prunus.experiments.base_work import BaseWork
from prunus.experiments.identity import derive_seed
from prunus.experiments.technique_settings import TechniqueSettings
from prunus.files.canonical import digest
from prunus.schedules.rounds import rounds_to
from prunus.training.plan import Plan

# Settings that say what happens once the weights to remove are chosen, or what the choice is compared with.
AFTERWARDS = (
    "name",
    "control",
    "retrain",
    "rewind_step",
    "ticket",
    "carry",
    "epochs",
    "learning_rate",
    "distill",
    "recalibrate",
)


@dataclass(frozen=True)
class Step:
    """One pruning step that a run has to make.

    Attributes:
        position: 1, 2, 3 … of ``of``.
        sparsity: to be reached; 0 where the technique makes its own choice.
        follows: the state it starts from: the trained dense network, the initialisation, the step before, or the ticket
            of the same sparsity that was found elsewhere.
    """

    position: int
    of: int
    sparsity: float
    follows: Literal["dense", "initial", "previous", "ticket"]


@dataclass(frozen=True)
class Work(BaseWork):
    """One run that has to be done: the dense network, or one technique, with one seed.

    Attributes:
        training: how to train.
        technique: None for the dense network.
        sparsities: targets; none where the technique makes its own choice.
        tasks: settings of the tasks on which the tickets are found that it takes; none where that is its own.
        first: settings of the task whose first weights it begins with; None where that is its own.
        finder: name of the technique that finds the tickets which it takes.
    """

    kind: ClassVar[str] = "network"
    training: Plan
    technique: TechniqueSettings | None = None
    tasks: tuple[dict[str, Any], ...] = ()
    first: dict[str, Any] | None = None
    finder: str = ""

    @property
    def stated_training(self) -> dict[str, Any]:
        """The settings of the plan that differ from their defaults."""
        return stated_plan(self.training)

    @property
    def states_planned(self) -> int:
        """States that the run has when it is complete."""
        if self.technique is None:
            return 2
        return len(self.steps) + self.technique.begins_with_training

    @property
    def dense(self) -> Self:
        """The dense network from which this begins."""
        return replace(super().dense, first=self.first)

    @property
    def searches(self) -> tuple[Self, ...]:
        """The runs that find the tickets which this takes; none for one that prunes by itself."""
        technique = self.technique
        if technique is None or technique.finds:
            return ()
        search = self._search(technique)
        if technique.source:
            return (replace(search, task=self.tasks[0]),)
        several = itertools.product(self.tasks or (self.task,), range(technique.searches))
        return tuple(replace(search._on(task), seeds=self.seeds.of_search(number)) for task, number in several)

    @property
    def found(self) -> Self:
        """The run that finds the tickets; of several searches, that which is made on its own task in its own order."""
        technique = self.technique
        if technique is None or technique.finds:
            return self
        return self.searches[0] if technique.source else self._search(technique)

    def _search(self, technique: TechniqueSettings) -> Self:
        finding = technique.finding.model_copy(update={"name": self.finder})
        return replace(self, technique=finding, tasks=(), finder="")

    def _on(self, task: dict[str, Any]) -> Self:
        """The same on another task, beginning with the weights with which it begins here."""
        return self if task == self.task else replace(self, task=task, first=self.task)

    @property
    def _taken(self) -> tuple[Self, ...]:
        technique = self.technique
        own = (self.found,) if technique and technique.ticket == "bespoke" else ()
        return tuple({work.id: work for work in (*own, *self.searches)}.values())

    @property
    def needs(self) -> tuple[Self, ...]:
        """The dense network, and the tickets found beside it that this takes."""
        return *super().needs, *(work for work in self._taken if self._is_beside(work))

    @property
    def elsewhere(self) -> tuple[Self, ...]:
        """The tickets that it takes from other tasks, or from searches in other orders of the data."""
        return tuple(work for work in self._taken if not self._is_beside(work))

    def _is_beside(self, work: Self) -> bool:
        return (work.task, work.seeds) == (self.task, self.seeds)

    def state_at(self, sparsity: float) -> str:
        """Id of the state in which the technique has reached a sparsity of the recipe."""
        technique = self.technique
        assert technique is not None
        reached = next(index for index, step in enumerate(self.steps) if step.sparsity == sparsity)
        return self.state_id(reached + technique.begins_with_training)

    @property
    def beside(self) -> str | None:
        """Task and plan, unless something looks at the training meanwhile."""
        technique = self.technique
        if technique and (technique.timing == "during" or technique.distill or technique.penalty):
            return None
        return digest([self.task, self.stated_training])

    @property
    def steps(self) -> list[Step]:
        """What the technique does, in order; none for the dense network."""
        technique = self.technique
        if technique is None:
            return []
        if technique.ticket == "unpruned":
            return [Step(1, 1, 0.0, "initial")]
        if not technique.finds:
            count = len(self.sparsities)
            return [Step(position, count, level, "ticket") for position, level in enumerate(self.sparsities, 1)]
        chained = technique.timing == "after" and technique.schedule in ("iterative", "levels")
        levels = [0.0] if technique.own_choice else list(self.sparsities)
        if chained and technique.schedule == "iterative":
            levels = rounds_to(levels, technique.fraction)
        first: Literal["dense", "initial"] = "dense" if technique.timing == "after" else "initial"
        return [
            Step(position, len(levels), level, "previous" if chained and position > 1 else first)
            for position, level in enumerate(levels, 1)
        ]

    @property
    def _stated(self) -> dict[str, Any]:
        stated = super()._stated
        return stated | {key: value for key in ("tasks", "first") if (value := getattr(self, key))}

    def init_seed(self) -> int:
        """Of the first weights: the same for all that share the task they are of, and the init seed."""
        return derive_seed("init", self.first or self.task, self.seeds.init)

    def order_seed(self) -> int:
        """Of the order of the data: the same for all that share task and order seed."""
        return derive_seed("order", self.task, self.seeds.order)

    def finetuning_seed(self, position: int) -> int:
        """Of the order of the data in fine-tuning, another one after every pruning step."""
        return derive_seed("finetuning", self.task, self.seeds.order, position)

    def pruning_seed(self, purpose: str, position: int) -> int:
        """Of one purpose at one step, whatever the other seeds are.

        Techniques that differ in what they do with the kept weights alone draw the same, and so does a control.
        """
        technique = self._stated.get("technique", {})
        choosing = {key: value for key, value in technique.items() if key not in AFTERWARDS}
        return derive_seed(purpose, self._stated | {"technique": choosing}, self.seeds.pruning, position)

    def calibration_seed(self, position: int) -> int:
        """Of the examples that criteria look at: the same for all that share task and pruning seed."""
        return derive_seed("calibration", self.task, self.seeds.pruning, position)


def stated_plan(plan: Plan) -> dict[str, Any]:
    """The plan's settings that differ from their defaults."""
    default = Plan()
    return {name: value for name, value in vars(plan).items() if value != getattr(default, name)}
