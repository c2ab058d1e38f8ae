"""The work of a recipe for a network: its runs, and the steps of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from prunus.experiments.base_work import BaseWork
from prunus.experiments.identity import derive_seed, digest
from prunus.experiments.technique_settings import TechniqueSettings
from prunus.schedules.rounds import rounds_to
from prunus.training.plan import Plan

# Settings that say what happens once the weights to remove are chosen, or what the choice is compared with.
AFTERWARDS = (
    "name",
    "control",
    "retrain",
    "rewind_step",
    "ticket",
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
            of the same sparsity.
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
    """

    kind: ClassVar[str] = "network"
    training: Plan
    technique: TechniqueSettings | None = None

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
    def found(self) -> Self:
        """The work that finds the tickets of which this trains a control."""
        if self.technique is None or self.technique.ticket == "found":
            return self
        return replace(self, technique=self.technique.finding)

    @property
    def needs(self) -> tuple[Self, ...]:
        """The dense network, and the tickets of which it trains a control."""
        return super().needs if self.found is self else (self.dense, self.found)

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
        if technique.ticket != "found":
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

    def init_seed(self) -> int:
        """Of the first weights: the same for all that share task and init seed."""
        return derive_seed("init", self.task, self.seeds.init)

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
