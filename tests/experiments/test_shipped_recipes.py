from __future__ import annotations

import re

import pytest

from prunus.cli.verdict import print_outcome
from prunus.experiments.recipe import Recipe
from prunus.experiments.runner import run
from prunus.report.evidence import gather
from prunus.tickets import compare, gather_rounds, gather_tickets, judge, stability
from prunus.trees.table import METHODS

OWN_CHOICE = [name for name in METHODS if name != "random"]


def test_the_recipes_for_trees_compare_every_method_at_every_sparsity_with_the_control():
    compared = {name: {each.method for each in Recipe.load(name).techniques} for name in ("trees", "forests")}
    of_nodes = {name for name in METHODS if "forest" not in METHODS[name].needs}
    assert compared == {"trees": of_nodes, "forests": {*METHODS}}
    for name, methods in compared.items():
        recipe = Recipe.load(name)
        at_sparsities = [each.method for each in recipe.techniques if each.choice == "sparsities"]
        assert sorted(at_sparsities) == sorted(methods)
        assert len(recipe.seeds) >= 3
        assert len(recipe.sparsities) >= 4
    own = {each.method for name in compared for each in Recipe.load(name).techniques if each.choice == "own"}
    assert own == set(OWN_CHOICE)


@pytest.mark.parametrize("name", ["trees", "forests"])
def test_on_their_data_methods_are_better_than_the_control(name, tmp_path, capsys, monkeypatch):
    recipe = Recipe.load(name, ["seeds=[0, 1]", "sparsities=[0.8]"])
    history = run(recipe, history=tmp_path, jobs=1)
    candidates = history.candidates()
    techniques = {each.technique for each in candidates}
    assert techniques == {"dense", *(each.label for each in recipe.techniques)}
    accuracy = {
        each.technique: sum(each.reporting("accuracy")) / 2
        for each in candidates
        if each.requested_sparsity in (0.0, 0.8)
    }
    best = max(value for technique, value in accuracy.items() if technique != "dense")
    assert accuracy["random"] + 0.01 < best < accuracy["dense"]
    choice = history.best(metric=recipe.choose.by, **recipe.choose.constraints)
    assert choice.replicate.reporting["compression"] > 1.5
    monkeypatch.setenv("COLUMNS", "140")
    evidence = gather(history, recipe.id)
    print_outcome(evidence)
    shown = capsys.readouterr().out
    for technique in techniques:
        name = re.escape(evidence.short[technique])
        assert re.search(rf"^ *\d* *{name}:?  ?.*\d\d\.\d ±", shown, re.MULTILINE), technique


def test_the_recipe_for_tickets_has_what_each_of_their_commands_asks_for(tmp_path):
    fewer = ["seeds=[0, 1]", "sparsities=[0.487]", "task.data=digits", "task.model=mlp", "training.epochs=1"]
    history = run(Recipe.load("lottery-tickets", fewer), history=tmp_path, jobs=1)
    tickets = gather_tickets(history)
    [found, once] = judge(tickets)
    assert set(found.to_controls) == {"reinitialised", "shuffled", "reordered"}
    assert not once.to_controls
    assert [each.ticket.kind for each in stability(history, tickets, 3)] == ["unpruned", "found"]
    last = next(each for each in gather_rounds(history) if each.sparsity == 0.487)
    assert {pair.first for pair in compare(last.masks)} >= {"tickets", "one-shot tickets", "fine-tuned", "supermasks"}
