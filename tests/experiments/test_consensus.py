from __future__ import annotations

import pytest
import torch

import prunus
from prunus.errors import MaskError, RecipeError
from prunus.experiments.base_work import with_elsewhere
from prunus.experiments.recipe import Recipe
from prunus.tickets import vote

FIVE = {"name": "tickets", "schedule": "levels", "retrain": "rewind", "searches": 5}


@pytest.fixture
def tried(perform):
    """Run techniques; name → their states, and the whole history, the searches in other orders with it."""

    def run(*techniques, **changes):
        history = perform(*techniques, **changes)
        return {made.technique: history.states(made.id) for made in history.runs()}, prunus.History(history.folder)

    return run


def masks_of(history, state):
    return prunus.masks.storage.masks_from_bytes(history.blobs.get(history.state(state).record.masks))


@pytest.mark.parametrize("share", [1, 0.6, 0.2])
def test_what_enough_of_the_searches_keep_is_trained_from_the_first_weights(tried, restored, fits, share):
    found, whole = tried({**FIVE, "vote": share})
    states = found["magnitude, global, levels, rewind"]
    for position, state in enumerate(found["tickets"]):
        voters = state.record.voters
        assert len({*voters}) == 5
        assert voters[0] == state.record.parent == states[position].id
        masks = [masks_of(whole, each) for each in voters]
        assert len({each.digest() for each in masks}) == 5
        agreed = vote(masks, share).masks
        for name, mask in restored(state)[1].items():
            assert torch.equal(mask, agreed[name]) or name in state.record.pruning.protected
        [fit] = [each for each in fits if each.masks == restored(state)[1]]
        first, _ = restored(state.lineage()[0])
        assert all(torch.equal(fit.begun_with[name], first[name] * mask) for name, mask in fit.masks.items())


def test_searches_differ_in_the_order_of_the_data_alone_and_are_not_shown(tried, restored):
    found, whole = tried(FIVE)
    assert {*found} == {"dense", "magnitude, global, levels, rewind", "tickets"}
    voters = [whole.state(each) for each in found["tickets"][0].record.voters]
    runs = [whole.run(each.run_id) for each in voters]
    assert len({run.seeds["init"] for run in runs}) == 1
    assert len({run.seeds["order"] for run in runs}) == 5
    firsts = [restored(each.lineage()[0])[0] for each in voters]
    assert all(torch.equal(each[name], weight) for each in firsts for name, weight in firsts[0].items())
    dense = [each.lineage()[1].id for each in voters]
    assert len({*dense}) == 5


def test_the_candidate_stands_at_the_sparsity_that_comes_of_the_vote(tried, perform):
    found, _ = tried(FIVE)
    candidates = [each for each in perform(FIVE).candidates() if each.technique == "tickets"]
    reached = [state.record.sparsity for state in found["tickets"]]
    assert [each.requested_sparsity for each in candidates] == pytest.approx(reached, abs=1e-4)
    assert reached[0] > 0.5
    assert [state.record.requested_sparsity for state in found["tickets"]] == [0.5, 0.8]


def test_bespoke_tickets_and_random_ones_are_as_sparse_as_the_consensus(tried, restored):
    found, whole = tried({**FIVE, "schedule": "iterative", "each": {"ticket": ["found", "shuffled", "bespoke"]}})
    for position, agreed in enumerate(found["tickets"]):
        bespoke, random = found["tickets, bespoke"][position], found["tickets, shuffled"][position]
        kept = restored(agreed)[1].kept
        assert restored(bespoke)[1].kept == kept
        assert {name: int(mask.sum()) for name, mask in restored(random)[1].items()} == {
            name: int(mask.sum()) for name, mask in restored(agreed)[1].items()
        }
        # One search goes on from the last ticket that it has found on the way.
        parent = whole.state(bespoke.record.parent)
        assert parent.run_id == whole.state(agreed.record.parent).run_id
        assert (restored(bespoke)[1] - restored(parent)[1]).kept == 0
        assert parent.record.sparsity <= agreed.record.sparsity


