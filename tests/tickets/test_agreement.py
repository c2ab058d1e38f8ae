from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import prunus
from prunus.errors import MaskError
from prunus.tickets import agreement, compare


def masks(**flags):
    return prunus.Masks({name: torch.tensor(each, dtype=torch.bool) for name, each in flags.items()})


def test_the_similarities_are_those_counted_by_hand():
    found = agreement(masks(a=[1, 1, 0, 0], b=[[1, 0], [1, 0]]), masks(a=[1, 0, 1, 0], b=[[1, 1], [1, 1]]))
    assert found.layers["a"].jaccard == pytest.approx(1 / 3)
    assert found.layers["a"].hamming == pytest.approx(2 / 4)
    assert found.layers["b"].jaccard == pytest.approx(2 / 4)
    assert found.overall.jaccard == pytest.approx(3 / 7)
    assert found.overall.hamming == pytest.approx(4 / 8)


def test_equal_and_empty_and_disjoint_masks():
    some, none, rest = masks(a=[1, 1, 0]), masks(a=[0, 0, 0]), masks(a=[0, 0, 1])
    assert agreement(some, some).overall.jaccard == agreement(none, none).overall.jaccard == 1
    assert agreement(some, none).overall.jaccard == agreement(some, rest).overall.jaccard == 0
    assert agreement(some, none).by_chance.mean == 0


def test_chance_is_what_all_permutations_within_layers_give():
    first, second = masks(a=[1, 1, 1, 0, 0], b=[1, 0, 0, 0]), masks(a=[1, 1, 0, 0, 0], b=[1, 1, 1, 0])
    similar = [
        agreement(first, masks(a=list(a), b=list(b)), draws=1).overall.jaccard
        for a in itertools.permutations([1, 1, 0, 0, 0])
        for b in itertools.permutations([1, 1, 1, 0])
    ]
    found = agreement(first, second, draws=200_000)
    assert found.by_chance.mean == pytest.approx(np.mean(similar), abs=0.002)
    assert found.by_chance.low == min(similar)
    assert found.by_chance.high == max(similar)
    assert found.is_chance


def test_the_distance_by_chance_is_what_all_permutations_give():
    first, second = masks(a=[1, 1, 1, 0, 0], b=[1, 0, 0, 0]), masks(a=[1, 1, 0, 0, 0], b=[1, 1, 1, 0])
    distances = [
        agreement(first, masks(a=list(a), b=list(b)), draws=1).overall.hamming
        for a in itertools.permutations([1, 1, 0, 0, 0])
        for b in itertools.permutations([1, 1, 1, 0])
    ]
    found = agreement(first, second, draws=200_000).hamming_by_chance
    # In closed form the mean is |A| + |B| less twice the sum over layers of |A| |B| / n, over all weights.
    assert np.mean(distances) == pytest.approx((4 + 5 - 2 * (3 * 2 / 5 + 1 * 3 / 4)) / 9)
    assert found.mean == pytest.approx(np.mean(distances), abs=0.002)
    assert (found.low, found.high) == (min(distances), max(distances))


def test_random_masks_are_chance_about_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)

    def drawn():
        return prunus.Masks({"a": torch.rand(2000, generator=generator) < 0.3})

    within = sum(agreement(drawn(), drawn()).is_chance for _ in range(300)) / 300
    assert 0.9 < within < 0.99


def test_masks_of_other_parameters_are_refused():
    with pytest.raises(MaskError, match="over the same parameters: one has a, the other b"):
        agreement(masks(a=[1]), masks(b=[1]))
    with pytest.raises(MaskError, match="over the same parameters"):
        agreement(masks(a=[1]), masks(a=[1, 0]))


def test_arrays_are_compared_like_masks_and_must_be_of_bools():
    first, second = masks(a=[1, 1, 0, 0], b=[[1, 0], [1, 0]]), masks(a=[1, 0, 1, 0], b=[[1, 1], [1, 1]])
    arrays = {name: mask.numpy() for name, mask in second.items()}
    assert agreement(first, arrays) == agreement(first, second)
    assert compare({"x": {0: first}, "y": {0: arrays}}) == compare({"x": {0: first}, "y": {0: second}})
    with pytest.raises(MaskError, match="the mask of 'a' must be a bool array, got int64"):
        agreement({"a": np.array([1, 0])}, {"a": np.array([True, False])})


def test_techniques_are_compared_by_seed_and_with_themselves_over_seeds():
    found = {
        "x": {0: masks(a=[1, 1, 0, 0]), 1: masks(a=[1, 0, 1, 0]), 2: masks(a=[1, 0, 0, 1])},
        "y": {1: masks(a=[1, 0, 1, 0]), 2: masks(a=[0, 1, 1, 0]), 7: masks(a=[1, 1, 1, 1])},
    }
    pairs = {(each.first, each.second): each for each in compare(found)}
    assert [*pairs] == [("x", "x"), ("x", "y"), ("y", "y")]
    assert pairs["x", "x"].jaccard.mean == pytest.approx(1 / 3)
    assert pairs["x", "x"].jaccard.count == 3
    assert pairs["x", "x"].jaccard.low is None
    assert pairs["x", "y"].jaccard.mean == pytest.approx((1 + 0) / 2)
    assert pairs["x", "y"].jaccard.low is not None
    assert pairs["x", "y"].layers["a"][0] == pairs["x", "y"].jaccard.mean
    assert pairs["x", "y"].hamming.mean == pytest.approx((0 + 4 / 4) / 2)
    assert pairs["x", "y"].hamming.low is not None
    assert pairs["x", "x"].hamming.mean == pytest.approx(2 / 4)
    assert pairs["x", "x"].hamming.low is None
    assert compare({"one": {0: masks(a=[1])}}) == []


def test_chance_is_the_mean_over_the_pairs():
    found = {
        "x": {0: masks(a=[1, 1, 0, 0]), 1: masks(a=[1, 1, 1, 1])},
        "y": {0: masks(a=[1, 0, 1, 0]), 1: masks(a=[1, 0, 0, 0])},
    }
    [pair] = [each for each in compare(found) if each.first != each.second]
    several = [agreement(found["x"][seed], found["y"][seed]) for seed in (0, 1)]
    for key in ("mean", "low", "high"):
        assert getattr(pair.by_chance, key) == pytest.approx(np.mean([getattr(e.by_chance, key) for e in several]))
        assert getattr(pair.hamming_by_chance, key) == pytest.approx(
            np.mean([getattr(e.hamming_by_chance, key) for e in several])
        )
    assert pair.by_chance.low < pair.by_chance.mean < pair.by_chance.high


def test_techniques_that_prune_other_layers_are_compared_where_both_do():
    found = {
        "all": {0: masks(a=[1, 1, 0, 0], b=[1, 0])},
        "some": {0: masks(a=[1, 0, 1, 0])},
        "others": {0: masks(c=[1])},
    }
    [pair] = compare(found)
    assert (pair.first, pair.second, [*pair.layers]) == ("all", "some", ["a"])
    assert pair.jaccard.mean == pytest.approx(1 / 3)
