"""The kinds of experiments: which one a recipe is, what it is read as, and what does its work.

A new kind is one line in each table. Nothing of a kind is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunus.lookup import Entry, Table
from prunus.trees.table import ESTIMATORS

RECIPES = Table(
    "kind of recipe",
    {
        "network": Entry("prunus.experiments.network_recipe:NetworkRecipe", "Techniques that prune a network."),
        "trees": Entry("prunus.experiments.tree_recipe:TreeRecipe", "Methods that prune decision trees and forests."),
    },
)
PERFORMERS = Table(
    "kind of work",
    {
        "network": Entry("prunus.experiments.networks:NetworkPerformer", "Trains and prunes networks."),
        "trees": Entry("prunus.experiments.trees:TreePerformer", "Grows and prunes decision trees and forests."),
    },
)


def kind_of(values: Mapping[str, Any]) -> str:
    """The kind that the values of a recipe are of: the model of its task says so."""
    task = values.get("task")
    return "trees" if isinstance(task, Mapping) and task.get("model") in ESTIMATORS else "network"


def recipe_schema() -> dict[str, Any]:
    """JSON schema of recipes of every kind: exactly one of them fits, by the model of its task."""
    from pydantic.json_schema import models_json_schema

    places, schema = models_json_schema([(entry.load(), "validation") for entry in RECIPES.values()])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Recipe",
        "oneOf": list(places.values()),
        **schema,
    }