def test_a_bespoke_ticket_of_a_union_is_found_on_the_way(tried, restored):
    union = {**FIVE, "schedule": "iterative", "fraction": 0.1, "vote": 0.2, "ticket": "bespoke"}
    found, whole = tried(union, sparsities=[0.8])
    [bespoke] = found["tickets"]
    assert bespoke.record.sparsity < 0.8
    parent = whole.state(bespoke.record.parent)
    assert 0 < parent.record.sparsity <= bespoke.record.sparsity
    assert whole.children_of(parent)


def test_one_shot_consensus_has_a_bespoke_ticket_of_one_shot(tried, restored):
    found, _ = tried({**FIVE, "schedule": "one-shot", "each": {"ticket": ["found", "bespoke"]}})
    for agreed, bespoke in zip(found["tickets"], found["tickets, bespoke"], strict=True):
        assert bespoke.parent().record.kind == "trained"
        assert restored(bespoke)[1].kept == restored(agreed)[1].kept


@pytest.mark.parametrize("protect", [True, False])
def test_a_layer_in_which_nothing_has_enough_votes_keeps_what_has_the_most(tried, restored, protect):
    random = {**FIVE, "criterion": "random", "scope": "layer", "protect": protect}
    found, whole = tried(random, sparsities=[0.9])
    [state] = found["tickets"]
    masks = [masks_of(whole, each) for each in state.record.voters]
    assert not any(mask.any() for mask in vote(masks).masks.values())
    for name, mask in restored(state)[1].items():
        votes = sum(each[name].int() for each in masks)
        assert torch.equal(mask, votes == votes.max() if protect else torch.zeros_like(mask))
    assert {*state.record.pruning.protected} == ({"0.weight", "3.weight"} if protect else set())


def test_a_search_that_has_gone_as_far_has_the_bespoke_ticket(tried, restored):
    same = {**FIVE, "criterion": "large-initial", "each": {"ticket": ["found", "bespoke"]}}
    found, whole = tried(same, training={"epochs": 3, "evaluate_every": 2})
    for agreed, bespoke in zip(found["tickets"], found["tickets, bespoke"], strict=True):
        ticket = whole.state(agreed.record.parent).record
        assert agreed.record.weights == bespoke.record.weights == ticket.weights
        assert agreed.record.curve == bespoke.record.curve == ticket.curve != ()
        assert bespoke.record.training_loss == ticket.training_loss


def test_names_that_are_made_are_no_ones_else(perform):
    iterative = {"schedule": "iterative", "retrain": "rewind"}
    coarse = {**iterative, "fraction": 0.5, "name": "coarse, at random", "ticket": "shuffled"}
    history = perform(iterative, coarse, {**coarse, "fraction": 0.4, "name": "middling, at random"})
    names = [run.technique for run in history.runs() if run.settings]
    assert len(names) == len({*names}) == 5
    assert {"magnitude, global, iterative, rewind", "magnitude, global, iterative, rewind (2)"} < {*names}
    of = {run.technique: run.settings.get("fraction", 0.2) for run in history.runs()}
    assert of["magnitude, global, iterative, rewind"] == 0.2


def test_tasks_search_from_the_same_first_weights_and_vote_where_layers_are_alike(tried, restored):
    both = {"name": "both", "retrain": "rewind", "tasks": ["tinytask:task", "tinytask:two_classes"]}
    found, whole = tried(both, sparsities=[0.5])
    [state] = found["both"]
    own, other = (masks_of(whole, each) for each in state.record.voters)
    agreed = restored(state)[1]
    assert torch.equal(agreed["0.weight"], own["0.weight"] & other["0.weight"])
    assert torch.equal(agreed["3.weight"], own["3.weight"])  # the head that tells three classes apart
    first = whole.state(state.record.voters[1]).lineage()[0]
    weights = prunus.packing.unpack(first.weights()).tensors["0.weight"]
    assert torch.equal(weights, restored(state.lineage()[0])[0]["0.weight"])


def test_a_network_that_draws_its_weights_in_another_order_begins_with_the_same_ones(tried, restored):
    both = {"name": "both", "retrain": "rewind", "tasks": ["tinytask:task", "tinytask:head_first"]}
    found, whole = tried(both, sparsities=[0.5])
    [state] = found["both"]
    first = whole.state(state.record.voters[1]).lineage()[0]
    weights = prunus.packing.unpack(first.weights()).tensors
    own = restored(state.lineage()[0])[0]
    assert torch.equal(weights["0.weight"], own["0.weight"])
    assert torch.equal(weights["0.bias"], own["0.bias"])
    assert weights["3.weight"].shape != own["3.weight"].shape


