from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunus.criteria import quadratic
from prunus.criteria.quadratic import Quota, inverted, refitted, removal_errors
from prunus.errors import ScoreError


def problem(width, rows, seed, examples=None):
    """Weights and the H of ½ ‖(w' − w) Xᵀ‖² / n, with the X it comes from."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(examples or 3 * width, width, generator=generator, dtype=torch.float64)
    inputs = inputs @ torch.randn(width, width, generator=generator, dtype=torch.float64)
    weights = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    return weights, inputs / len(inputs) ** 0.5


def best(row, inputs, kept):
    """The row of least squares among those that are zero where it is not kept, and its error: by lstsq."""
    found = torch.zeros_like(row)
    if kept.any():
        found[kept] = torch.linalg.lstsq(inputs[:, kept], (inputs @ row).unsqueeze(1)).solution.squeeze(1)
    return found, float((inputs @ (found - row)).square().sum() / 2)


def greedy(row, inputs, allowed=lambda gone: True):
    """Remove one by one by brute force: (weight, error added) in order."""
    kept = torch.ones_like(row, dtype=torch.bool)
    before, found = 0.0, []
    while kept.any():
        costs = {}
        for place in kept.nonzero().flatten().tolist():
            if allowed([*(gone for gone, _ in found), place]):
                without = kept.clone()
                without[place] = False
                costs[place] = best(row, inputs, without)[1]
        place = min(costs, key=costs.get)
        kept[place] = False
        found.append((place, costs[place] - before))
        before = costs[place]
    return found


sizes = st.tuples(st.integers(1, 7), st.integers(1, 3), st.integers(0, 10**6))


@settings(max_examples=25)
@given(sizes)
def test_removal_follows_brute_force_by_least_squares(size):
    weights, inputs = problem(*size)
    errors = removal_errors(weights, inverted(inputs.mT @ inputs, ""))
    for row, error in zip(weights, errors, strict=True):
        expected = greedy(row, inputs)
        assert error.argsort().tolist() == [place for place, _ in expected]
        added = torch.tensor([added for _, added in expected], dtype=torch.float64)
        torch.testing.assert_close(error.sort().values, added.cummax(0).values, rtol=1e-6, atol=1e-9)


@settings(max_examples=25)
@given(sizes, st.randoms(use_true_random=False))
def test_refitting_is_least_squares_on_what_is_kept(size, random):
    weights, inputs = problem(*size)
    kept = torch.tensor([[random.random() < 0.5 for _ in row] for row in weights])
    found = refitted(weights, kept, inverted(inputs.mT @ inputs, ""))
    for row, mask, after in zip(weights, kept, found, strict=True):
        torch.testing.assert_close(after, best(row, inputs, mask)[0], rtol=1e-6, atol=1e-8)


@settings(max_examples=20)
@given(sizes)
def test_removing_one_by_one_in_any_order_comes_to_the_same_as_together(size):
    weights, inputs = problem(*size)
    inverse = inverted(inputs.mT @ inputs, "")
    gone = list(range(0, weights.shape[1], 2))
    for order in (gone, gone[::-1]):
        after, left = weights.clone(), inverse.clone()
        for place in order:
            after -= torch.outer(after[:, place] / left[place, place], left[place])
            left -= torch.outer(left[place], left[place]) / left[place, place]
        kept = torch.ones_like(weights, dtype=torch.bool)
        kept[:, gone] = False
        torch.testing.assert_close(refitted(weights, kept, inverse), after * kept, rtol=1e-6, atol=1e-8)


def test_the_worked_example_of_the_surgeon():
    # Hassibi & Stork: magnitude and the diagonal would remove the first weight, the surgeon removes the second.
    weights = torch.tensor([[0.95, 1.0, 1.0]], dtype=torch.float64)
    hessian = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.9], [0.0, 0.9, 1.0]], dtype=torch.float64)
    inverse = inverted(hessian, "")
    assert weights.square().mul(hessian.diagonal()).argmin() == 0
    assert removal_errors(weights, inverse).argmin() == 1
    assert float(removal_errors(weights, inverse).min()) == pytest.approx(0.5 * (1 - 0.81))
    kept = torch.tensor([[True, False, True]])
    torch.testing.assert_close(refitted(weights, kept, inverse), torch.tensor([[0.95, 0.0, 1.9]], dtype=torch.float64))


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([(4, 2), (6, 3), (6, 2), (8, 4)]), st.data())
def test_no_set_loses_more_than_its_quota_before_the_others_have(seed, shape, data):
    width, of = shape
    most = data.draw(st.integers(1, of - 1))
    weights, inputs = problem(width, 2, seed)
    sets = torch.arange(width) // of
    errors = removal_errors(weights, inverted(inputs.mT @ inputs, ""), quota=Quota(sets, most))
    total = most * (width // of)

    def allowed(gone):
        return len(gone) > total or all(sum(place // of == each for place in gone) <= most for each in range(width))

    for row, error in zip(weights, errors, strict=True):
        assert error.argsort().tolist() == [place for place, _ in greedy(row, inputs, allowed)]


def test_what_must_go_first_goes_first():
    weights, inputs = problem(6, 1, seed=0)
    first = torch.tensor([[False, False, True, False, True, False]])
    errors = removal_errors(weights, inverted(inputs.mT @ inputs, ""), first)
    assert set(errors.argsort()[0, :2].tolist()) == {2, 4}


def test_the_lowest_scores_over_rows_are_the_beginnings_of_their_sequences():
    # Rises need not grow from step to step; Frantar & Alistarh take the next of least rise of all rows.
    weights, inputs = problem(9, 6, seed=3)
    errors = removal_errors(weights, inverted(inputs.mT @ inputs, ""))
    sequences = [greedy(row, inputs) for row in weights]
    assert any(later < earlier for each in sequences for (_, earlier), (_, later) in itertools.pairwise(each))
    position = [0] * len(sequences)
    for count in range(1, errors.numel()):
        row = min(
            (each for each in range(len(sequences)) if position[each] < 9),
            key=lambda each: sequences[each][position[each]][1],
        )
        position[row] += 1
        lowest = set(errors.flatten().argsort()[:count].tolist())
        taken = {9 * row + place for row, steps in enumerate(position) for place, _ in sequences[row][:steps]}
        assert lowest == taken


def test_scores_of_one_row_never_tie():
    inverse = torch.eye(40, dtype=torch.float64)
    errors = removal_errors(torch.zeros(1, 40, dtype=torch.float64), inverse)
    assert errors[0].unique().numel() == 40
    assert errors[0].argsort().tolist() == list(range(40))


@pytest.mark.parametrize("width", [40, 70])
def test_updates_applied_together_are_those_applied_one_by_one(width, monkeypatch):
    weights, inputs = problem(width, 3, seed=1)
    inverse = inverted(inputs.mT @ inputs, "")
    expected = removal_errors(weights, inverse)
    monkeypatch.setattr(quadratic, "_NARROW", 1)
    torch.testing.assert_close(removal_errors(weights, inverse), expected)


def test_rows_are_independent_of_how_many_are_treated_together(monkeypatch):
    weights, inputs = problem(12, 7, seed=2)
    inverse = inverted(inputs.mT @ inputs, "")
    kept = weights > 0
    whole = removal_errors(weights, inverse), refitted(weights, kept, inverse)
    monkeypatch.setattr(quadratic, "_ELEMENTS", 300)
    parts = removal_errors(weights, inverse), refitted(weights, kept, inverse)
    torch.testing.assert_close(parts, whole)
    each = inverse.expand(7, 12, 12)
    torch.testing.assert_close(refitted(weights, kept, each), whole[1])


def test_a_matrix_without_a_minimum_is_refused():
    with pytest.raises(ScoreError, match=r"lowest eigenvalue -1\), so that no error is the least: do something"):
        inverted(torch.diag(torch.tensor([1.0, -1.0])), "do something")
