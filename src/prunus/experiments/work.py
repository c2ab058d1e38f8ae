"""The work of a recipe: its runs, what identifies each, and the steps of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from prunus.experiments.code import code_digest
from prunus.experiments.identity import derive_seed, digest
from prunus.experiments.recipe import Recipe
from prunus.experiments.settings import SeedSettings
from prunus.experiments.technique_settings import TechniqueSettings
from prunus.schedules.rounds import rounds_to
from prunus.training.plan import Plan

# Settings that say what happens once the weights to remove are chosen, or what the choice is compared with.
AFTERWARDS = ("name", "control", "retrain", "rewind_step", "epochs", "learning_rate", "distill", "recalibrate")


@dataclass(frozen=True)
class Step:
    """One pruning step that a run has to make.

    Attributes:
        position: 1, 2, 3 … of ``of``.
        sparsity: to be reached; 0 where the technique makes its own choice.
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
        init, order, pruning: see ``SeedSettings``; no pruning for the dense network.
    """

    init: int
    order: int
    pruning: int | None = None

    @property
    def stated(self) -> dict[str, int]:
        """Purpose → seed."""
        return {purpose: seed for purpose, seed in vars(self).items() if seed is not None}

    @property
    def label(self) -> int:
        """The number under which the replicates of different techniques are paired.

        Equal seeds are their own label. Others have one of seven digits, made from them alone, so that a replicate
        has the same label in every recipe.
        """
        seeds = [*self.stated.values()]
        if len(set(seeds)) == 1:
            return seeds[0]
        return 10**6 + derive_seed("label", seeds) % (9 * 10**6)


@dataclass(frozen=True)
class Work:
    """One run that has to be done: the dense network, or one technique, with one seed.

    Attributes:
        task: the task's settings, with a digest of the user's own source files.
        training: how to train.
        seeds: of this replicate.
        technique: None for the dense network.
        sparsities: targets; none where the technique makes its own choice.
        code: digest of the user's own code behind the technique.
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
        return Work(self.task, self.training, Seeds(self.seeds.init, self.seeds.order))

    @property
    def id(self) -> str:
        """Digest of everything that determines the result; defaults are left out."""
        return digest({**self._stated, "seeds": [*self.seeds.stated.values()]})

    @property
    def _stated(self) -> dict[str, Any]:
        """What identifies the work, but for the seeds."""
        stated: dict[str, Any] = {"task": self.task, "training": stated_plan(self.training)}
        if self.technique is not None:
            stated["technique"] = self.technique.stated()
            stated["sparsities"] = self.sparsities
        if self.code:
            stated["code"] = self.code
        return stated

    @property
    def label(self) -> str:
        """The technique's name."""
        return self.technique.label if self.technique else "dense"

    @property
    def states_planned(self) -> int:
        """States that the run has when it is complete."""
        if self.technique is None:
            return 2
        return len(self.steps) + self.technique.begins_with_training

    @property
    def steps(self) -> list[Step]:
        """What the technique does, in order; none for the dense network."""
        technique = self.technique
        if technique is None:
            return []
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


def work_of(recipe: Recipe) -> list[Any]:
    """Every run of the recipe, the dense ones first: ``Work``, or ``TreeWork`` of a recipe for trees."""
    from prunus.experiments.tree_recipe import TreeRecipe  # which is made of parts of this module
    from prunus.experiments.tree_work import tree_work_of

    if isinstance(recipe, TreeRecipe):
        return tree_work_of(recipe)
    task = recipe.task.stated()
    named = [recipe.task.data, recipe.task.model, recipe.task.target]
    task_code = _code([name for name in named if name])
    replicates = seeds_of(recipe)
    works = [
        Work(
            task | task_code,
            recipe.training,
            seeds,
            technique,
            () if technique.own_choice else recipe.sparsities,
            _code([technique.criterion, technique.budget or "", technique.penalty or ""]),
        )
        for technique in recipe.techniques
        for seeds in replicates
    ]
    dense = {work.dense.id: work.dense for work in works}
    return [*dense.values(), *works]


def seeds_of(recipe: Recipe) -> list[Seeds]:
    """The replicates of the recipe."""
    return [
        Seeds(seed.init, seed.order, seed.pruning) if isinstance(seed, SeedSettings) else Seeds(seed, seed, seed)
        for seed in recipe.seeds
    ]


def stated_plan(plan: Plan) -> dict[str, Any]:
    """The plan's settings that differ from their defaults."""
    default = Plan()
    return {name: value for name, value in vars(plan).items() if value != getattr(default, name)}


def _code(names: list[str]) -> dict[str, str]:
    """Digest of the code behind each user's own ``module:name``."""
    return {f"source of {name}": code_digest(name) for name in names if ":" in name}
