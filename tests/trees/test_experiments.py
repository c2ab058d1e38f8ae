from __future__ import annotations

import json
import re
import tomllib

import numpy as np
import pytest
from typer.testing import CliRunner

import prunus
from prunus.cli.app import app
from prunus.errors import DataError, RecipeError, TrainingError
from prunus.experiments.own_names import require_own
from prunus.experiments.performing import perform
from prunus.experiments.recipe import Recipe
from prunus.experiments.tree_recipe import TreeRecipe
from prunus.history.store import History
from prunus.tasks.load import load_data
from prunus.trees import unpack
from prunus.trees.evaluation import cost, evaluate

RECIPE = """
title = "Which nodes are unnecessary?"
seeds = [0, 1]
sparsities = [0.3, 0.6]
task = {data = "wine", model = "decision-tree"}

[training]
parameters = {min_samples_leaf = 2}

[[technique]]
method = "cost-complexity"

[[technique]]
method = "reduced-error"
choice = "own"

[[technique]]
method = "random"

[choose]
by = "accuracy"
sparsity_at_least = 0.3
"""


def recipe_with(**changes):
    return {**tomllib.loads(RECIPE), **changes}


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    return prunus.run(recipe_with(), history=tmp_path_factory.mktemp("history"), jobs=1)


def test_a_recipe_whose_model_is_a_tree_is_one_for_trees():
    recipe = Recipe.of(recipe_with())
    assert isinstance(recipe, TreeRecipe)
    assert [technique.label for technique in recipe.techniques] == [
        "cost-complexity",
        "reduced-error by its own choice",
        "random",
    ]
    assert recipe.id == Recipe.of(json.loads(recipe.model_dump_json())).id
    assert recipe.id != Recipe.of(recipe_with(seeds=[0, 2])).id


def test_every_state_is_recorded_with_its_outcome_for_every_class(history):
    names = load_data("wine").class_names
    runs = {(run.technique, run.seed): run for run in history.runs()}
    assert len(runs) == 8
    for run in runs.values():
        states = [state.record for state in history.states(run.id)]
        assert len(states) == run.states_planned == (2 if run.sparsities else 1)
        for state in states:
            assert tuple(each.name for each in state.test.classes) == names
            assert sum(each.correct for each in state.test.classes) / 40 == state.test.accuracy
            assert (state.parent is None) == (run.technique == "dense")
            if state.pruning:
                assert state.cost.parameters == sum(each.kept for each in state.pruning.tensors.values())
            assert state.cost.size_bytes == len(history.state(state.id).weights())


def test_the_recorded_estimators_do_what_is_recorded(history):
    data = load_data("wine")
    for state in history.states():
        estimator = unpack(state.weights())
        found = evaluate(estimator, data.test.inputs.numpy(), data.test.targets.numpy(), data.class_names)
        assert found == state.record.test
        if state.record.pruning:
            whole = unpack(state.parent().weights())
            reached = 1 - estimator.tree_.node_count / whole.tree_.node_count
            assert state.record.sparsity == pytest.approx(reached)
            unpruned = state.parent().record.cost.size_bytes
            assert state.record.cost == cost(estimator, unpruned)
            assert state.record.cost.dense_size_bytes == unpruned


def test_what_is_not_held_out_is_grown_from_and_the_validation_split_is_left_alone(history):
    for run in history.runs():
        if run.technique == "dense":
            (state,) = history.states(run.id)
            assert unpack(state.weights()).tree_.n_node_samples[0] == 98 - sum(
                round(0.25 * count) for count in load_data("wine").train.targets.bincount().tolist()
            )
            assert run.training == {"parameters": {"min_samples_leaf": 2}}


def test_an_own_choice_stands_at_the_sparsity_that_it_reached_on_average(history):
    found = {
        candidate.technique: candidate for candidate in history.candidates() if "own choice" in candidate.technique
    }
    candidate = found["reduced-error by its own choice"]
    assert candidate.requested_sparsity == round(np.mean(candidate.reporting("sparsity")), 4) > 0
    assert len(candidate.replicates) == 2


def test_a_choice_is_made_as_among_networks(history):
    choice = history.best(sparsity_at_least=0.3)
    assert choice.replicate.reporting["compression"] > 1
    assert choice.candidate.requested_sparsity >= 0.3


