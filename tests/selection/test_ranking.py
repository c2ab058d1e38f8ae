from __future__ import annotations

import math
import random

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from prunus.errors import UnknownNameError
from prunus.selection.candidates import Candidate, Replicate
from prunus.selection.ranking import rank

# Multiples of 1/64 add up without rounding; few of them make ties.
exact = st.integers(0, 64).map(lambda number: number / 64)
tables = st.integers(2, 5).flatmap(
    lambda seeds: st.lists(st.lists(exact, min_size=seeds, max_size=seeds), min_size=1, max_size=8)
)


def of(name, values, metric="accuracy", seeds=None, examples=0):
    """A candidate with these test values; nothing else may be looked at."""
    replicates = [
        Replicate(seed, f"run {seed}", f"state {seed}", {}, {metric: one}, examples)
        for seed, one in zip(seeds or range(len(values)), values, strict=True)
    ]
    return Candidate(name, 0.9, tuple(replicates))


def named(table, metric="accuracy"):
    return [of(f"technique {index}", values, metric) for index, values in enumerate(table)]


def places(ranking):
    return {
        row.candidate.technique: (row.rank, row.first, row.last, row.sure_first, row.sure_last) for row in ranking.rows
    }


@given(tables)
def test_a_rank_lies_among_the_ranks_that_it_may_have(table):
    for row in rank(named(table)).rows:
        assert 1 <= row.sure_first <= row.first <= row.rank <= row.last <= row.sure_last <= len(table)


@given(tables)
def test_the_better_mean_comes_first_and_equals_share_their_rank(table):
    rows = rank(named(table)).rows
    means = [row.value.mean for row in rows]
    assert means == sorted(means, reverse=True)
    assert [row.rank for row in rows] == [1 + sum(other > mean for other in means) for mean in means]


@given(tables, st.randoms(use_true_random=False))
def test_the_order_in_which_candidates_come_changes_nothing(table, shuffled):
    candidates = named(table)
    before = rank(candidates)
    shuffled.shuffle(candidates)
    assert rank(candidates) == before


@given(tables, st.lists(exact, min_size=5, max_size=5))
def test_what_a_seed_does_to_all_changes_no_rank(table, shifts):
    shifted = [[value + shift for value, shift in zip(values, shifts, strict=False)] for values in table]
    assert places(rank(named(shifted))) == places(rank(named(table)))


@given(tables)
def test_a_metric_that_should_be_low_is_ranked_the_other_way_round(table):
    losses = [[1 - value for value in values] for values in table]
    assert places(rank(named(losses, "loss"), "loss")) == places(rank(named(table)))


@given(tables)
def test_who_is_clearly_better_has_one_who_is_clearly_worse(table):
    rows = rank(named(table)).rows
    assert sum(row.first - 1 for row in rows) == sum(len(rows) - row.last for row in rows)


@given(tables.filter(lambda table: len(table) > 1))
def test_the_ranks_are_those_of_counting_paired_t_tests(table):
    found = places(rank(named(table)))
    for index, own in enumerate(table):
        others = [values for number, values in enumerate(table) if number != index]
        counts = []
        for level in (0.05, 0.05 / len(others)):
            clear = [sign for values in others if (sign := _clearly(values, own, level))]
            counts += [1 + clear.count(1), len(table) - clear.count(-1)]
        assert found[f"technique {index}"][1:] == tuple(counts)


def _clearly(first, second, level):
    """1 where the first is better by scipy's paired test, −1 where the second is, 0 where neither is."""
    differences = [one - other for one, other in zip(first, second, strict=True)]
    total = sum(differences)
    if len(set(differences)) > 1 and scipy.stats.ttest_rel(first, second).pvalue >= level:
        return 0
    return (total > 0) - (total < 0)


def test_the_true_rank_lies_among_the_sure_ones_19_times_in_20():
    # Of normal values the guarantee is exact; the means lie so near that single comparisons go wrong now and then.
    noise = random.Random(7)
    truth, experiments = [0.95, 0.90, 0.85, 0.80, 0.75, 0.70], 200
    hits = {"ranks": 0, "sure": 0}
    for _ in range(experiments):
        table = [[noise.gauss(mean, 0.05) for _ in range(4)] for mean in truth]
        for name, (_, first, last, sure_first, sure_last) in places(rank(named(table))).items():
            true = 1 + int(name.split()[-1])
            hits["ranks"] += first <= true <= last
            hits["sure"] += sure_first <= true <= sure_last
    assert hits["sure"] / experiments / len(truth) >= 0.95
    assert hits["ranks"] < hits["sure"]


def test_between_equals_one_comparison_in_twenty_looks_clear_and_one_candidate_in_twenty_looks_surely_placed():
    noise = random.Random(3)
    experiments, count = 300, 8
    clear = unsure = 0
    for _ in range(experiments):
        first = rank(named([[noise.gauss(0.9, 0.01) for _ in range(4)] for _ in range(count)])).rows[3]
        clear += first.first - 1 + count - first.last
        unsure += (first.sure_first, first.sure_last) != (1, count)
    assert clear / experiments / (count - 1) < 0.07
    assert unsure / experiments < 0.07


