"""Recipes: one experiment as a frozen value, read from TOML."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from prunus.errors import PrunusError
from prunus.experiments.base_work import BaseWork
from prunus.experiments.lines import Path as KeyPath
from prunus.experiments.messages import mistakes
from prunus.experiments.reading import read, validated
from prunus.experiments.seeds import SeedList, Seeds
from prunus.experiments.settings import ChoiceSettings, Settings, Sparsities
from prunus.experiments.source import Source


class Recipe(Settings):
    """One experiment: which techniques to compare, on what, how sparse, how often, and what to choose.

    What all kinds of recipes share; ``of`` and ``load`` make one of the kind that the values are.

    Attributes:
        title: the question it asks.
        seeds: one replicate for each; a number, or separate numbers for init, order and pruning.
        sparsities: rising targets, in [0, 1).
        task: data and model.
        training: how the model is made that is pruned.
        technique: what to compare.
        choose: which result to ship.
    """

    title: str = ""
    seeds: SeedList = (0, 1, 2)
    sparsities: Sparsities = ()
    task: Any
    training: Any = None
    technique: tuple[Any, ...] = Field(min_length=1)
    choose: ChoiceSettings = ChoiceSettings()

    @field_validator("technique")
    @classmethod
    def _names_differ(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        places = [(index, each.label) for index, technique in enumerate(values) for each in technique.expanded]
        labels = [label for _, label in places]
        found: list[tuple[KeyPath, str]] = []
        for place, (index, label) in enumerate(places):
            if label in labels[:place]:
                found.append(((index, "name"), f"two techniques are called '{label}': give each a name of its own"))
            if label == "dense":
                found.append(((index, "name"), "'dense' is the name of what is not pruned: call it something else"))
        if found:
            raise mistakes(found)
        return values

    @property
    @abstractmethod
    def id(self) -> str:
        """Digest of what is stated: a new setting whose default changes nothing keeps old digests."""

    @abstractmethod
    def works(self) -> Sequence[BaseWork]:
        """Every run that has to be done, those of what is not pruned first."""

    @property
    @abstractmethod
    def own(self) -> list[tuple[KeyPath, str]]:
        """Key → every ``"module:name"`` of the user's own."""

    @abstractmethod
    def wrong_settings(self) -> Iterable[tuple[KeyPath, PrunusError]]:
        """Key → what is wrong with settings of things that reading the recipe does not import."""

    @property
    def techniques(self) -> tuple[Any, ...]:
        """What is compared: what every technique stands for."""
        return tuple(each for technique in self.technique for each in technique.expanded)

    @property
    def replicates(self) -> list[Seeds]:
        """The seeds of every replicate."""
        return [Seeds.of(seed) for seed in self.seeds]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe with these values.

        Raises:
            RecipeError: they do not make one; every mistake is named with its key and what is allowed.
        """
        return validated(Source("recipe", dict(values)))

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
        return validated(read(source, overrides))
