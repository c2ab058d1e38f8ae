from __future__ import annotations

import pytest

import prunus
from prunus.errors import SelectionError
from prunus.masks.storage import masks_from_bytes
from prunus.tickets import consensus, gather_tickets, rank_tickets, vote

KINDS = {"ticket": ["found", "shuffled", "bespoke"], "vote": [1, 0.6]}
VOTED = {"name": "agreed", "schedule": "levels", "retrain": "rewind", "searches": 3, "each": KINDS}
RECIPE = {
    "seeds": [0, 1],
    "sparsities": [0.5, 0.8],
    "task": {"data": "digits", "model": "mlp"},
    "training": {"epochs": 1},
    "technique": [VOTED],
}


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    return prunus.run(RECIPE, history=tmp_path_factory.mktemp("history"), jobs=1)


@pytest.fixture(scope="module")
def found(history):
    return {
        (each.verdict.ticket.technique, each.verdict.ticket.sparsity): each
        for each in consensus(history, gather_tickets(history))
    }


def test_each_vote_at_each_sparsity_is_told_once_and_its_controls_are_not(found):
    assert {*found} == {(f"agreed, vote {share}", level) for share in ("1", "0.6") for level in (0.5, 0.8)}
    assert {(each.votes, each.of) for each in found.values()} == {(3, 3), (2, 3)}


@pytest.mark.parametrize("share", [1, 0.6])
def test_sparsities_are_those_of_a_vote_on_the_recorded_masks(history, found, share):
    whole = prunus.History(history.folder)
    each = found[f"agreed, vote {share:g}", 0.8]
    expected = []
    for state in each.verdict.ticket.states.values():
        voters = [whole.state(voter).record for voter in state.voters]
        agreed = vote([masks_from_bytes(whole.blobs.get(voter.masks)) for voter in voters], share)
        assert state.sparsity == pytest.approx(agreed.masks.sparsity)
        expected.append(agreed.sparsity_by_chance)
    assert each.by_chance.mean == pytest.approx(sum(expected) / 2)
    assert each.sparsity.mean < each.by_chance.mean


def test_seconds_side_by_side_are_those_of_the_longest_search_and_in_all_those_of_every_one(history, found):
    whole = prunus.History(history.folder)
    each = found["agreed, vote 1", 0.8]
    expected = {"apart": [], "together": [], "bespoke": []}
    for state in each.verdict.ticket.states.values():
        ways = [[one.record for one in whole.state(voter).lineage()[:-1]] for voter in state.voters]
        expected["apart"].append(max(sum(one.seconds for one in way) for way in ways) + state.seconds)
        once = {one.id: one.seconds for way in ways for one in way}
        expected["together"].append(sum(once.values()) + state.seconds)
    for key in ("apart", "together"):
        assert getattr(each, key).mean == pytest.approx(sum(expected[key]) / 2)
    assert each.together.mean > 2 * each.apart.mean
    bespoke = {run.seed: run.id for run in history.runs() if run.technique == "agreed, bespoke, vote 1"}
    alone = [sum(one.record.seconds for one in history.states(run)[1].lineage()) for run in bespoke.values()]
    assert each.bespoke.mean == pytest.approx(sum(alone) / 2)


def test_the_verdict_compares_with_bespoke_and_random_tickets_of_equal_sparsity(history, found):
    for each in found.values():
        assert {*each.verdict.to_controls} == {"shuffled", "bespoke"}
        assert each.verdict.ticket.left == pytest.approx(1 - each.sparsity.mean)
    accuracies = {run.technique: {} for run in history.runs()}
    for run in history.runs():
        accuracies[run.technique][run.seed] = history.states(run.id)[-1].record.test.accuracy
    own, other = accuracies["agreed, vote 1"], accuracies["agreed, bespoke, vote 1"]
    expected = sum(own[seed] - other[seed] for seed in (0, 1)) / 2
    assert found["agreed, vote 1", 0.8].verdict.to_controls["bespoke"].mean == pytest.approx(expected)


def test_they_are_not_ranked_among_tickets_of_another_sparsity(history):
    names = {row.candidate.technique for row in rank_tickets(gather_tickets(history), 0.8, controls=True).rows}
    assert names == {"agreed"}


def test_without_a_vote_there_is_no_consensus(tmp_path):
    recipe = {**RECIPE, "seeds": [0], "technique": [{"retrain": "rewind"}]}
    history = prunus.run(recipe, history=tmp_path, jobs=1)
    with pytest.raises(SelectionError, match="add searches = 5, or tasks, to a technique with retrain = 'rewind'"):
        consensus(history, gather_tickets(history))
