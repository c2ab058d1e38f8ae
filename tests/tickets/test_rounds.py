from __future__ import annotations

import pytest

import prunus
from prunus.errors import SelectionError
from prunus.evaluation.connectivity import effective_masks
from prunus.schedules.rounds import rounds_to
from prunus.tasks.load import load_task
from prunus.tickets import Round, compare, found_masks, gather_rounds, round_at

TASK = {"data": "digits", "model": "mlp"}
RECIPE = {
    "seeds": [0, 1],
    "sparsities": [0.5, 0.995],
    "task": TASK,
    "training": {"epochs": 1},
    "technique": [
        {
            "name": "found",
            "schedule": "iterative",
            "fraction": 0.7,
            "retrain": "rewind",
            "each": {"ticket": ["found", "reordered"]},
        },
        {"name": "tuned", "schedule": "iterative", "fraction": 0.7},
        {"name": "once", "criterion": "random"},
        {"name": "own", "movement": "soft", "strength": 1e-3},
    ],
}
LEVELS = rounds_to([0.5, 0.995], 0.7)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    return prunus.run(RECIPE, history=tmp_path_factory.mktemp("history"), jobs=1)


def test_every_recorded_sparsity_is_a_round_those_in_between_too(history):
    rounds = gather_rounds(history)
    assert len(LEVELS) == 5
    assert [each.sparsity for each in rounds] == LEVELS
    for each in rounds:
        in_recipe = each.sparsity in RECIPE["sparsities"]
        assert [*each.states] == ["found", "tuned", *(["once"] if in_recipe else [])]
        assert each.targets == (6 if in_recipe else 0)
        assert all([*states] == [0, 1] for states in each.states.values())


def test_masks_of_a_round_are_those_that_its_states_restore(history):
    [middle] = [each for each in gather_rounds(history) if each.sparsity == LEVELS[2]]
    for technique, several in middle.masks.items():
        for seed, masks in several.items():
            state = middle.states[technique][seed]
            assert masks == state.restore(load_task(TASK).build())
            assert masks.sparsity == pytest.approx(LEVELS[2], abs=1e-3)
    pairs = {(each.first, each.second) for each in compare(middle.masks)}
    assert pairs == {("found", "found"), ("found", "tuned"), ("tuned", "tuned")}


def test_how_sparse_they_are_in_effect_is_counted_over_the_weights_in_scope(history):
    last = gather_rounds(history)[-1]
    task, counted = load_task(TASK), []
    for state in last.states["once"].values():
        model = task.build()
        masks = state.restore(model)
        effective = effective_masks(model, task.data.test.inputs[:1])
        counted.append(1 - sum(int(effective[name].sum()) for name in masks) / masks.total)
    reached = last.reached["once"]
    assert reached.effective.mean == pytest.approx(sum(counted) / 2)
    assert reached.sparsity.mean == pytest.approx(0.995, abs=1e-3)
    assert reached.effective.mean > reached.sparsity.mean + 1e-4  # random masks leave loose ends


def test_the_round_that_is_looked_at_is_the_highest_that_most_have_or_the_one_asked_for(history):
    rounds = gather_rounds(history)
    assert round_at(rounds).sparsity == 0.995
    assert round_at(rounds, 0.5).sparsity == 0.5
    assert round_at(rounds, round(LEVELS[2], 4)).sparsity == LEVELS[2]
    assert found_masks(history, None, 0.5)[0] == 0.5
    there = ", ".join(f"{each:.4g}" for each in LEVELS)
    with pytest.raises(SelectionError, match=f"no masks at sparsity 0.7: it has some at {there}"):
        round_at(rounds, 0.7)
    with pytest.raises(SelectionError, match="no masks at sparsity nan"):
        round_at(rounds, float("nan"))


def test_most_states_of_the_recipe_come_before_a_higher_sparsity():
    assert round_at([Round(0.5, {}, 4), Round(0.7, {}, 0), Round(0.8, {}, 4), Round(0.9, {}, 2)]).sparsity == 0.8


def test_an_experiment_in_which_nothing_was_pruned_to_a_sparsity_is_refused(tmp_path):
    own = {**RECIPE, "seeds": [0], "technique": [{"movement": "soft", "strength": 1e-3}]}
    with pytest.raises(SelectionError, match="has no masks: nothing in it was pruned to a sparsity"):
        gather_rounds(prunus.run(own, history=tmp_path, jobs=1))
