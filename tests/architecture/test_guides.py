from __future__ import annotations

import dataclasses
import inspect
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import prunus
from prunus.allocation.aggregates import AGGREGATES
from prunus.allocation.budgets.table import BUDGETS
from prunus.allocation.controls import CONTROLS
from prunus.allocation.scopes import SCOPES
from prunus.criteria.table import CRITERIA
from prunus.experiments.network_recipe import NetworkRecipe
from prunus.experiments.recipe import Recipe
from prunus.experiments.seeds import SeedSettings
from prunus.experiments.settings import ChoiceSettings
from prunus.experiments.task_settings import TaskSettings
from prunus.experiments.technique_settings import TechniqueSettings
from prunus.experiments.tree_recipe import TreeRecipe
from prunus.experiments.tree_settings import GrowingSettings, TreeTaskSettings, TreeTechniqueSettings
from prunus.masks.pattern_names import PATTERNS
from prunus.selection.metrics import METRICS
from prunus.tasks.tables import AUGMENTATIONS, DATASETS, MODELS
from prunus.training.plan import Plan
from prunus.training.pruner import TechniqueOptions
from prunus.training.tables import EDGE_POPUPS, PENALTIES
from prunus.trees.table import ESTIMATORS, METHODS

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
GUIDE = (GUIDES / "recipes.md").read_text(encoding="utf-8")
LOOPS = (GUIDES / "loops.md").read_text(encoding="utf-8")
SECTIONS = {
    "The recipe": NetworkRecipe,
    "`[task]`": TaskSettings,
    "`[training]`": Plan,
    "`[[technique]]`": TechniqueSettings,
    "`[choose]`": ChoiceSettings,
    "A table in `seeds`": SeedSettings,
    "Recipes for trees and forests": TreeRecipe,
    "`[task]` of trees": TreeTaskSettings,
    "`[training]` of trees": GrowingSettings,
    "`[[technique]]` of trees": TreeTechniqueSettings,
}
PLACES = {  # section → the recipe in which an example stands
    "The recipe": lambda example: example,
    "`[task]`": lambda example: {"task": {**({} if "target" in example else IMAGES), **example}},
    "`[training]`": lambda example: {"training": {**NEEDED.get(*example, {}), **example}},
    "`[[technique]]`": lambda example: {"technique": [{**NEEDED.get(*example, {}), **example}]},
    "`[choose]`": lambda example: {"choose": example},
    "A table in `seeds`": lambda example: {"seeds": [{"init": 0, "order": 0, "pruning": 0, **example}]},
    "Recipes for trees and forests": lambda example: example,
    "`[task]` of trees": lambda example: {"task": {**GROVE, **example}},
    "`[training]` of trees": lambda example: {"training": example},
    "`[[technique]]` of trees": lambda example: {"technique": [example]},
}
GROVE = {"data": "digits", "model": "decision-tree"}
IMAGES = {"data": "cifar10", "model": "conv-2"}
NEEDED = {  # key → what else its example needs
    "momentum": {"optimizer": "sgd"},
    "nesterov": {"optimizer": "sgd", "momentum": 0.9},
    "milestones": {"decay": "steps"},
    "factor": {"decay": "steps"},
    "rewind_step": {"retrain": "rewind"},
    "ticket": {"retrain": "rewind"},
    "searches": {"retrain": "rewind"},
    "tasks": {"retrain": "rewind"},
    "vote": {"retrain": "rewind", "searches": 3},
    "source": {"retrain": "rewind"},
    "carry": {"retrain": "rewind", "source": "mnist"},
    "fraction": {"schedule": "iterative"},
    "begin": {"schedule": "cubic"},
    "end": {"schedule": "cubic"},
    "every": {"schedule": "cubic"},
    "aggregate": {"pattern": "channel"},
    "calibration_examples": {"criterion": "snip"},
    "penalty": {"strength": 1e-3},
    "strength": {"penalty": "l1"},
    "threshold": {"movement": "soft", "strength": 1e-3},
    "drop_rate": {"penalty": "l0", "strength": 1e-5},
    "mask_learning_rate": {"penalty": "l0", "strength": 1e-5},
}


