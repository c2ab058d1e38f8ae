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
