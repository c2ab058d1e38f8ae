from __future__ import annotations

import math

import pytest

import prunus
from prunus.errors import ArgumentError, SelectionError
from prunus.history.records import StateRecord
from prunus.outcomes import ClassOutcome, CurvePoint, SplitOutcome
from prunus.report.page import render
from prunus.tickets import gather_tickets
from prunus.tickets.early_stopping import early_stop
from prunus.tickets.gathering import Ticket, Tickets
from prunus.tickets.verdict import judge


def state(accuracy, curve=()):
    outcome = SplitOutcome(0.5, accuracy, (ClassOutcome("a", 1000, round(1000 * accuracy)),))
    made = ("id", "run", None, "trained", 1, None, None)
    return StateRecord(*made, outcome, outcome, None, "0" * 64, None, (), "2026-01-02", 1.0, curve)


def stopping(step, accuracy):
    """A training whose validation loss is lowest at that step, where it has that test accuracy."""
    return state(
        accuracy - 0.1,
        tuple(
            CurvePoint(each, 1 + abs(each - step) / 1000, 0.5, 0.9, accuracy if each == step else 0.1)
            for each in range(10, 1000, 10)
        ),
    )


def word(tickets, dense, **settings):
    ticket = Ticket("t", "family", "found", 0.8, dict(enumerate(tickets)))
    [found] = judge(Tickets(dict(enumerate(dense)), (ticket,)), **settings)
    return found.word


def test_the_early_stopping_step_is_the_first_of_lowest_validation_loss():
    points = [CurvePoint(10, 0.5, 0, 0, 0.7), CurvePoint(20, 0.4, 0, 0, 0.8), CurvePoint(30, 0.4, 0, 0, 0.9)]
    lost = [CurvePoint(40, float("nan"), 0, 0, 0.1), CurvePoint(50, float("-inf"), 0, 0, 0.1)]
    assert early_stop(state(0.3, (*points, *lost))) == (20, 0.8, 10, 1000)
    assert early_stop(state(0.3)) == (None, 0.3, 0, 1000)
    with pytest.raises(SelectionError, match="was not evaluated"):
        early_stop(StateRecord(*["id", "run", None, "trained", 1, *[None] * 5, "0", None, (), "2026", 1.0]))


@pytest.mark.parametrize(
    ("tickets", "expected"),
    [
        ([(300, 0.941), (310, 0.952), (290, 0.963)], "winning"),
        ([(400, 0.941), (400, 0.952), (400, 0.963)], "winning"),  # no later at all
        ([(480, 0.941), (490, 0.952), (470, 0.963)], "losing"),  # a fifth later
        ([(300, 0.911), (310, 0.922), (290, 0.933)], "losing"),  # three points worse
        ([(300, 0.940), (310, 0.930), (290, 0.980)], "undecided"),
        ([(300, 0.941), (560, 0.952), (290, 0.963)], "undecided"),
    ],
)
def test_the_rule_asks_for_accuracy_and_steps_with_their_intervals(tickets, expected):
    dense = [stopping(400, 0.94), stopping(400, 0.95), stopping(400, 0.96)]
    assert word([stopping(*each) for each in tickets], dense) == expected


def test_margins_are_those_that_are_asked_for():
    dense = [stopping(400, 0.94), stopping(400, 0.95), stopping(400, 0.96)]
    worse = [stopping(440, 0.931), stopping(450, 0.940), stopping(440, 0.949)]
    assert word(worse, dense) == "losing"
    assert word(worse, dense, margin=0.02) == "undecided"
    assert word(worse, dense, margin=0.02, later=0.2) == "winning"


@pytest.mark.parametrize("settings", [{"margin": -0.1}, {"later": math.nan}])
def test_margins_that_say_nothing_are_refused(settings):
    with pytest.raises(ArgumentError, match="must be at least 0, got"):
        judge(Tickets({}, ()), **settings)


def test_without_curves_nothing_is_said_of_steps_and_one_seed_decides_nothing():
    dense = [state(0.94), state(0.95), state(0.96)]
    assert word([state(0.941), state(0.951), state(0.962)], dense) == "as accurate"
    assert word([state(0.90), state(0.911), state(0.92)], dense) == "losing"
    assert word([state(0.94)], dense) == "undecided"
    mixed = [stopping(300, 0.941), state(0.951), stopping(300, 0.962)]
    assert word(mixed, dense) == "as accurate"


def test_controls_are_compared_by_seed_with_their_own_ticket():
    seeds = {0: state(0.9), 1: state(0.8), 2: state(0.7)}
    tickets = (
        Ticket("t", "one", "found", 0.8, seeds),
        Ticket("t, shuffled", "one", "shuffled", 0.8, {0: state(0.85), 2: state(0.66), 5: state(0.1)}),
        Ticket("t, shuffled", "one", "shuffled", 0.9, seeds),
        Ticket("u, shuffled", "other", "shuffled", 0.8, seeds),
    )
    [found] = judge(Tickets(seeds, tickets))
    assert [*found.to_controls] == ["shuffled"]
    assert found.to_controls["shuffled"].mean == pytest.approx(0.045)
    assert found.to_controls["shuffled"].count == 2
    assert (found.step, found.later, found.word) == (None, None, "as accurate")


def test_what_has_no_partner_is_left_out():
    alone, other = {0: state(0.9)}, {1: state(0.8)}
    tickets = (Ticket("t", "one", "found", 0.8, alone), Ticket("t, shuffled", "one", "shuffled", 0.8, other))
    assert judge(Tickets(other, tickets)) == []
    [found] = judge(Tickets(alone, tickets))
    assert found.to_controls == {}


def test_tickets_are_judged_against_the_dense_network_that_they_come_of_whatever_their_seeds_are_called(tmp_path):
    seeds = [{"init": 0, "order": 0, "pruning": 1}, {"init": 0, "order": 0, "pruning": 2}]
    recipe = {
        "seeds": seeds,
        "sparsities": [0.5],
        "task": {"data": "digits", "model": "mlp"},
        "training": {"epochs": 1},
        "technique": [{"criterion": "random", "retrain": "rewind", "each": {"ticket": ["found", "shuffled"]}}],
    }
    history = prunus.run(recipe, history=tmp_path, jobs=1)
    [dense] = [state for run in history.runs() if run.technique == "dense" for state in history.states(run.id)[1:]]
    tickets = gather_tickets(history)
    assert len(tickets.dense) == 2
    assert {state.id for state in tickets.dense.values()} == {dense.id}
    assert judge(tickets)[0].to_dense.count == 2
    assert 'id="lottery"' in render(history)
    drops = [drop for one in history.candidates() for drop in one.reporting("accuracy_drop")]
    assert len(drops) == 5
    assert all(math.isfinite(drop) for drop in drops)


def test_two_seeds_that_are_rounded_alike_decide_nothing():
    near = [state(0.95), state(0.96)]
    assert word([state(0.948), state(0.958)], near) == "undecided"  # two examples of 1,000 in each
    assert word([state(0.92), state(0.93)], near) == "losing"
    late = [stopping(110, 0.95), stopping(110, 0.95)]
    assert word(late, [stopping(100, 0.95), stopping(100, 0.95)]) == "undecided"  # one measurement later


def test_an_interval_is_as_wide_as_rounding_makes_it():
    states = dict(enumerate([state(0.9)] * 3))
    [found] = judge(Tickets(states, (Ticket("t", "f", "found", 0.8, states),)))
    assert found.to_dense.high == pytest.approx(4.303 * (2 / 12) ** 0.5 / 1000 / 3**0.5, rel=1e-3)
