from __future__ import annotations

import pytest
import torch

import prunus
from prunus.errors import ArgumentError, RecipeError
from prunus.experiments.recipe import Recipe
from prunus.tasks.load import load_task

SPAWNED = {"name": "spawned", "retrain": "rewind", "rewind_step": 5, "ticket": "unpruned"}
NAME = "unpruned, from step 5"


def states(history, technique):
    [run] = [run for run in history.runs() if run.technique == technique]
    return history.states(run.id)


def weights(state):
    model = load_task({"target": "tinytask:task"}).build()
    masks = state.restore(model)
    assert not masks
    return model.state_dict()


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_it_goes_on_where_the_dense_network_was_at_that_step_in_another_order(perform, fits):
    history = perform(SPAWNED)
    dense, checkpoint, sibling = fits
    assert same(checkpoint.begun_with, dense.begun_with)
    assert len(checkpoint.steps) == 5
    assert same(sibling.begun_with, dense.steps[4])
    assert len(sibling.steps) == len(dense.steps) - 5
    assert sibling.stretch.start == 5
    assert sibling.masks is None
    assert sibling.seed != dense.seed == checkpoint.seed
    start, end = states(history, NAME)
    assert same(weights(start), dense.steps[4])
    assert same(weights(end), sibling.steps[-1])
    assert not same(weights(end), dense.steps[-1])
    assert (end.record.kind, end.record.masks, end.record.parent) == ("trained", None, start.id)
    assert end.record.test is not None


def test_from_the_initialisation_it_has_one_state(perform, fits):
    history = perform({**SPAWNED, "rewind_step": 0})
    [only] = states(history, "unpruned, from step 0")
    dense, sibling = fits
    assert same(sibling.begun_with, dense.begun_with)
    assert sibling.seed != dense.seed
    assert only.record.parent == states(history, "dense")[0].id


def test_steps_differ_in_nothing_but_where_they_begin(perform, fits):
    perform({**SPAWNED, "rewind_step": 0, "each": {"rewind_step": [0, 5]}})
    ends = [fit for fit in fits if fit.stretch.stop is None and fit.seed != fits[0].seed]
    assert len(ends) == 2
    assert len({fit.seed for fit in ends}) == 1


def test_it_is_one_run_whatever_is_pruned_beside_it(works):
    kinds = {"retrain": "rewind", "rewind_step": 5, "each": {"ticket": ["found", "reordered", "unpruned"]}}
    both = works({"name": "a", **kinds}, {"name": "b", "criterion": "random", "schedule": "levels", **kinds})
    [shared] = [work for work in both if work.label == NAME]
    assert {work.label for work in both} == {"dense", "a", "a, reordered", "b", "b, reordered", NAME}
    [alone] = [work for work in works(SPAWNED, sparsities=[0.9]) if work.technique]
    assert alone.id == shared.id
    assert (alone.states_planned, alone.needs) == (2, (alone.dense,))
    [other] = [work for work in works({**SPAWNED, "rewind_step": 6}) if work.technique]
    assert other.id != alone.id


def test_it_goes_on_where_it_was_stopped(perform, interrupted_after, tmp_path):
    whole = [weights(state) for state in states(perform(SPAWNED, folder="whole"), NAME)]
    with interrupted_after(3):
        perform(SPAWNED)
    [run] = [run for run in prunus.History(tmp_path / "history").runs() if run.technique == NAME]
    assert len(prunus.History(tmp_path / "history").states(run.id)) == 1
    again = [weights(state) for state in states(perform(SPAWNED), NAME)]
    assert all(same(*pair) for pair in zip(whole, again, strict=True))


def test_it_is_no_candidate(perform):
    history = perform(SPAWNED, {"name": "pruned"})
    assert {one.technique for one in history.candidates()} == {"dense", "pruned"}


def test_a_step_that_the_training_does_not_reach_is_refused(perform):
    with pytest.raises(ArgumentError, match=r"rewind_step must be below the .* steps that the training takes, got 900"):
        perform({**SPAWNED, "rewind_step": 900})


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"ticket": "unpruned"}, "it needs retrain = 'rewind'"),
        ({"ticket": "unpruned", "retrain": "rewind", "criterion": "random"}, "nothing here looks at criterion"),
        ({"ticket": "unpruned", "retrain": "rewind", "schedule": "levels"}, "nothing here looks at schedule"),
        (
            {"retrain": "rewind", "pattern": "row", "each": {"ticket": ["unpruned"], "rewind_step": [0, 5]}},
            "nothing here looks at pattern",
        ),
    ],
)
def test_settings_that_nothing_looks_at_are_refused(values, settings, complaint):
    with pytest.raises(RecipeError, match=complaint):
        Recipe.of(values(settings))


@pytest.mark.parametrize("keys", [("rewind_step", "ticket"), ("ticket", "rewind_step")])
def test_a_control_finds_its_ticket_by_name_in_whatever_order_the_combinations_are_written(works, keys):
    values = {"rewind_step": [0, 5], "ticket": ["found", "reordered"]}
    found = works({"name": "t", "retrain": "rewind", "each": {key: values[key] for key in keys}})
    labels = [work.label for work in found if work.technique]
    assert len(labels) == 4
    assert {"t, from step 0", "t, from step 5"} < {*labels}


def test_techniques_without_a_name_are_told_apart_by_the_step_that_they_rewind_to(works):
    labels = [work.label for work in works({"retrain": "rewind", "each": {"rewind_step": [0, 5]}}) if work.technique]
    assert labels == ["magnitude, global, one-shot, rewind", "magnitude, global, one-shot, rewind to step 5"]


def test_their_name_is_no_techniques(values):
    with pytest.raises(RecipeError, match="what siblings of the dense network are called"):
        Recipe.of(values({"name": "unpruned, from step 0", "retrain": "rewind"}))
