"""The row scope: every output keeps as many."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunus.allocation.allocate import allocate
from prunus.errors import ArgumentError, TargetError
from prunus.masks.masks import Masks

few_values = st.lists(st.sampled_from([0.0, 1.0, 2.0, -1.0]), min_size=1, max_size=48)
matrices = st.tuples(few_values, st.integers(1, 6)).map(
    lambda drawn: torch.tensor((drawn[0] * drawn[1])[: len(drawn[0]) // drawn[1] * drawn[1] or drawn[1]]).reshape(
        drawn[1], -1
    )
)
sparsities = st.floats(0, 0.99)


def in_rows(scores, sparsity, **settings):
    return allocate({"weight": scores}, sparsity, scope="row", **settings).masks["weight"]


@given(matrices, sparsities)
def test_counts_are_exact_and_rows_differ_by_one_weight_at_most(scores, sparsity):
    mask = in_rows(scores, sparsity, protect=False)
    counts = mask.sum(1)
    assert int(mask.sum()) == scores.numel() - round(sparsity * scores.numel())
    assert int(counts.max() - counts.min()) <= 1


@given(matrices, sparsities)
def test_each_row_keeps_its_highest_and_of_equal_ones_the_first(scores, sparsity):
    mask = in_rows(scores, sparsity, protect=False)
    for row, kept in zip(scores.numpy(), mask.numpy(), strict=True):
        expected = np.zeros(len(row), dtype=bool)
        expected[np.argsort(-row, kind="stable")[: kept.sum()]] = True
        np.testing.assert_array_equal(kept, expected)


@given(matrices, sparsities)
def test_the_rows_whose_next_score_is_highest_keep_one_more(scores, sparsity):
    mask = in_rows(scores, sparsity, protect=False)
    least = int(mask.sum(1).min())
    if least < scores.shape[1]:
        following = scores.sort(1, descending=True).values[:, least]
        more = mask.sum(1) > least
        order = (-following).argsort(stable=True)
        assert sorted(order[: int(more.sum())].tolist()) == more.nonzero().flatten().tolist()


@given(matrices, sparsities, sparsities)
def test_masks_are_nested(scores, first, second):
    first, second = sorted((first, second))
    sparse, sparser = in_rows(scores, first), in_rows(scores, second)
    assert bool((sparser <= sparse).all())
    current = allocate({"weight": scores}, first, scope="row").masks
    assert torch.equal(in_rows(scores, second, current=current), sparser)


def test_a_row_without_another_weight_is_not_given_one_more():
    scores = torch.arange(12.0).reshape(3, 4)
    current = Masks({"weight": torch.tensor([[True] * 4, [True, False, False, False], [True, False, False, False]])})
    with pytest.raises(TargetError, match="were chosen in another scope"):
        in_rows(scores, 7 / 12, current=current)
    assert in_rows(scores, 8 / 12, current=current).sum(1).tolist() == [2, 1, 1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_scores_of_any_precision_are_ranked(dtype):
    scores = torch.tensor([[1.0, 3.0, 2.0, 0.0], [0.0, 0.0, 5.0, 4.0]], dtype=dtype)
    assert in_rows(scores, 0.5).tolist() == [[False, True, True, False], [False, False, True, True]]


@pytest.mark.parametrize("shape", [(), (5,), (4, 3, 2, 2)])
def test_a_row_is_what_shares_the_first_index(shape):
    scores = torch.rand(shape)
    mask = in_rows(scores, 0.5, protect=False)
    assert mask.shape == shape
    rows = mask.reshape(*shape[:1], -1).sum(-1)
    assert int(rows.max() - rows.min()) <= 1


def test_a_budget_says_how_sparse_each_tensor_is():
    scores = {"first": torch.rand(4, 10), "second": torch.rand(3, 8)}
    masks = allocate(scores, 0.5, scope="row", budget={"first": 0.2, "second": 0.75}).masks
    assert masks["first"].sum(1).tolist() == [8] * 4
    assert masks["second"].sum(1).tolist() == [2] * 3


def test_every_tensor_keeps_its_best_weight():
    found = allocate({"weight": torch.tensor([[1.0, 2.0], [4.0, 3.0]])}, 0.99, scope="row")
    assert found.masks["weight"].tolist() == [[False, False], [True, False]]
    assert found.protected == ("weight",)


def test_masks_of_another_scope_that_left_a_row_too_little_are_refused():
    scores = {"weight": torch.tensor([[1.0, 2.0, 3.0], [7.0, 8.0, 9.0]])}
    current = allocate(scores, 0.5).masks
    with pytest.raises(TargetError, match="another scope"):
        allocate(scores, 0.5, scope="row", current=current)
    with pytest.raises(TargetError, match="cannot go back"):
        allocate(scores, 0.2, scope="row", current=current)


def test_groups_are_not_compared_in_rows():
    with pytest.raises(ArgumentError, match="compares single weights, got the pattern 'channel'"):
        allocate({"weight": torch.rand(3, 3)}, 0.5, scope="row", pattern="channel")