def test_the_same_recipe_again_does_nothing_and_a_lost_state_comes_back_the_same(history, tmp_path):
    again = prunus.run(recipe_with(), history=tmp_path / "other", jobs=1)
    assert {state.id: state.record.weights for state in again.states()} == {
        state.id: state.record.weights for state in history.states()
    }
    work = next(work for work in Recipe.of(recipe_with()).works() if work.label == "cost-complexity")
    lost = again.state(work.state_id(1))
    before = lost.record
    (again.folder / lost.place.path).unlink()
    reopened = History(again.folder)
    assert not reopened.complete(work.id)
    perform(work, reopened)
    assert reopened.state(before.id).record.weights == before.weights


def test_data_that_change_behind_their_name_are_refused(tmp_path, monkeypatch):
    values = recipe_with(seeds=[0])
    prunus.run(values, history=tmp_path, jobs=1)
    changed = load_data("wine")
    changed.train.inputs[0, 0] += 1
    monkeypatch.setattr("prunus.experiments.tree_making.load_data", lambda name: changed)
    with pytest.raises(DataError, match="the data of 'wine' have changed since run"):
        prunus.run(values, history=tmp_path, jobs=1)


@pytest.mark.parametrize("model", ["random-forest", "extra-trees", "extra-tree"])
def test_every_model_is_grown_and_pruned(model, tmp_path):
    forest = model != "extra-tree"
    values = recipe_with(
        seeds=[{"init": 1, "order": 2, "pruning": 3}],
        task={"data": "wine", "model": model},
        training={"parameters": {"n_estimators": 4} if forest else {}},
        technique=[{"method": "margin-distance" if forest else "minimum-error", "settings": {}}],
    )
    history = prunus.run(values, history=tmp_path, jobs=1)
    states = [state.record for state in history.states() if state.record.pruning]
    assert [state.pruning.pattern for state in states] == ["tree" if forest else "node"] * 2
    assert [state.pruning.requested_sparsity for state in states] == [0.3, 0.6]
    removed = [sum(not each.kept for each in state.pruning.tensors.values()) for state in states]
    assert (removed[0] <= removed[1] and removed[1] > 0) if forest else removed == [0, 0]


