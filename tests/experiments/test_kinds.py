from __future__ import annotations

import json
import re
import tomllib

import jsonschema
import pytest

import prunus
from prunus.errors import RecipeError
from prunus.experiments.base_work import BaseWork
from prunus.experiments.kinds import PERFORMERS, RECIPES, kind_of, recipe_schema
from prunus.experiments.performer import Performer
from prunus.experiments.reading import shipped_recipes
from prunus.experiments.recipe import Recipe

VALUES = {  # a small recipe of every kind
    "network": {"sparsities": [0.5], "task": {"data": "digits", "model": "mlp"}, "technique": [{}]},
    "trees": {"sparsities": [0.5], "task": {"data": "digits", "model": "random-forest"}, "technique": [{}]},
}
KINDS = sorted(RECIPES)
SEEDS = {"init": 1, "order": 1, "pruning": 1}


def test_every_kind_has_a_recipe_and_a_performer_and_is_tried_here():
    assert KINDS == sorted(PERFORMERS) == sorted(VALUES)
    for kind, values in VALUES.items():
        recipe = Recipe.of(values)
        assert type(recipe) is RECIPES[kind].load()
        assert isinstance(recipe, Recipe)
        assert kind_of(values) == kind
        assert issubclass(PERFORMERS[kind].load(), Performer)
        assert {work.kind for work in recipe.works()} == {kind}
        assert all(isinstance(work, BaseWork) for work in recipe.works())