def test_two_seeds_that_round_to_the_same_difference_decide_nothing():
    lower, higher = [0.90, 0.91], [0.91, 0.92]
    rounded = places(rank([of("lower", lower, examples=100), of("higher", higher, examples=100)]))
    assert rounded == {"higher": (1, 1, 2, 1, 2), "lower": (2, 1, 2, 1, 2)}
    fine = places(rank([of("lower", lower, examples=10_000), of("higher", higher, examples=10_000)]))
    assert fine == {"higher": (1, 1, 1, 1, 1), "lower": (2, 2, 2, 2, 2)}


def test_losses_are_not_rounded_to_examples():
    found = rank([of("a", [0.1, 0.2], "loss", examples=10), of("b", [0.3, 0.4], "loss", examples=10)], "loss")
    assert places(found) == {"a": (1, 1, 1, 1, 1), "b": (2, 2, 2, 2, 2)}


def test_a_worked_example():
    # Differences to the best: −1, −1.2, −0.8 points: mean −1, s = 0.2, t(2; 0.975) = 4.303, half width 0.497.
    ranking = rank([of("b", [0.91, 0.928, 0.932]), of("a", [0.92, 0.94, 0.94]), of("c", [0.5, 0.95, 0.98])])
    assert [row.candidate.technique for row in ranking.rows] == ["a", "b", "c"]
    best, second, third = ranking.rows
    assert best.to_best is None
    assert (second.to_best.mean, second.to_best.low, second.to_best.high) == pytest.approx(
        (-0.01, -0.01497, -0.00503), abs=1e-5
    )
    assert [(row.first, row.last) for row in ranking.rows] == [(1, 2), (2, 3), (1, 3)]
    assert third.value.mean == pytest.approx(0.81)


def test_together_a_comparison_must_be_clearer_to_count():
    # t = 8.7 with two degrees of freedom: p = 0.013, below 0.05, above 0.05 / 4.
    table = [[0.92, 0.94, 0.94], [0.91, 0.928, 0.932], [0.1, 0.5, 0.9], [0.2, 0.8, 0.4], [0.9, 0.1, 0.3]]
    best = rank(named(table)).rows[0]
    assert (best.last, best.sure_last) == (4, 5)


def test_one_seed_leaves_every_rank_open():
    ranking = rank(named([[0.9], [0.8], [0.1]]))
    assert [(row.rank, row.first, row.last) for row in ranking.rows] == [(1, 1, 3), (2, 1, 3), (3, 1, 3)]
    assert all(row.value.low is None for row in ranking.rows)


def test_equal_models_share_rank_and_ranks_and_stand_by_name():
    ranking = rank([of("b", [0.9, 0.8]), of("a", [0.9, 0.8]), of("c", [0.4, 0.3])])
    assert [(row.candidate.technique, row.rank) for row in ranking.rows] == [("a", 1), ("b", 1), ("c", 3)]
    assert ranking.rows[1].to_best.mean == 0
    assert [(row.first, row.last) for row in ranking.rows] == [(1, 2), (1, 2), (3, 3)]


def test_a_difference_in_the_last_digits_is_none():
    ranking = rank([of("a", [0.1 + 0.2, 0.1 + 0.2]), of("b", [0.3, 0.3])])
    assert [(row.rank, row.first, row.last) for row in ranking.rows] == [(1, 1, 2), (1, 1, 2)]


def test_a_candidate_that_lacks_a_seed_is_not_ranked_and_counts_for_nobody():
    ranking = rank([of("half", [0.99, 0.99], seeds=[0, 2]), of("b", [0.9, 0.8, 0.9]), of("a", [0.7, 0.6, 0.7])])
    assert [row.candidate.technique for row in ranking.rows] == ["b", "a"]
    assert [one.technique for one in ranking.unranked] == ["half"]
    assert ranking.rows[0].last == 1


def test_more_seeds_count_for_more_than_more_candidates():
    ranking = rank([of("b", [0.9]), of("a", [0.8]), of("full", [0.1, 0.2])])
    assert [row.candidate.technique for row in ranking.rows] == ["full"]
    assert [one.technique for one in ranking.unranked] == ["a", "b"]


def test_of_several_sets_of_seeds_the_commonest_is_ranked():
    ranking = rank([of("odd", [1, 1], seeds=[0, 5]), of("b", [0.9, 0.8], seeds=[1, 2]), of("a", [0, 1], seeds=[1, 2])])
    assert [row.candidate.technique for row in ranking.rows] == ["b", "a"]
    assert [one.technique for one in ranking.unranked] == ["odd"]


@pytest.mark.parametrize("unknown", [math.nan, math.inf])
def test_a_candidate_whose_metric_is_unknown_is_not_ranked(unknown):
    ranking = rank([of("diverged", [0.99, unknown]), of("fine", [0.9, 0.8])])
    assert [row.candidate.technique for row in ranking.rows] == ["fine"]
    assert [one.technique for one in ranking.unranked] == ["diverged"]


def test_nothing_is_ranked_where_there_is_nothing():
    assert rank([]).rows == rank([]).unranked == ()


def test_a_metric_that_does_not_exist_is_refused():
    with pytest.raises(UnknownNameError, match="accurac"):
        rank([], "accurac")
