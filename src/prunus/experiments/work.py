"""The work of a recipe: its runs, what identifies each, and the steps of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from prunus.experiments.identity import derive_seed, digest, source_digest
from prunus.experiments.recipe import Recipe
from prunus.experiments.settings import SeedSettings, TechniqueSettings
from prunus.schedules.rounds import rounds_to
from prunus.training.plan import Plan


@dataclass(frozen=True)
class Step:
    """One pruning step that a run has to make.

    Attributes:
        position: 1, 2, 3 … of ``of``.
        sparsity: to be reached.
        follows: the state it starts from: the trained dense network, the initialisation, or the step before.
    """

    position: int
    of: int
    sparsity: float
    follows: Literal["dense", "initial", "previous"]


@dataclass(frozen=True)
class Seeds:
    """The seeds of one replicate.

    Attributes:
        label: the number under which the replicates of different techniques are paired.
        init, order, pruning: see ``SeedSettings``.
    """

    label: int
    init: int
    order: int
    pruning: int


@dataclass(frozen=True)
class Work:
    """One run that has to be done: the dense network, or one technique, with one seed.

    Attributes:
        task: the task's settings, with a digest of the user's own source files.
        training: how to train.
        seeds: of this replicate.
        technique: None for the dense network.
        sparsities: targets.
    """

    task: dict[str, Any]
    training: Plan
    seeds: Seeds
    technique: TechniqueSettings | None = None
    sparsities: tuple[float, ...] = ()
    code: dict[str, str] = field(default_factory=dict)

    @property
    def dense(self) -> Work:
        """The work that trains the dense network of this replicate."""
        return Work(self.task, self.training, self.seeds)

    @property
    def id(self) -> str:
        """Digest of everything that determines the result; defaults are left out."""
        identity: dict[str, Any] = {"task": self.task, "training": stated_plan(self.training)}
        identity["seeds"] = [self.seeds.init, self.seeds.order]
        if self.technique is not None:
            identity["technique"] = self.technique.stated()
            identity["sparsities"] = self.sparsities
            identity["seeds"].append(self.seeds.pruning)
        if self.code:
            identity["code"] = self.code
        return digest(identity)

    @property
    def label(self) -> str:
        """The technique's name."""
        return self.technique.label if self.technique else "dense"

    @property
    def states_planned(self) -> int:
        """States that the run has when it is complete."""
        if self.technique is None:
            return 2
        return len(self.steps) + bool(self.technique.rewind_step)

    @property
    def steps(self) -> list[Step]:
        """What the technique does, in order; none for the dense network."""
        technique = self.technique
        if technique is None:
            return []
        chained = technique.timing == "after" and technique.schedule in ("iterative", "levels")
        levels = list(self.sparsities)
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

    def pruning_seed(self, purpose: str, position: int) -> int:
        """Of one purpose at one step of this run."""
        return derive_seed(purpose, self.id, self.seeds.pruning, position)


def work_of(recipe: Recipe) -> list[Work]:
    """Every run of the recipe, the dense ones first."""
    task = recipe.task.stated()
    named = [recipe.task.data, recipe.task.model, recipe.task.target]
    task_code = _code([name for name in named if name])
    dense = [Work(task | task_code, recipe.training, seeds) for seeds in seeds_of(recipe)]
    return dense + [
        Work(each.task, each.training, each.seeds, technique, recipe.sparsities, _code([technique.criterion]))
        for technique in recipe.technique
        for each in dense
    ]


def seeds_of(recipe: Recipe) -> list[Seeds]:
    """The replicates of the recipe."""
    return [
        Seeds(label, seed.init, seed.order, seed.pruning)
        if isinstance(seed, SeedSettings)
        else Seeds(seed, seed, seed, seed)
        for label, seed in enumerate_labels(recipe.seeds)
    ]


def enumerate_labels(seeds: tuple[int | SeedSettings, ...]) -> list[tuple[int, int | SeedSettings]]:
    """Plain seeds are their own labels; tables are numbered from the first number that is free."""
    free = iter(number for number in range(10**6) if number not in seeds)
    return [(seed if isinstance(seed, int) else next(free), seed) for seed in seeds]


def stated_plan(plan: Plan) -> dict[str, Any]:
    """The plan's settings that differ from their defaults."""
    default = Plan()
    return {name: value for name, value in vars(plan).items() if value != getattr(default, name)}


def _code(names: list[str]) -> dict[str, str]:
    """Digest of the source of each user's own ``module:name``."""
    return {f"source of {name}": source_digest(name) for name in names if ":" in name}
