from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunus.training.connections import survivors, with_grown

few_values = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0])  # many ties
connections = st.lists(st.tuples(few_values, st.booleans(), st.sampled_from([0.0, 1.0, 2.0])), min_size=1, max_size=40)


def left(places, weights, fraction):
    """By the definition: the largest first, of equal ones the first, all but the dropped fraction."""
    ranked = sorted(places, key=lambda place: (-abs(weights[place]), place))
    return ranked[: len(ranked) - math.floor(fraction * len(ranked) + 1e-9)]


@given(connections, st.floats(0, 1), st.sampled_from(["magnitude", "signed"]))
def test_an_update_is_the_brute_force_one_and_keeps_the_count(tensor, fraction, drop):
    weights, kept, scores = (list(column) for column in zip(*tensor, strict=True))
    places = [place for place in range(len(kept)) if kept[place]]
    if drop == "magnitude":
        expected = set(left(places, weights, fraction))
    else:
        expected = {
            place
            for side in (True, False)
            for place in left([place for place in places if (weights[place] >= 0) == side], weights, fraction)
        }
    mask = torch.tensor(kept)
    surviving = survivors(torch.tensor(weights), mask, fraction, drop)
    assert set(surviving.nonzero().flatten().tolist()) == expected

    count = len(places) - len(expected)
    free = sorted(set(range(len(kept))) - expected, key=lambda place: (-scores[place], place))
    rewired = with_grown(surviving, torch.tensor(scores), count)
    assert set(rewired.nonzero().flatten().tolist()) == expected | set(free[:count])
    assert int(rewired.sum()) == int(mask.sum())


def test_signed_drops_the_same_fraction_of_each_sign():
    # Mocanu et al. 2018: half of the smallest positive and half of the largest negative weights
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4, -5.0, -6.0])
    mask = torch.ones(6, dtype=torch.bool)
    assert survivors(weights, mask, 0.5, "signed").tolist() == [False, False, True, True, False, True]
    assert survivors(weights, mask, 0.5, "magnitude").tolist() == [False, False, False, True, True, True]


def test_a_count_that_is_whole_is_not_lost_to_rounding():
    assert 0.29 * 100 < 29
    weights = torch.arange(1.0, 101.0)
    assert int(survivors(weights, weights > 0, 0.29, "magnitude").sum()) == 71


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_float_type_is_rewired(dtype):
    weights = torch.tensor([[3.0, 0.0], [1.0, 2.0]], dtype=dtype)
    mask = torch.tensor([[True, False], [True, True]])
    surviving = survivors(weights, mask, 0.4, "magnitude")
    assert surviving.tolist() == [[True, False], [False, True]]
    scores = torch.tensor([[9.0, 2.0], [1.0, 9.0]], dtype=dtype)
    assert with_grown(surviving, scores, 1).tolist() == [[True, True], [False, True]]
