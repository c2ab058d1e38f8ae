"""Recipes for decision trees and forests."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Self

from pydantic import Field, model_validator

from prunus.errors import ArgumentError, PrunusError
from prunus.experiments.base_work import with_needs
from prunus.experiments.lines import Path as KeyPath
from prunus.experiments.messages import mistakes
from prunus.experiments.recipe import Recipe
from prunus.experiments.tree_settings import GrowingSettings, TreeTaskSettings, TreeTechniqueSettings
from prunus.experiments.tree_work import TreeWork
from prunus.files.canonical import digest
from prunus.lookup import own_code, unknown_name
from prunus.tasks.code import code_digests
from prunus.trees.table import ESTIMATORS, METHODS


class TreeRecipe(Recipe):
    """One experiment with trees or forests.

    Attributes:
        sparsities: rising targets, fractions of the nodes in [0, 1); none where every technique makes its own choice.
        task: data and model.
        training: how the trees are grown.
        technique: what to compare.
    """

    task: TreeTaskSettings
    training: GrowingSettings = GrowingSettings()
    technique: tuple[TreeTechniqueSettings, ...] = Field(min_length=1)

    @property
    def id(self) -> str:
        """Digest of what is stated: a new setting whose default changes nothing keeps old digests."""
        return digest({"trees": self.stated()})

    def works(self) -> list[TreeWork]:
        """Every run that has to be done, those that grow first."""
        task = self.task.stated() | code_digests(self.task.data)
        return with_needs(
            TreeWork(
                task,
                self.training,
                seeds,
                technique,
                () if technique.choice == "own" else self.sparsities,
                code_digests(technique.method),
            )
            for technique in self.techniques
            for seeds in self.replicates
        )

    @property
    def own(self) -> list[tuple[KeyPath, str]]:
        """Key → every ``"module:name"`` of the user's own."""
        methods = [(("technique", index, "method"), each.method) for index, each in enumerate(self.technique)]
        return [(path, name) for path, name in [(("task", "data"), self.task.data), *methods] if ":" in name]

    def wrong_settings(self) -> Iterator[tuple[KeyPath, PrunusError]]:
        """Key → what is wrong with the settings of a method of the user's own."""
        for index, technique in enumerate(self.technique):
            if ":" in technique.method and (wrong := _wrong_settings(technique)):
                yield ("technique", index, "settings"), wrong

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        found = [*self._wrong_parameters()]
        for index, technique in enumerate(self.technique):
            found += [(("technique", index, key), wrong) for key, wrong in self._wrong_with(technique)]
        if found:
            raise mistakes(found)
        return self

    def _wrong_parameters(self) -> Iterator[tuple[KeyPath, str]]:
        allowed = dict(inspect.signature(ESTIMATORS[self.task.model].load()).parameters)
        allowed.pop("random_state")
        for name in self.training.parameters:
            wrong = unknown_name(f"parameter of {self.task.model}", name, allowed)
            if name == "random_state":
                yield ("training", "parameters", name), "is that of seeds: leave it out"
            elif name not in allowed:
                yield ("training", "parameters", name), wrong

    def _wrong_with(self, technique: TreeTechniqueSettings) -> Iterator[tuple[str, str]]:
        if technique.choice == "sparsities" and not self.sparsities:
            yield "choice", "there are no sparsities to reach: give some, or choice = 'own'"
        if technique.method not in METHODS:
            return
        needs = METHODS[technique.method].needs
        if "forest" in needs and "tree" in self.task.model.split("-"):
            yield "method", f"'{technique.method}' removes whole trees of a forest, and a {self.task.model} is one tree"
        if "validation" in needs and not self.training.pruning_fraction:
            yield "method", f"'{technique.method}' judges by examples held out: training.pruning_fraction is 0"
        if wrong := _wrong_settings(technique):
            yield "settings", str(wrong)


def _wrong_settings(technique: TreeTechniqueSettings) -> PrunusError | None:
    """What is wrong with the settings of the technique's method, or None."""
    from prunus.trees.method import resolve_method  # needs scikit-learn, which other recipes can do without

    try:
        with own_code(technique.method):
            resolve_method(technique.method, technique.settings)
    except PrunusError as error:
        return error
    except TypeError as error:
        return ArgumentError(str(error))
    return None