def rows(heading, guide=GUIDE):
    """Cells of every row of the section's last table."""
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", guide, re.M | re.S)[1]
    lines = [line for line in section.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def defaults(table):
    """Key → default; ``PydanticUndefined`` where there is none."""
    if dataclasses.is_dataclass(table):
        return {field.name: field.default for field in dataclasses.fields(table)}
    return {name: field.default for name, field in table.model_fields.items()}


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_guide_lists_every_key_of_a_recipe_with_its_default_and_no_other(heading):
    listed = {key.strip("`"): default for key, _, default, *_ in rows(heading)}
    expected = defaults(SECTIONS[heading])
    assert listed.keys() == expected.keys()
    for key, default in expected.items():
        if default is PydanticUndefined:
            assert listed[key] == "required", key
        elif isinstance(default, BaseModel) or dataclasses.is_dataclass(default):
            assert listed[key] == "all defaults", key
        elif listed[key].startswith("`"):
            told = tomllib.loads(f"value = {listed[key].strip('`')}")["value"]
            assert (tuple(told) if isinstance(told, list) else told) == default, key
        else:
            assert default in (None, ""), key


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_example_of_a_key_in_the_guide_is_valid_and_changes_the_recipe(heading):
    usual = {"sparsities": [0.8], "task": GROVE if "trees" in heading else IMAGES, "technique": [{}]}
    for key, kind, _, _, example, says in rows(heading):
        values = tomllib.loads(example.strip("`"))
        assert [f"`{name}`" for name in values] == [key]
        assert kind
        assert says or key == "`optimizer`" or key == "`momentum`"
        assert Recipe.of({**usual, **PLACES[heading](values)}) != Recipe.of(usual) or not any(values.values()), example


@pytest.mark.parametrize(("heading", "table"), [("Data sets", DATASETS), ("Models", MODELS)])
def test_the_guide_lists_every_data_set_and_every_model(heading, table):
    ours = [name for name, entry in table.items() if entry.target.startswith("prunus.")]
    assert sorted(row[0].strip("`") for row in rows(heading)) == sorted(ours)


def test_the_guide_says_of_every_data_set_how_large_it_is():
    for name, sizes, *_ in rows("Data sets"):
        assert sizes.rpartition("0 ")[0] in DATASETS[name.strip("`")].summary


@pytest.mark.parametrize("name", [*ESTIMATORS, *METRICS, *AUGMENTATIONS])
def test_the_guide_names_every_tree_model_metric_and_augmentation(name):
    assert f"`{name}`" in GUIDE or f'`"{name}"`' in GUIDE


def test_the_guide_to_trees_names_every_method():
    guide = (GUIDES / "trees.md").read_text(encoding="utf-8")
    assert [name for name in METHODS if f"| `{name}` |" not in guide] == []


def test_the_guide_lists_every_option_of_a_pruner():
    arguments = {*inspect.signature(prunus.Pruner.__init__).parameters} - {"self", "technique"}
    listed = {name.strip("` ") for row in rows("Plain PyTorch", LOOPS) for name in row[0].split(",")}
    assert listed >= arguments | TechniqueOptions.__annotations__.keys()


def test_every_guide_is_linked_from_the_readme():
    readme = (GUIDES.parents[1] / "README.md").read_text(encoding="utf-8")
    for guide in GUIDES.glob("*.md"):
        assert f"docs/guides/{guide.name}" in readme


@pytest.mark.parametrize("table", [CRITERIA, BUDGETS, PATTERNS, AGGREGATES, SCOPES, CONTROLS, EDGE_POPUPS, PENALTIES])
def test_the_guide_to_techniques_names_every_one(table):
    guide = (GUIDES / "techniques.md").read_text(encoding="utf-8")
    ours = [name for name, entry in table.items() if getattr(entry, "target", "prunus.").startswith("prunus.")]
    assert [name for name in ours if f"`{name}`" not in guide and f'"{name}"' not in guide] == []
