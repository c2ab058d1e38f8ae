"""Recipes: one experiment as a frozen value, read from TOML."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, StrictInt, Tag, ValidationError, field_validator, model_validator

from prunus.errors import ArgumentError, PrunusError, RecipeError
from prunus.experiments.identity import digest
from prunus.experiments.lines import Path as KeyPath
from prunus.experiments.messages import explain, mistakes
from prunus.experiments.overrides import override, parse
from prunus.experiments.settings import ChoiceSettings, SeedSettings, Settings, TaskSettings, TechniqueSettings
from prunus.lookup import unknown_name
from prunus.masks.pattern_names import read_pattern
from prunus.schedules.base import require_sparsity
from prunus.training.plan import Plan

SPARSITY_ROUNDING = 1e-6  # an N:M pattern's sparsity may be written with as many digits


def _kind_of_seed(value: object) -> str:
    return "table" if isinstance(value, SeedSettings | Mapping) else "number"


Seed = Annotated[
    Annotated[StrictInt, Field(ge=0), Tag("number")] | Annotated[SeedSettings, Tag("table")],
    Discriminator(_kind_of_seed),
]


class Recipe(Settings):
    """One experiment: which techniques to compare, on what, how sparse, how often, and what to choose.

    Attributes:
        title: the question it asks.
        seeds: one replicate for each; a number, or separate numbers for init, order and pruning.
        sparsities: rising targets, in [0, 1).
        task: data and network.
        training: how the dense network is trained, and how pruned ones are trained again.
        technique: what to compare.
        choose: which result to ship.
    """

    title: str = ""
    seeds: tuple[Seed, ...] = Field((0, 1, 2), min_length=1)
    sparsities: tuple[float, ...] = Field(min_length=1)
    task: TaskSettings
    training: Plan = Plan()
    technique: tuple[TechniqueSettings, ...] = Field(min_length=1)
    choose: ChoiceSettings = ChoiceSettings()

    @field_validator("sparsities")
    @classmethod
    def _sparsities_rise(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        for value in values:
            require_sparsity(value)
        if any(later <= earlier for earlier, later in zip((0.0, *values), values, strict=False)):
            raise ValueError(f"sparsities must rise and be above 0, got {list(values)}")
        return values

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, values: tuple[int | SeedSettings, ...]) -> tuple[int | SeedSettings, ...]:
        if len({_numbers(value) for value in values}) < len(values):
            raise ValueError(f"seeds must differ, got {', '.join(map(_written, values))}")
        return values

    @field_validator("training")
    @classmethod
    def _training_is_finite(cls, plan: Plan) -> Plan:
        found = [
            ((name,), f"must be finite, got {value}")
            for name, value in vars(plan).items()
            if isinstance(value, float) and not math.isfinite(value)
        ]
        if found:
            raise mistakes(found)
        return plan

    @field_validator("technique")
    @classmethod
    def _names_differ(cls, values: tuple[TechniqueSettings, ...]) -> tuple[TechniqueSettings, ...]:
        labels = [technique.label for technique in values]
        found: list[tuple[KeyPath, str]] = []
        for index, label in enumerate(labels):
            if label in labels[:index]:
                found.append(((index, "name"), f"two techniques are called '{label}': give each a name of its own"))
            if label == "dense":
                found.append(((index, "name"), "'dense' is the unpruned network's name: call it something else"))
        if found:
            raise mistakes(found)
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = [
            (("technique", index, key), message)
            for index, technique in enumerate(self.technique)
            for key, message in (*self._wrong_pattern(technique), *self._wrong_rate(technique))
        ]
        if found:
            raise mistakes(found)
        return self

    def _wrong_pattern(self, technique: TechniqueSettings) -> Iterator[tuple[str, str]]:
        fixed = read_pattern(technique.pattern).fixed_sparsity
        if fixed is None:
            return
        if len(self.sparsities) > 1 or abs(self.sparsities[0] - fixed) > SPARSITY_ROUNDING:
            yield "pattern", f"{technique.pattern} fixes the sparsity: sparsities must be [{fixed:g}]"
        if technique.schedule not in ("one-shot", "levels"):
            yield (
                "schedule",
                f"'{technique.schedule}' goes through sparsities that the pattern {technique.pattern} cannot have: "
                "it needs 'one-shot' or 'levels'",
            )

    def _wrong_rate(self, technique: TechniqueSettings) -> Iterator[tuple[str, str]]:
        finetunes = technique.timing == "after" and technique.retrain == "finetune"
        if finetunes and technique.learning_rate is None and self.training.decay in ("cosine", "linear"):
            yield (
                "learning_rate",
                f"is missing: training.decay = '{self.training.decay}' ends at a learning rate of 0, so that "
                f"fine-tuning of '{technique.label}' needs one of its own",
            )

    @property
    def id(self) -> str:
        """Digest of what is stated: a new setting whose default changes nothing keeps old digests."""
        return digest(self.stated())

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe with these values.

        Raises:
            RecipeError: they do not make one; every mistake is named with its key and what is allowed.
        """
        return _validated(dict(values), "recipe", "")

    @classmethod
    def load(cls, source: Path | str, overrides: Sequence[str] = ()) -> Recipe:
        """Read a TOML file, or a recipe that ships with prunus by its name.

        Args:
            source: path of a file, or a name that ``prunus recipes`` lists.
            overrides: ``"training.epochs=2"``; the value is read as TOML, or else as text.

        Raises:
            RecipeError: the file is missing or is not a recipe; every mistake is named with its key, its line,
                what is allowed and the nearest valid name.
        """
        name, text = read_recipe(source)
        return _validated(override(parse(text, name), overrides), name, text)