def test_networks_of_other_layers_are_refused(perform):
    with pytest.raises(MaskError, match=r"the network has no parameter '1\.weight'"):
        perform({"retrain": "rewind", "tasks": ["tinytask:task", "tinytask:other_layers"]}, sparsities=[0.5])


def test_the_first_search_is_that_of_the_technique_beside_it(values):
    plain = {key: value for key, value in FIVE.items() if key != "searches"}
    works = Recipe.of(values({**plain, "name": "search"}, {**FIVE, "name": "agreed"})).works()
    assert [work.label for work in works] == ["dense", "search", "agreed"]
    assert works[2].searches[0].id == works[1].id
    hidden = with_elsewhere(works)[3:]
    assert sorted(work.label for work in hidden) == ["dense"] * 4 + ["search"] * 4


def test_more_votes_search_no_more(values):
    works = Recipe.of(values({**FIVE, "each": {"vote": [1, 0.6], "ticket": ["found", "shuffled"]}})).works()
    once = Recipe.of(values(FIVE)).works()
    assert len(with_elsewhere(works)) - len(with_elsewhere(once)) == 3
    assert sorted(work.label for work in works) == [
        "dense", "tickets", "tickets, vote 0.6", "tickets, vote 0.6, shuffled", "tickets, vote 1",
        "tickets, vote 1, shuffled",
    ]  # fmt: skip


def test_progress_counts_what_is_not_shown(values, tmp_path):
    told = []
    prunus.run(values(FIVE), history=tmp_path / "history", jobs=1, watch=told.append)
    assert told[-1].done == told[-1].planned == 5 * (2 + 2) + 2
    assert told[0].done == 0


def test_it_goes_on_where_it_stopped(values, interrupted_after, tmp_path):
    with interrupted_after(7):
        prunus.run(values(FIVE), history=tmp_path / "history", jobs=1)
    history = prunus.run(values(FIVE), history=tmp_path / "history", jobs=1)
    again = prunus.run(values(FIVE), history=tmp_path / "another", jobs=1)
    for one, other in ((each.run(run.id), again.run(run.id)) for each in [history] for run in again.runs()):
        assert [state.record.weights for state in history.states(one.id)] == [
            state.record.weights for state in again.states(other.id)
        ]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"searches": 3}, "searches = 3 trains again from the first weights: it needs retrain = 'rewind'"),
        ({"retrain": "rewind", "vote": 0.5}, "vote goes with several searches, or with tasks"),
        ({"retrain": "rewind", "searches": 3, "rewind_step": 3}, "rewind_step must be 0"),
        ({"retrain": "rewind", "searches": 3, "ticket": "inverted"}, "about one search"),
        ({"retrain": "rewind", "searches": 3, "source": "tinytask:two_classes"}, "source takes one ticket"),
        ({"retrain": "rewind", "ticket": "bespoke"}, "it goes with searches, or with tasks"),
        ({"retrain": "rewind", "tasks": ["tinytask:two_classes"]}, "one alone is a source"),
        ({"retrain": "rewind", "tasks": ["tinytask:task"] * 2}, "two of the tasks are the same"),
        ({"retrain": "rewind", "tasks": ["tinytask:task", "digits"]}, "'module:function'"),
        ({"retrain": "rewind", "searches": 0}, "searches"),
        ({"retrain": "rewind", "searches": 2, "vote": 0}, "vote"),
    ],
)
def test_what_cannot_be_put_to_a_vote_is_refused(values, settings, complaint):
    with pytest.raises(RecipeError, match=complaint):
        Recipe.of(values(settings))


def test_a_fixed_pattern_is_not_what_several_have_in_common(values):
    with pytest.raises(RecipeError, match="no longer 2:4"):
        Recipe.of(values({"retrain": "rewind", "searches": 2, "pattern": "2:4"}, sparsities=[0.5]))
