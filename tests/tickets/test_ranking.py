from __future__ import annotations

import pytest

from prunus.errors import SelectionError
from prunus.history.records import StateRecord
from prunus.outcomes import ClassOutcome, CurvePoint, SplitOutcome
from prunus.tickets import rank_tickets
from prunus.tickets.gathering import Ticket, Tickets


def state(accuracy, stopped=None):
    """A trained ticket; where it is ``stopped`` early, it has that accuracy there."""
    outcome = SplitOutcome(0.5, accuracy, (ClassOutcome("a", 1000, round(1000 * accuracy)),))
    curve = () if stopped is None else (CurvePoint(10, 0.1, 0.5, 0.9, stopped), CurvePoint(20, 0.2, 0.5, 0.9, 0.0))
    made = ("id", "run", None, "trained", 1, None, None)
    return StateRecord(*made, outcome, outcome, None, "0" * 64, None, (), "2026-01-02", 1.0, curve)


def ticket(name, accuracies, kind="found", sparsity=0.8, seeds=(0, 1, 2)):
    return Ticket(name, "family", kind, sparsity, dict(zip(seeds, accuracies, strict=True)))


def rows(*tickets, **settings):
    return rank_tickets(Tickets({}, tickets), **settings).rows


def test_tickets_are_ranked_by_their_accuracy_where_they_stop_early():
    found = rows(
        ticket("late", [state(0.95, 0.80), state(0.96, 0.81), state(0.97, 0.82)]),
        ticket("early", [state(0.5, 0.90), state(0.5, 0.91), state(0.5, 0.92)]),
    )
    assert [each.candidate.technique for each in found] == ["early", "late"]
    assert found[0].value.mean == pytest.approx(0.91)
    assert found[1].to_best.mean == pytest.approx(-0.1)


def test_differences_are_paired_by_seed():
    spread = [0.5, 0.7, 0.9]
    found = rows(
        ticket("better", [state(each + 0.01) for each in spread]), ticket("worse", [state(each) for each in spread])
    )
    # No interval is narrower than rounding to one of 1,000 examples: t(2; 0.975) √(2/12) / 1,000 / √3 = 0.00101.
    assert found[1].to_best.low == pytest.approx(-0.01101, abs=1e-5)
    assert (found[0].sure_first, found[0].sure_last) == (1, 1)
    shuffled = rows(
        ticket("better", [state(each + 0.01) for each in spread]),
        ticket("worse", [state(each) for each in (0.9, 0.5, 0.7)]),
    )
    assert (shuffled[0].sure_first, shuffled[0].sure_last) == (1, 2)


def test_controls_are_ranked_only_where_they_are_asked_for_and_the_dense_network_never():
    accuracies = [state(0.8), state(0.81), state(0.82)]
    several = [
        ticket("t", accuracies),
        ticket("t, shuffled", accuracies, "shuffled"),
        ticket("unpruned", accuracies, "unpruned", 0.0),
    ]
    assert [each.candidate.technique for each in rows(*several)] == ["t"]
    assert [each.candidate.technique for each in rows(*several, controls=True)] == ["t", "t, shuffled"]
    with pytest.raises(SelectionError, match=r"the experiment has no tickets$"):
        rows(several[-1], controls=True)


def test_one_sparsity_is_looked_at_and_a_missing_one_is_refused_with_those_that_are_there():
    accuracies = [state(0.8), state(0.81), state(0.82)]
    several = [
        ticket("a", accuracies, sparsity=0.5),
        ticket("b", accuracies, sparsity=0.5),
        ticket("b", accuracies, sparsity=0.9),
    ]
    assert [each.candidate.technique for each in rows(*several)] == ["a", "b"]
    assert [each.candidate.technique for each in rows(*several, sparsity=0.9)] == ["b"]
    with pytest.raises(SelectionError, match=r"no tickets at sparsity 0\.7: it has some at 0\.5, 0\.9"):
        rows(*several, sparsity=0.7)


def test_a_sparsity_is_found_as_it_is_shown():
    several = [ticket("a", [state(0.8), state(0.81), state(0.82)], sparsity=1 - 0.8**n) for n in (3, 15)]
    for asked in (0.964816, 0.96482, 1 - 0.8**15):
        [found] = rows(*several, sparsity=asked)
        assert found.candidate.requested_sparsity == 1 - 0.8**15
    with pytest.raises(SelectionError, match=r"no tickets at sparsity nan: it has some at 0\.488, 0\.964816"):
        rows(*several, sparsity=float("nan"))


def test_tickets_of_other_seeds_are_not_ranked():
    found = rank_tickets(
        Tickets({}, (ticket("a", [state(0.8), state(0.8), state(0.8)]), ticket("b", [state(0.9)], seeds=[0])))
    )
    assert [each.candidate.technique for each in found.rows] == ["a"]
    assert [each.technique for each in found.unranked] == ["b"]