def test_without_examples_held_out_all_are_grown_from(tmp_path):
    values = recipe_with(
        seeds=[0], training={"pruning_fraction": 0}, technique=[{"method": "cost-complexity", "choice": "own"}]
    )
    history = prunus.run(values, history=tmp_path, jobs=1)
    assert {unpack(state.weights()).tree_.n_node_samples[0] for state in history.states()} == {98}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sparsities": []}, "technique.0.choice in technique number 1: there are no sparsities to reach"),
        ({"sparsities": [0.5, 0.4]}, "sparsities must rise and be above 0"),
        ({"sparsities": [1.5]}, "sparsit"),
        ({"seeds": [0, 0]}, "seeds must differ, got 0, 0"),
        ({"training": {"epochs": 3}}, "training.epochs: there is no such key: allowed are parameters"),
        ({"training": {"parameters": {"max_dept": 3}}}, "did you mean 'max_depth'?"),
        ({"training": {"parameters": {"random_state": 3}}}, "random_state: is that of seeds: leave it out"),
        ({"training": {"pruning_fraction": 1.0}}, "training.pruning_fraction: must be below 1"),
        ({"training": {"pruning_fraction": 0}}, "'reduced-error' judges by examples held out"),
        ({"technique": [{"method": "reduced-errors"}]}, "did you mean 'reduced-error'?"),
        ({"technique": [{"method": "complementarity"}]}, "removes whole trees of a forest, and a decision-tree is one"),
        ({"technique": [{"method": "error-based", "settings": {"confidense": 1}}]}, "did you mean 'confidence'?"),
        ({"technique": [{"method": "error-based", "settings": {"confidence": 9}}]}, r"confidence must lie in (0, 1)"),
        ({"technique": [{"name": "dense"}]}, "'dense' is the name of what is not pruned"),
        ({"technique": [{"name": "a"}, {"name": "a"}]}, "two techniques are called 'a'"),
        ({"technique": [{"choice": "mine"}]}, "must be 'sparsities' or 'own'"),
        (
            {"technique": [{"criterion": "magnitude"}]},
            "there is no such key: allowed are choice, method, name, settings",
        ),
        ({"task": {"data": "wines", "model": "decision-tree"}}, "did you mean 'wine'?"),
        ({"task": {"data": "wine", "model": "decision-tree", "augment": True}}, "there is no such key"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_what_is_allowed(changes, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        Recipe.of(recipe_with(**changes))


def test_a_value_that_scikit_learn_refuses_is_told_by_the_run(tmp_path):
    with pytest.raises(TrainingError, match=r"scikit-learn cannot grow a decision-tree: .*'max_depth' parameter"):
        prunus.run(recipe_with(seeds=[0], training={"parameters": {"max_depth": -1}}), history=tmp_path, jobs=1)


def test_a_method_of_ones_own_is_named_by_its_module(tmp_path, monkeypatch):
    (tmp_path / "mymethod.py").write_text(
        "from prunus.trees.method import NodeMethod\n"
        "class Deepest(NodeMethod):\n"
        "    def scores(self, subject):\n        return -subject.grown.nodes.depth.astype(float)\n"
        "    def threshold(self, subject, scores):\n        return -2.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    values = recipe_with(seeds=[0], technique=[{"method": "mymethod:Deepest", "choice": "own"}])
    history = prunus.run(values, history=tmp_path / "history", jobs=1)
    (state,) = [state for state in history.states() if state.record.pruning]
    assert unpack(state.weights()).get_depth() == 2
    assert "source of mymethod:Deepest" in history.run(state.run_id).settings


def test_what_is_ones_own_is_tried_before_anything_runs(tmp_path, monkeypatch):
    (tmp_path / "mysettings.py").write_text(
        "from dataclasses import dataclass\n"
        "from prunus.trees.methods.random import Random\n"
        "@dataclass(frozen=True)\n"
        "class Mine(Random):\n"
        "    wild: bool = False\n"
        "    def __post_init__(self):\n        assert not self.wild, 'too wild'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def complaint(**technique):
        (tmp_path / "my.toml").write_text(RECIPE)
        changes = [f"technique.0.{key}={json.dumps(value)}" for key, value in technique.items()]
        recipe = Recipe.load(tmp_path / "my.toml", changes)
        with pytest.raises(RecipeError) as caught:
            require_own(recipe, tmp_path / "my.toml", changes)
        return str(caught.value).split("\n")

    (line,) = complaint(method="mysettings:Mime")
    assert "no attribute of mysettings is named 'Mime'" in line
    (line,) = complaint(method="mysettings:Mine", **{"settings.sed": 1})
    assert "with --set technique.0.settings.sed=1: technique.0.settings in technique number 1: no setting" in line
    assert "no setting of Mine is named 'sed': there are seed, wild; did you mean 'seed'?" in line
    (line,) = complaint(method="mysettings:Mine", **{"settings.wild": True})
    assert "'mysettings:Mine' raised AssertionError: too wild" in line
    (line,) = complaint(method="nowhere:Mine", **{"settings.sed": 1})
    assert "cannot import 'nowhere'" in line


def test_the_program_runs_and_shows_it(tmp_path):
    (tmp_path / "trees.toml").write_text(RECIPE)
    runner = CliRunner()
    asked = [str(tmp_path / "trees.toml"), "--set", "seeds=[0]"]
    checked = runner.invoke(app, ["check", *asked])
    assert "3 techniques over 1 seed at 2 sparsities: 4 runs, 6 models to train and evaluate" in checked.output
    done = runner.invoke(app, ["run", *asked, "--history", str(tmp_path / "history"), "--jobs", "1"])
    assert done.exit_code == 0, done.output
    report = next((tmp_path / "history").rglob("report.html"))
    assert "reduced-error by its own choice" in report.read_text("utf-8")
    history = History(tmp_path / "history")
    run = next(run for run in history.runs() if run.technique == "cost-complexity")
    shown = runner.invoke(app, ["show", run.id, "--history", str(tmp_path / "history")])
    assert "cost-complexity" in shown.output
    shipped = next((tmp_path / "history").rglob("model.safetensors"))
    assert unpack(shipped.read_bytes()).tree_.node_count > 0
