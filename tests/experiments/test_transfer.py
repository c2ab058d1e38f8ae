from __future__ import annotations

import pytest
import torch

import prunus
from prunus.errors import MaskError, RecipeError
from prunus.experiments.base_work import with_elsewhere
from prunus.experiments.recipe import Recipe

LATE = {"name": "tickets", "schedule": "levels", "retrain": "rewind", "rewind_step": 4}
CARRIED = {**LATE, "source": "tinytask:two_classes", "each": {"carry": ["mask", "initialisation", "late"]}}


@pytest.fixture
def tried(perform, fits):
    """Name → states of the techniques on the three classes, the search on two classes, and the trainings."""
    history = perform(LATE, CARRIED)
    whole = prunus.History(history.folder)
    [search] = [
        run for run in whole.runs() if run.task == {**run.task, "target": "tinytask:two_classes"} and run.settings
    ]
    return {made.technique: history.states(made.id) for made in history.runs()}, whole.states(search.id), fits


def weights_of(state):
    return prunus.packing.unpack(state.weights()).tensors


def masks_of(state):
    return prunus.masks.storage.masks_from_bytes(state.history.blobs.get(state.record.masks))


@pytest.mark.parametrize("carry", ["mask", "initialisation", "late"])
def test_the_ticket_of_another_task_is_trained_with_the_weights_that_it_brings(tried, restored, carry):
    found, search, fits = tried
    states, own = found[f"tickets, {carry}"], found["tickets"][0].lineage()[0]
    brought = {"mask": own, "initialisation": search[0].lineage()[0], "late": search[0]}[carry]
    for position, state in enumerate(states):
        ticket = search[1 + position]
        assert state.record.parent == ticket.id
        masks = restored(state)[1]
        assert torch.equal(masks["0.weight"], masks_of(ticket)["0.weight"])
        assert masks["3.weight"].all()  # the head is new, and whole
        fit = next(
            each
            for each in fits
            if each.masks == masks and torch.equal(each.begun_with["0.bias"], weights_of(brought)["0.bias"])
        )
        assert torch.equal(fit.begun_with["0.weight"], weights_of(brought)["0.weight"] * masks["0.weight"])
        assert torch.equal(fit.begun_with["3.weight"], restored(own)[0]["3.weight"])
        assert fit.stretch.start == 0
        assert all(torch.equal(fit.steps[-1][name], weight) for name, weight in restored(state)[0].items())


def test_the_search_elsewhere_is_that_of_a_recipe_for_that_task(values):
    here = Recipe.of(values(CARRIED))
    there = Recipe.of(values(LATE, task="tinytask:two_classes"))
    hidden = {work.id for work in with_elsewhere(here.works())} - {work.id for work in here.works()}
    assert hidden == {work.id for work in there.works()}


def test_the_head_comes_with_the_ticket_where_the_classes_are_as_many(on_digits, digits):
    low, high = [*"01234"], [*"56789"]
    states = on_digits(
        {"name": "taken", "retrain": "rewind", "source": {"classes": high}},
        task={"data": "digits", "model": "mlp", "classes": low},
    )["taken"]
    for state in states:
        ticket = state.parent()
        assert masks_of(state) == masks_of(ticket)
        assert state.record.sparsity == ticket.record.sparsity
        assert prunus.History(ticket.history.folder).run(ticket.run_id).task["classes"] == high


def test_controls_of_what_was_taken_keep_its_layers_as_full(perform, restored):
    history = perform({**CARRIED, "each": {"ticket": ["found", "shuffled", "untrained"]}})
    found = {run.technique: history.states(run.id) for run in history.runs()}
    taken, random, untrained = (found[name][1] for name in ("tickets", "tickets, shuffled", "tickets, untrained"))
    assert restored(taken)[1] == restored(untrained)[1] != restored(random)[1]
    assert {name: int(mask.sum()) for name, mask in restored(random)[1].items()} == {
        name: int(mask.sum()) for name, mask in restored(taken)[1].items()
    }


