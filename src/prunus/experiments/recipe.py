"""Recipes: one experiment as a frozen value, read from TOML."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, StrictInt, Tag, ValidationError, field_validator, model_validator

from prunus.errors import ArgumentError, PrunusError, RecipeError
from prunus.experiments.identity import digest
from prunus.experiments.lines import Path as KeyPath
from prunus.experiments.messages import explain, mistakes
from prunus.experiments.overrides import override, parse
from prunus.experiments.settings import ChoiceSettings, SeedSettings, Settings, Sparsities, TaskSettings
from prunus.experiments.source import Source
from prunus.experiments.technique_settings import TechniqueSettings
from prunus.lookup import unknown_name
from prunus.masks.pattern_names import read_pattern
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
    sparsities: Sparsities = Field(min_length=1)
    task: TaskSettings
    training: Plan = Plan()
    technique: tuple[TechniqueSettings, ...] = Field(min_length=1)
    choose: ChoiceSettings = ChoiceSettings()

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, values: tuple[int | SeedSettings, ...]) -> tuple[int | SeedSettings, ...]:
        if len({_numbers(value) for value in values}) < len(values):
            raise ValueError(f"seeds must differ, got {', '.join(map(_written, values))}")
        return values

    @field_validator("training", mode="before")
    @classmethod
    def _training_has_no_switch_for_a_number(cls, values: object) -> object:
        kinds = {each.name: str(each.type).removesuffix(" | None") for each in fields(Plan)}
        allowed = {"int": "a whole number", "float": "a number"}
        found: list[tuple[KeyPath, str]] = [
            ((name,), f"must be {allowed[kinds[name]]}, got {value}")
            for name, value in (values.items() if isinstance(values, Mapping) else ())
            if isinstance(value, bool) and kinds.get(name) in allowed
        ]
        if found:
            raise mistakes(found)
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
        places = [(index, each.label) for index, technique in enumerate(values) for each in technique.expanded]
        labels = [label for _, label in places]
        found: list[tuple[KeyPath, str]] = []
        for place, (index, label) in enumerate(places):
            if label in labels[:place]:
                found.append(((index, "name"), f"two techniques are called '{label}': give each a name of its own"))
            if label == "dense":
                found.append(((index, "name"), "'dense' is the unpruned network's name: call it something else"))
        if found:
            raise mistakes(found)
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = {
            (("technique", index, key), message)
            for index, technique in enumerate(self.technique)
            for each in technique.expanded
            for key, message in (*self._wrong_pattern(each), *self._wrong_rate(each))
        }
        if found:
            raise mistakes(sorted(found, key=str))
        return self

    @property
    def techniques(self) -> tuple[TechniqueSettings, ...]:
        """What is compared: the techniques, and the sanity checks of those that ask for them."""
        return tuple(each for technique in self.technique for each in technique.expanded)

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
        return _validated(Source("recipe", dict(values)))

    @classmethod
    def load(cls, source: Path | str, overrides: Sequence[str] = ()) -> Recipe:
        """Read a TOML file, or a recipe that ships with prunus by its name.

        Args:
            source: path of a file, or a name that ``prunus recipes`` lists.
            overrides: ``"training.epochs=2"``, as after ``--set``; the value is read as TOML, or else as text.

        Raises:
            RecipeError: the file is missing or is not a recipe; every mistake is named with its key, its line or
                override, what is allowed and the nearest valid name.
        """
        return _validated(_read(source, overrides))


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


def require_own(recipe: Recipe, source: Path | str, overrides: Sequence[str] = ()) -> None:
    """Import every ``"module:name"`` of the recipe's user and try the criteria's settings, before anything runs.

    Args:
        recipe: read from ``source`` with ``overrides``.
        source, overrides: see ``Recipe.load``.

    Raises:
        RecipeError: a module or a name in it is missing, or an error arises in the module; each is named with its
            key and its line or override. The first error in a module, if there is any, is the cause.
    """
    own = (
        _wrong_own(recipe) if isinstance(recipe, Recipe) else ((path, _wrong_import(name)) for path, name in recipe.own)
    )
    if found := [(path, wrong) for path, wrong in own if wrong]:
        told = mistakes((path, _told(wrong)) for path, wrong in found)
        cause = min((wrong for _, wrong in found), key=lambda wrong: isinstance(wrong, ArgumentError))
        raise RecipeError(explain(told, _read(source, overrides), type(recipe))) from cause


def _wrong_own(recipe: Recipe) -> list[tuple[KeyPath, PrunusError]]:
    """Key → what is wrong with what its user's own name stands for, or with its settings."""
    techniques = [(index, each) for index, technique in enumerate(recipe.technique) for each in technique.expanded]
    named: list[tuple[KeyPath, str | None]] = [
        *((("task", key), getattr(recipe.task, key)) for key in ("target", "data", "model")),
        *(
            (("technique", index, key), getattr(each, key))
            for index, each in techniques
            for key in ("criterion", "budget", "penalty")
        ),
    ]
    own = dict.fromkeys((path, name) for path, name in named if name is not None and ":" in name)
    found = [(path, wrong) for path, name in own if (wrong := _wrong_import(name))]
    found += [
        (("technique", index, key), wrong) for index, each in techniques for key, wrong in _wrong_settings(each).items()
    ]
    return found


def _wrong_import(name: str) -> PrunusError | None:
    """What is wrong with a user's own ``"module:name"``, or None."""
    from prunus.tasks.load import import_own  # needs torch, which most recipes can be checked without

    try:
        thing = import_own(name)
    except PrunusError as error:
        return error
    return None if callable(thing) else ArgumentError(f"{name!r} must be a function, got {type(thing).__name__}")


def _wrong_settings(technique: TechniqueSettings) -> dict[str, PrunusError]:
    """Key → what is wrong with the settings of the technique's criterion or budget."""
    if not technique.settings and not technique.budget_settings:
        return {}
    from prunus.allocation.technique import Technique  # needs torch too

    plain: dict[str, Any] = {"criterion": technique.criterion, "budget": technique.budget}
    found = {}
    for key in ("settings", "budget_settings"):
        try:
            Technique(**plain, **{key: getattr(technique, key)})
        except PrunusError as error:
            found[key] = error
    return found


def _told(error: PrunusError) -> str:
    missing = isinstance(error.__cause__, ModuleNotFoundError) and isinstance(error, ArgumentError)
    return f"{error}, nor in the current folder {Path.cwd()}" if missing else str(error)


def _read(source: Path | str, overrides: Sequence[str]) -> Source:
    name, text = read_recipe(source)
    return Source(name, override(parse(text, name), overrides), text, overrides)


def _validated(source: Source) -> Any:
    """A ``Recipe``, or a ``TreeRecipe`` where the model is one of trees; they are used alike."""
    from prunus.experiments.tree_recipe import TreeRecipe, grows_trees  # made of parts of this module

    kind = TreeRecipe if grows_trees(source.values) else Recipe
    try:
        return kind.model_validate(source.values)
    except ValidationError as error:
        raise RecipeError(explain(error, source, kind)) from error


def _numbers(seed: int | SeedSettings) -> tuple[int, int, int]:
    return (seed.init, seed.order, seed.pruning) if isinstance(seed, SeedSettings) else (seed, seed, seed)


def _written(seed: int | SeedSettings) -> str:
    return str(seed) if isinstance(seed, int) else f"{{{seed}}}"
