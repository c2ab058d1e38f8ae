from __future__ import annotations

import pytest

from prunus.selection.statistics import mean_interval
from prunus.tickets import clustered, grouped
from prunus.tickets.comparison import Comparison
from prunus.tickets.overlap import Chance

SIMILAR = {("a", "b"): 0.1, ("a", "c"): 0.9, ("a", "d"): 0.2, ("b", "c"): 0.1, ("b", "d"): 0.8, ("c", "d"): 0.2}


def comparison(first, second, jaccard, by_chance=0.1):
    chance = Chance(by_chance, by_chance, by_chance)
    return Comparison(first, second, mean_interval([jaccard]), chance, 1.0, mean_interval([0.0]), chance, {})


def comparisons(similar, by_chance=0.1):
    return [comparison(*pair, value, by_chance) for pair, value in similar.items()]


def test_those_that_agree_stand_beside_one_another():
    order = clustered(comparisons(SIMILAR))
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset("ac"), frozenset("bd")}


def test_they_are_joined_at_their_mean_distances():
    found = grouped(comparisons(SIMILAR))
    joined = {frozenset(part.names): part for part in found.parts}
    assert {*joined} == {frozenset("ac"), frozenset("bd")}
    assert joined[frozenset("ac")].height == pytest.approx((1 - 0.9) / 0.9)
    assert joined[frozenset("bd")].height == pytest.approx((1 - 0.8) / 0.9)
    # a–b, a–d, c–b, c–d
    assert found.height == pytest.approx(sum(1 - each for each in (0.1, 0.2, 0.1, 0.2)) / 4 / 0.9)
    assert [part.name for part in joined[frozenset("ac")].parts] == joined[frozenset("ac")].names


def test_what_chance_gives_is_no_agreement():
    # c and d agree more than a and b, and it is all chance, for they keep most weights.
    pairs = [
        *comparisons({("a", "b"): 0.3}, by_chance=0.05),
        *comparisons({("c", "d"): 0.81}, by_chance=0.8),
        *comparisons({("a", "c"): 0.1, ("a", "d"): 0.1, ("b", "c"): 0.1, ("b", "d"): 0.1}, by_chance=0.1),
    ]
    assert pairs[0].distance == pytest.approx(0.7 / 0.95)
    assert pairs[1].distance == pytest.approx(0.19 / 0.2)
    assert pairs[2].distance == 1
    assert comparison("a", "b", 1.0, by_chance=1.0).distance == 0
    first = min((part for part in grouped(pairs).parts), key=lambda part: part.height or 9)
    assert {*first.names} == {"a", "b"}


def test_without_enough_to_group_there_are_no_groups_and_the_order_is_theirs():
    assert grouped([]) is None
    assert clustered([]) == []
    two = comparisons({("a", "b"): 0.5})
    assert grouped([*two, comparison("a", "a", 0.2)]) is None
    assert clustered(two) == ["a", "b"]
    unknown = comparisons({("a", "b"): 0.1, ("a", "c"): 0.9})  # of b and c no seed has both
    assert grouped(unknown) is None
    assert clustered(unknown) == ["a", "b", "c"]