def shipped_recipes() -> dict[str, str]:
    """Name → text of the recipes that ship with prunus."""
    folder = resources.files("prunus.experiments") / "recipes"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {file.name.removesuffix(".toml"): file.read_text(encoding="utf-8") for file in files}


def read_recipe(source: Path | str) -> tuple[str, str]:
    """Name and text of a recipe file, or of a shipped recipe."""
    path = Path(source)
    shipped = shipped_recipes()
    try:
        if not path.exists() and str(source) in shipped:
            return str(source), shipped[str(source)]
        return str(path), path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        message = f"there is no file {path}, and {unknown_name('shipped recipe', str(source), shipped)}"
        raise RecipeError(message) from error
    except (OSError, ValueError) as error:  # a name with a null character, or bytes that are no text
        raise RecipeError(f"cannot read {path}: {error}") from error


def require_own(recipe: Recipe, source: Path | str) -> None:
    """Import every ``"module:name"`` of the recipe's user, so that what is missing is told before anything runs.

    Args:
        recipe: read from ``source``.
        source: see ``Recipe.load``.

    Raises:
        RecipeError: a module or a name in it is missing, or an error arises in the module; each is named with its
            key and its line.
    """
    named: list[tuple[KeyPath, str | None]] = [
        *((("task", key), getattr(recipe.task, key)) for key in ("target", "data", "model")),
        *((("technique", index, "criterion"), each.criterion) for index, each in enumerate(recipe.technique)),
    ]
    own = [(path, name) for path, name in named if name is not None and ":" in name]
    found = [(path, wrong) for path, name in own if (wrong := _wrong_import(name))]
    if found:
        name, text = read_recipe(source)
        raise RecipeError(explain(mistakes(found), name, text, Recipe))


def _wrong_import(name: str) -> str | None:
    """What is wrong with a user's own ``"module:name"``, or None."""
    from prunus.tasks.load import import_own  # needs torch, which most recipes can be checked without

    try:
        thing = import_own(name)
    except PrunusError as error:
        missing = isinstance(error.__cause__, ModuleNotFoundError) and isinstance(error, ArgumentError)
        return f"{error}, nor in the current folder {Path.cwd()}" if missing else str(error)
    return None if callable(thing) else f"{name!r} must be a function, got {type(thing).__name__}"


def _validated(values: dict[str, Any], name: str, text: str) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(explain(error, name, text, Recipe)) from error


def _numbers(seed: int | SeedSettings) -> tuple[int, int, int]:
    return (seed.init, seed.order, seed.pruning) if isinstance(seed, SeedSettings) else (seed, seed, seed)


def _written(seed: int | SeedSettings) -> str:
    return str(seed) if isinstance(seed, int) else f"{{{seed}}}"