@pytest.mark.parametrize("values", [{}, {"task": 3}, {"task": "my:task"}, {"task": {"model": None}}, {"task": {}}])
def test_what_says_of_no_kind_is_read_as_a_network(values):
    assert kind_of(values) == "network"
    with pytest.raises(RecipeError, match="technique: is missing"):
        Recipe.of(values)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [0, 1, 0]}, "seeds: seeds must differ, got 0, 1, 0"),
        ({"seeds": [1, SEEDS]}, "seeds: seeds must differ, got 1, {init=1 order=1 pruning=1}"),
        ({"seeds": [-1]}, "seeds.0: must be at least 0, got -1"),
        ({"seeds": [True]}, "seeds.0: must be a whole number, got True"),
        ({"seeds": []}, "seeds: must hold at least 1, got []"),
        ({"seeds": 3}, "seeds: must be a list: write [0, 1, 2] for three seeds, [3] for the seed 3"),
        ({"seeds": [{"init": 1}]}, "seeds.0.order: is missing"),
        ({"sparsities": [0.5, 0.5]}, "sparsities must rise and be above 0, got [0.5, 0.5]"),
        ({"sparsities": [90]}, "sparsity must lie in [0, 1), got 90"),
        ({"technique": []}, "technique: must hold at least 1, got []"),
        ({"technique": [{}, {}]}, "technique.1.name in technique number 2: two techniques are called "),
        ({"technique": [{"name": "dense"}]}, "'dense' is the name of what is not pruned: call it something else"),
        ({"choose": {"by": "speed"}}, "choose.by: no metric is named 'speed'"),
        ({"choose": {"accuracy_drop_at_mots": 1}}, "did you mean 'accuracy_drop_at_most'?"),
        ({"titel": "?"}, "titel: there is no such key: allowed are choose, seeds, sparsities, task, technique, title"),
    ],
)
def test_what_the_kinds_share_is_checked_alike(kind, changes, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        Recipe.of({**VALUES[kind], **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_replicates_that_differ_in_pruning_alone_start_from_the_same(kind):
    recipe = Recipe.of({**VALUES[kind], "seeds": [0, {"init": 0, "order": 0, "pruning": 1}]})
    dense, *techniques = recipe.works()
    assert [work.technique is None for work in [dense, *techniques]] == [True, False, False]
    assert {work.dense.id for work in techniques} == {dense.id}
    assert len({work.id for work in techniques}) == 2


def test_no_two_kinds_share_an_id():
    ids = [{each.id for each in [recipe, *recipe.works()]} for recipe in map(Recipe.of, VALUES.values())]
    assert not ids[0] & ids[1]


def test_outcomes_of_all_kinds_are_recorded_for_the_same_classes_of_the_same_examples(tmp_path):
    models = {"network": "mlp", "trees": "decision-tree"}
    training = {"network": {"epochs": 1}, "trees": {}}
    found = {}
    for kind in KINDS:
        values = {**VALUES[kind], "seeds": [0], "task": {"data": "wine", "model": models[kind]}}
        history = prunus.run({**values, "training": training[kind]}, history=tmp_path / kind, jobs=1)
        states = [state.record for state in history.states()]
        assert {state.kind for state in states} >= {"trained", "pruned"}
        for state in states:
            for outcome in (state.validation, state.test):
                assert outcome.accuracy == sum(each.correct for each in outcome.classes) / 40
        found[kind] = {
            tuple((each.name, each.count) for each in outcome.classes)
            for state in states
            for outcome in (state.validation, state.test)
        }
        pruned = next(each for each in history.candidates() if each.technique != "dense")
        drop, worst = (pruned.replicates[0].reporting[name] for name in ("accuracy_drop", "worst_class_drop"))
        assert worst >= drop
    assert found["network"] == found["trees"]


@pytest.fixture(scope="module")
def schema():
    found = json.loads(json.dumps(recipe_schema()))
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


RICH = {
    "network": {
        "title": "?",
        "seeds": [0, SEEDS],
        "task": {"data": "mnist5k", "model": "lenet-5", "augment": False},
        "training": {"epochs": 2, "optimizer": "sgd", "momentum": 0.9},
        "technique": [{"each": {"criterion": ["random", "magnitude"]}}, {"schedule": "cubic", "name": "b"}],
        "choose": {"by": "size_bytes", "accuracy_drop_at_most": 0.1},
    },
    "trees": {
        "title": "?",
        "seeds": [0, SEEDS],
        "sparsities": [],
        "training": {"pruning_fraction": 0.1, "parameters": {"max_depth": 3}},
        "technique": [{"method": "reduced-error", "choice": "own"}, {"method": "error-based", "choice": "own"}],
        "choose": {"by": "size_bytes", "accuracy_drop_at_most": 0.1},
    },
}


def test_the_schema_allows_what_recipes_allow(schema):
    allowed = [*map(tomllib.loads, shipped_recipes().values())]
    for kind, values in VALUES.items():
        allowed += [values, {**values, **RICH[kind]}]
        allowed += [{**values, "task": {**values["task"], "data": "my_data:digits"}}]
    for task in ("my_task:task", {"target": "my.tasks:task"}, {"data": "digits", "model": "my_model:model"}):
        allowed.append({**VALUES["network"], "task": task})
    allowed.append({**VALUES["trees"], "technique": [{"method": "my_method:Deepest"}]})
    for recipe in allowed:
        schema.validate(recipe)
        Recipe.of(recipe)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changes",
    [
        {"titel": "?"},
        {"seeds": []},
        {"seeds": [0, 0]},
        {"seeds": ["a"]},
        {"seeds": [-1]},
        {"seeds": [{"init": 1}]},
        {"sparsities": "a"},
        {"sparsities": [90]},
        {"sparsities": [0.5, 0.5]},
        {"task": "digits"},
        {"task": {"data": "digits"}},
        {"task": {"data": "digit", "model": "mlp"}},
        {"task": {"data": "digit", "model": "decision-tree"}},
        {"task": {"data": "digits", "model": "decision-forest"}},
        {"technique": []},
        {"technique": [{"fractoin": 0.5}]},
        {"choose": {"by": "speed"}},
        {"choose": {"accuracy_drop_at_mots": 0.1}},
        {"choose": {"accuracy_drop_at_most": "little"}},
    ],
)
def test_the_schema_refuses_what_no_recipe_allows(schema, kind, changes):
    recipe = {**VALUES[kind], **changes}
    assert not schema.is_valid(recipe)
    with pytest.raises(RecipeError):
        Recipe.of(recipe)


@pytest.mark.parametrize(
    "changes",
    [
        {"technique": [{"criterion": "magnitude"}]},
        {"training": {"epochs": 3}},
        {"task": {"data": "digits", "model": "decision-tree", "augment": True}},
        {"technique": [{"method": "magnitude"}]},
        {"technique": [{"choice": "mine"}]},
        {"training": {"pruning_fraction": 1.0}},
    ],
)
def test_keys_of_a_network_are_none_of_trees(schema, changes):
    assert not schema.is_valid({**VALUES["trees"], **changes})
    with pytest.raises(RecipeError):
        Recipe.of({**VALUES["trees"], **changes})


@pytest.mark.parametrize("changes", [{"technique": [{"method": "random"}]}, {"training": {"pruning_fraction": 0.2}}])
def test_keys_of_trees_are_none_of_a_network(schema, changes):
    assert not schema.is_valid({**VALUES["network"], **changes})
    with pytest.raises(RecipeError):
        Recipe.of({**VALUES["network"], **changes})