@pytest.mark.parametrize("ticket", ["shuffled", "redrawn"])
def test_a_new_head_is_whole_in_random_tickets_of_a_fixed_pattern_too(on_digits, ticket):
    found = on_digits(
        {"name": "taken", "pattern": "2:4", "retrain": "rewind", "source": {"classes": [*"567"]}, "ticket": ticket},
        sparsities=[0.5],
        task={"data": "digits", "model": "mlp", "classes": [*"01234"]},
    )
    for state in found["taken"]:
        masks, taken = masks_of(state), masks_of(state.parent())
        assert masks["fc3.weight"].all()
        for name in ("fc1.weight", "fc2.weight"):
            assert masks[name].sum() == taken[name].sum() == taken[name].numel() / 2
            assert not torch.equal(masks[name], taken[name])


def test_the_dense_network_beside_it_is_that_of_its_own_task(perform):
    history = perform(CARRIED)
    dense = next(each for each in history.candidates() if each.technique == "dense")
    for candidate in history.candidates():
        for replicate in candidate.replicates:
            drop = dense.reporting("accuracy")[0] - replicate.reporting["accuracy"]
            assert replicate.reporting["accuracy_drop"] == pytest.approx(drop)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"source": "tinytask:two_classes"}, "it needs retrain = 'rewind'"),
        ({"source": "tinytask:task", "retrain": "rewind"}, "the source is the task itself"),
        ({"source": "digits", "retrain": "rewind"}, "the recipe's task is a 'module:function'"),
        ({"source": {"classes": ["0"]}, "retrain": "rewind"}, "classes must be two or more"),
        ({"source": {"modle": "mlp"}, "retrain": "rewind"}, "modle"),
        ({"carry": "mask", "retrain": "rewind"}, "carry goes with a source"),
        ({"carry": "late", "source": "tinytask:two_classes", "retrain": "rewind"}, "say which, such as rewind_step"),
        ({"ticket": "inverted", "source": "tinytask:two_classes", "retrain": "rewind"}, "on the recipe's own task"),
    ],
)
def test_what_cannot_be_transferred_is_refused(values, settings, complaint):
    with pytest.raises(RecipeError, match=complaint):
        Recipe.of(values(settings))


@pytest.mark.parametrize("taken", [{"source": "tinytask:wider"}, {"tasks": ["tinytask:task", "tinytask:wider"]}])
def test_other_inputs_are_refused(perform, taken):
    with pytest.raises(MaskError, match=r"'0\.weight' has the shape \(20, 6\) here and \(20, 8\) on another"):
        perform({"retrain": "rewind", **taken}, sparsities=[0.5])


def test_the_same_classes_in_another_order_are_the_task_itself():
    task = {"data": "digits", "model": "mlp", "classes": ["0", "1"]}
    technique = {"retrain": "rewind", "source": {"classes": ["1", "0"]}}
    with pytest.raises(RecipeError, match="the source is the task itself"):
        Recipe.of({"sparsities": [0.5], "task": task, "technique": [technique]})


@pytest.mark.parametrize("taken", [{"source": "mnist"}, {"tasks": ["mnist", "mnist5k"]}])
def test_tickets_that_have_seen_the_test_examples_are_refused(values, taken):
    task = {"data": "mnist5k", "model": "lenet-300-100"}
    with pytest.raises(RecipeError, match="the test examples of mnist5k are among those that mnist trains on"):
        Recipe.of(values({"retrain": "rewind", **taken}, task=task))
    Recipe.of(values({"retrain": "rewind", "source": "mnist5k"}, task={**task, "data": "mnist"}))
    others = {"source": {"data": "mnist", "classes": ["2", "3"]}}
    Recipe.of(values({"retrain": "rewind", **others}, task={**task, "classes": ["0", "1"]}))


def test_a_source_that_is_a_function_goes_with_such_a_task_alone():
    values = {"sparsities": [0.5], "task": {"data": "digits", "model": "mlp"}}
    with pytest.raises(RecipeError, match="name data instead"):
        Recipe.of({**values, "technique": [{"retrain": "rewind", "source": {"target": "tinytask:task"}}]})
