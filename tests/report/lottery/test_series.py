from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from prunus.outcomes import CurvePoint
from prunus.report.evidence import gather
from prunus.report.lottery.series import MOST_STEPS, Relatives
from prunus.selection.statistics import mean_interval
from prunus.tickets import gather_tickets


@pytest.fixture(scope="module")
def gathered(tickets):
    return gather_tickets(tickets)


@pytest.fixture(scope="module")
def relatives(tickets, gathered):
    found = next(each for each in gathered.tickets if (each.technique, each.sparsity) == ("tickets", 0.9))
    return Relatives.of(found, gathered, gather(tickets, None))


def of(gathered, technique, sparsity):
    return next(one for one in gathered.tickets if (one.technique, one.sparsity) == (technique, sparsity)).states


def test_a_learning_curve_is_the_mean_over_seeds_at_every_step(gathered, relatives):
    found = {each.name: each for each in relatives.learning()}
    assert [*found] == ["found", "shuffled", "dense"]
    for name, states in (
        ("found", of(gathered, "tickets", 0.9)),
        ("shuffled", of(gathered, "tickets, shuffled", 0.9)),
        ("dense", gathered.dense),
    ):
        curves = [state.curve for state in states.values()]
        assert len(curves) == 3
        assert found[name].values == {
            points[0].step: mean_interval([point.test_accuracy for point in points])
            for points in zip(*curves, strict=True)
        }


def test_steps_and_accuracies_are_those_of_the_lowest_validation_loss(gathered, relatives):
    stops = {
        (kind, sparsity): [min(state.curve, key=lambda one: one.validation_loss) for state in states.values()]
        for kind, technique in (("found", "tickets"), ("shuffled", "tickets, shuffled"))
        for sparsity in (0.5, 0.9)
        for states in [of(gathered, technique, sparsity)]
    }
    steps, accuracies = (
        {each.name: each.values for each in found} for found in (relatives.stopping(), relatives.accuracies())
    )
    for (kind, sparsity), points in stops.items():
        assert steps[kind][1 - sparsity] == mean_interval([point.step for point in points])
        assert accuracies[kind][1 - sparsity] == mean_interval([point.test_accuracy for point in points])
    assert [*steps["found"]] == [0.5, pytest.approx(0.1)]
    assert [*steps["dense"]] == [1]


def test_colours_are_those_of_the_page_or_of_nothing_else_on_it(tickets, crowded, gathered, relatives):
    evidence = gather(tickets, None)
    assert {each.name: each.index for each in relatives.learning()} == {
        "found": evidence.index("tickets"), "shuffled": evidence.index("tickets, shuffled"), "dense": None,
    }  # fmt: skip
    found = Relatives.of(relatives.ticket, gathered, crowded).learning()
    assert {each.name: each.index for each in found} == {
        "found": crowded.index("tickets"), "shuffled": len(crowded.highlighted) + 1, "dense": None,
    }  # fmt: skip


def lengthened(ticket, count):
    points = [CurvePoint(step, 1.0, 0.5, 1.0, step / 10**6) for step in range(10, 10 * count + 1, 10)]
    return replace(ticket, states={seed: replace(state, curve=tuple(points)) for seed, state in ticket.states.items()})


@pytest.mark.parametrize("count", [1, MOST_STEPS, MOST_STEPS + 1, 1000])
def test_a_long_curve_is_drawn_at_even_steps_the_last_among_them(relatives, count):
    long = replace(relatives, kinds={"found": (0, [lengthened(relatives.ticket, count)])}, dense=())
    [series] = long.learning()
    steps = [*series.values]
    assert len(steps) <= MOST_STEPS
    assert steps[-1] == 10 * count
    assert len({other - one for one, other in itertools.pairwise(steps)}) <= 1
    assert all(mean.mean == pytest.approx(step / 10**6) for step, mean in series.values.items())


def test_only_steps_that_all_seeds_have_measured_are_drawn(relatives):
    states = dict(lengthened(relatives.ticket, 5).states)
    states[0] = replace(states[0], curve=states[0].curve[1:3])
    [series] = replace(relatives, kinds={"found": (0, [replace(relatives.ticket, states=states)])}, dense=()).learning()
    assert [*series.values] == [20, 30]
    assert series.values[20].count == 3


def test_what_has_no_curve_is_left_out(relatives):
    bare = {seed: replace(state, curve=()) for seed, state in relatives.ticket.states.items()}
    found = replace(relatives, kinds={"found": (0, [replace(relatives.ticket, states=bare)])})
    assert [each.name for each in found.learning()] == ["dense"]
    assert [each.name for each in found.stopping()] == ["dense"]
    assert [each.name for each in found.accuracies()] == ["found", "dense"]
