"""SparseGPT, against its equations written down column by column with explicit inverses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from prunus.allocation.technique import Technique
from prunus.criteria.activations import input_second_moments
from prunus.criteria.compensation import Fixed, Neighbours, Share, compensate, damped
from prunus.criteria.scoring import score
from prunus.criteria.sparsegpt import SparseGPT
from prunus.criteria.subject import Subject
from prunus.errors import ArgumentError, ScoreError
from prunus.masks.masks import Masks
from prunus.masks.patterns import KeepOf
from prunus.masks.scope import Scope


def subject_of(model, *inputs, **scope):
    batches = [(each, torch.zeros(len(each))) for each in inputs]
    return Subject(model, Scope(**scope).parameters(model), batches)


def correlated(rows, inputs, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(inputs) + 0.4 * torch.randn(inputs, inputs, generator=generator)
    return (torch.randn(rows, inputs, generator=generator) @ mixing).double()


def problem(outputs, inputs, seed=0):
    """Weights (outputs, inputs) and positive definite second moments."""
    seen = correlated(3 * inputs, inputs, seed)
    weights = torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed + 1)).double()
    return weights, damped(seen.T @ seen / len(seen), 0.01)


def column_by_column(weights, moments, choose, every):
    """Visit the inputs in order; those that go are made up for by all that are not yet visited (the paper's eq. 3).

    ``choose(first, scores)`` says which weights of the next ``every`` inputs go.
    """
    weights, inputs = weights.copy(), weights.shape[1]
    going = np.zeros(weights.shape, dtype=bool)
    inverses = [np.linalg.inv(moments[place:, place:]) for place in range(inputs)]
    variances = np.array([inverse[0, 0] for inverse in inverses])
    for place in range(inputs):
        if place % every == 0:
            asked = slice(place, place + every)
            going[:, asked] = choose(place, weights[:, asked] ** 2 / variances[asked])
        removed = weights[:, place] * going[:, place]
        weights[:, place:] -= np.outer(removed / variances[place], inverses[place][0])
        weights[going[:, place], place] = 0.0
    return going, weights


def lowest(count_of):
    def choose(first, scores):
        count = count_of(first, scores)
        found = np.zeros(scores.size, dtype=bool)
        found[np.argsort(scores, axis=None, kind="stable")[:count]] = True
        return found.reshape(scores.shape)

    return choose


def solved(weights, moments, choice, block):
    going, after = compensate(weights.mT.contiguous(), moments, choice, block)
    return going.mT.numpy(), after.mT.numpy()


def nothing(weights):
    return torch.zeros_like(weights.mT, dtype=torch.bool)


@given(st.integers(1, 6), st.integers(1, 70), st.sampled_from([1, 4, 40, 128]), st.integers(0, 99))
@settings(max_examples=25)
def test_a_mask_chosen_before_is_made_up_for_as_the_equations_say_whatever_the_blocks(outputs, inputs, block, seed):
    weights, moments = problem(outputs, inputs, seed)
    going = torch.rand(weights.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    found, after = solved(weights, moments, Fixed(going.mT), block)
    expected = column_by_column(weights.numpy(), moments.numpy(), lambda first, _: going.numpy(), inputs)
    np.testing.assert_array_equal(found, going)
    np.testing.assert_allclose(after, expected[1], atol=1e-8)


@given(st.integers(1, 6), st.integers(1, 2), st.sampled_from([8, 36]), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
@settings(max_examples=25)
def test_masks_are_chosen_block_by_block_from_the_weights_as_they_have_become(outputs, blocks, block, sparsity):
    weights, moments = problem(outputs, blocks * block)
    choice = Share(round(sparsity * weights.numel()), nothing(weights))
    going, after = solved(weights, moments, choice, block)
    choose = lowest(lambda first, scores: round(sparsity * scores.size))
    expected = column_by_column(weights.numpy(), moments.numpy(), choose, block)
    np.testing.assert_array_equal(going, expected[0])
    np.testing.assert_allclose(after, expected[1], atol=1e-8)


@pytest.mark.parametrize(("keep", "of", "block"), [(2, 4, 32), (1, 2, 8), (2, 3, 9), (5, 7, 35), (1, 33, 33)])
def test_n_of_m_are_chosen_group_by_group(keep, of, block):
    weights, moments = problem(5, of * (70 // of))
    going, after = solved(weights, moments, Neighbours(KeepOf(keep, of), nothing(weights)), block)

    def choose(first, scores):
        found = np.zeros(scores.shape, dtype=bool)
        np.put_along_axis(found, np.argsort(scores, axis=1)[:, : of - keep], True, axis=1)
        return found

    expected = column_by_column(weights.numpy(), moments.numpy(), choose, of)
    np.testing.assert_array_equal(going, expected[0])
    np.testing.assert_allclose(after, expected[1], atol=1e-8)
    assert (~going).reshape(5, -1, of).sum(-1).tolist() == [[keep] * (weights.shape[1] // of)] * 5


few_values = st.lists(st.sampled_from([0.0, 1.0, -1.0, 2.0]), min_size=12, max_size=60)


@given(few_values, st.floats(0, 1), st.integers(1, 5), st.integers(1, 9))
@settings(max_examples=60)
def test_exactly_as_many_go_as_asked_despite_ties_and_what_is_gone_stays_gone(values, fraction, outputs, block):
    inputs = len(values) // outputs
    weights = torch.tensor(values[: outputs * inputs]).reshape(inputs, outputs).double()
    zeros = weights == 0
    count = int(zeros.sum()) + round(fraction * int((~zeros).sum()))
    going, after = compensate(weights, torch.eye(inputs).double(), Share(count, zeros), block)
    assert int(going.sum()) == count
    assert bool(going[zeros].all())
    assert bool((after[going] == 0).all())
    torch.testing.assert_close(after, weights.masked_fill(going, 0.0))  # uncorrelated inputs make up for nothing


def test_of_equal_weights_the_first_stay():
    going, _ = compensate(torch.ones(4, 3), torch.eye(4), Share(7, torch.zeros(4, 3, dtype=torch.bool)), 4)
    assert going.mT.reshape(-1).tolist() == [False] * 5 + [True] * 7
    none = torch.zeros(6, 2, dtype=torch.bool)
    going, _ = compensate(torch.ones(6, 2), torch.eye(6), Neighbours(KeepOf(2, 3), none), 6)
    assert going.mT.tolist() == [[False, False, True] * 2] * 2


def test_each_block_loses_the_same_fraction_of_what_may_go():
    weights = torch.arange(1.0, 41.0).reshape(10, 4)
    gone = torch.zeros(10, 4, dtype=torch.bool)
    gone[:2] = True
    going, _ = compensate(weights, torch.eye(10), Share(8 + 16, gone), 2)
    assert going.reshape(5, 8).sum(1).tolist() == [8, 4, 4, 4, 4]
    going, _ = compensate(weights, torch.eye(10), Share(18, torch.zeros_like(gone)), 2)
    assert going.reshape(5, 8).sum(1).tolist() == [4, 4, 3, 4, 3]


def error(before, after, moments):
    change = before - after
    return ((change @ moments) * change).sum(1)


@given(st.integers(2, 30), st.integers(0, 99))
@settings(max_examples=30)
def test_removing_one_weight_leaves_what_least_squares_leaves(inputs, seed):
    weights, _ = problem(1, inputs, seed)
    seen = correlated(3 * inputs, inputs, seed)
    place = seed % inputs
    going = torch.zeros(inputs, 1, dtype=torch.bool)
    going[place] = True
    _, after = solved(weights, damped(seen.T @ seen / len(seen), 1e-12), Fixed(going), 8)
    later = seen[:, place + 1 :].numpy()
    target = seen[:, place:].numpy() @ weights[0, place:].numpy()
    expected = np.linalg.lstsq(later, target, rcond=None)[0]
    np.testing.assert_array_equal(after[0, :place], weights[0, :place])
    np.testing.assert_allclose(after[0, place + 1 :], expected, rtol=1e-5, atol=1e-5)


@given(st.integers(2, 40), st.integers(0, 999))
@settings(max_examples=40)
def test_an_output_that_loses_one_weight_is_never_worse_for_the_update(inputs, seed):
    weights, moments = problem(4, inputs, seed)
    going = torch.zeros(inputs, 4, dtype=torch.bool)
    going[seed % inputs] = True
    _, after = solved(weights, moments, Fixed(going), 16)
    without = error(weights, weights.masked_fill(going.mT, 0.0), moments)
    assert bool((error(weights, torch.from_numpy(after), moments) <= without * (1 + 1e-9)).all())


@given(st.integers(2, 20), st.floats(0.05, 0.95), st.integers(0, 999))
@settings(max_examples=40)
def test_no_output_is_the_worse_for_reconstruction_whatever_the_mask(inputs, sparsity, seed):
    layer, seen = nn.Linear(inputs, 8).double(), correlated(3 * inputs, inputs, seed)
    subject = subject_of(layer, seen)
    generator = torch.Generator().manual_seed(seed)
    masks = Masks({"weight": torch.rand(8, inputs, generator=generator) >= sparsity})
    kept, weights = SparseGPT(sequential=False).reconstruct(subject, masks, "row")
    moments, dense = input_second_moments(subject)["weight"][0], layer.weight.detach()
    assert kept == masks
    assert bool((weights["weight"][~masks["weight"]] == 0).all())
    with_update = error(dense, weights["weight"], moments)
    assert bool((with_update <= error(dense, dense * masks["weight"], moments) + 1e-12).all())


@pytest.mark.parametrize("pattern", ["weight", "2:4", "block:2x2", "column"])
@pytest.mark.parametrize("criterion", ["magnitude", "sparsegpt"])
def test_reconstruction_lowers_the_layers_squared_error(pattern, criterion):
    layer, inputs = nn.Linear(32, 16, bias=False).double(), correlated(200, 32)
    subject = subject_of(layer, inputs)
    masks = Technique(criterion, pattern=pattern, scope="layer", protect=False).allocate(subject, 0.5).masks
    kept, weights = SparseGPT(sequential=False).reconstruct(subject, masks, pattern)
    dense = layer.weight.detach()
    moments = input_second_moments(subject)["weight"][0]
    with_update = error(dense, weights["weight"], moments).sum()
    without = error(dense, dense * kept["weight"], moments).sum()
    assert with_update < 0.9 * without
    assert kept.kept == masks.kept
    if pattern not in ("weight", "2:4"):
        assert kept == masks


def test_the_static_scores_are_the_loss_that_an_optimal_update_cannot_avoid():
    layer, inputs = nn.Linear(6, 2).double(), correlated(50, 6)
    found = score(subject_of(layer, inputs), SparseGPT(damping=1e-12))["weight"]
    for output in range(2):
        for place in range(6):
            others = [each for each in range(6) if each != place]
            lost = inputs[:, place].numpy() * layer.weight[output, place].item()
            left = np.linalg.lstsq(inputs[:, others].numpy(), lost, rcond=None)[0]
            residual = lost - inputs[:, others].numpy() @ left
            assert found[output, place].item() == pytest.approx((residual**2).mean(), rel=1e-6)


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(4, 8, 3, groups=2, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 2), nn.Flatten(), nn.Linear(72, 6)]
    return nn.Sequential(*layers).double()


def images(count=60):
    return correlated(count * 4, 16).reshape(count, 4, 4, 4)


def test_layers_are_solved_in_the_order_of_calls_on_what_the_pruned_ones_before_give_them():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.second, self.first = nn.Linear(12, 4).double(), nn.Linear(8, 12).double()

        def forward(self, inputs):
            return self.second(self.first(inputs).relu())

    model, inputs = Backwards(), correlated(100, 8)
    subject = subject_of(model, inputs[:40], inputs[40:])
    dense = {name: weight.clone() for name, weight in subject.weights().items()}
    masks = Masks({name: torch.rand(weight.shape) < 0.5 for name, weight in dense.items()})
    kept, weights = SparseGPT(block_size=4).reconstruct(subject, masks, "weight")

    def expected(name, seen):
        moments = damped(seen.T @ seen / len(seen), 0.01)
        choice = Share(int((~masks[name]).sum()), nothing(dense[name]))
        return solved(dense[name], moments, choice, 4)

    going, first = expected("first.weight", inputs)
    np.testing.assert_allclose(weights["first.weight"].numpy(), first)
    hidden = (inputs @ torch.from_numpy(first).T + model.first.bias.detach()).relu()
    np.testing.assert_array_equal(~kept["first.weight"].numpy(), going)
    np.testing.assert_allclose(weights["second.weight"].numpy(), expected("second.weight", hidden)[1])
    assert list(kept) == list(masks)


@pytest.mark.parametrize("sequential", [True, False])
@pytest.mark.parametrize("pattern", ["weight", "1:2", "2:4", "row", "kernel", "block:2x3", "channel"])
def test_a_network_keeps_its_counts_and_pattern_and_the_model_is_left_alone(pattern, sequential):
    model = network()
    subject = subject_of(model, images(), exclude=("0",) if pattern == "2:4" else ())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settings = {"sequential": sequential, "block_size": 10}
    found = Technique("sparsegpt", pattern=pattern, scope="layer", settings=settings).allocate(subject, 0.5)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    static = Technique(SparseGPT(block_size=10).__call__, pattern=pattern, scope="layer").allocate(subject, 0.5).masks
    for name, mask in found.masks.items():
        assert mask.sum() == static[name].sum()
        assert bool((found.weights[name][~mask] == 0).all())
        if ":" in pattern and "block" not in pattern:
            keep, of = map(int, pattern.split(":"))
            groups = mask.movedim(1, -1).reshape(-1, of)
            assert bool((groups.sum(1) == keep).all())
        elif pattern != "weight":
            assert torch.equal(mask, static[name])


def test_n_of_m_of_a_convolution_is_that_of_a_linear_layer_with_its_channels_side_by_side():
    layer, inputs = nn.Conv2d(4, 6, 2, bias=False).double(), images()
    rows = torch.cat([inputs[:, :, i : i + 3, j : j + 3].flatten(2) for i in range(2) for j in range(2)], 1)
    twin = nn.Linear(16, 6, bias=False).double()
    twin.weight.data = layer.weight.data.permute(0, 2, 3, 1).reshape(6, 16)
    settings = {"settings": {"block_size": 8}, "pattern": "2:4"}
    found = Technique("sparsegpt", **settings).allocate(subject_of(layer, inputs), 0.5)
    expected = Technique("sparsegpt", **settings).allocate(subject_of(twin, rows.mT.reshape(-1, 16)), 0.5)
    flat = found.weights["weight"].permute(0, 2, 3, 1).reshape(6, 16)
    torch.testing.assert_close(flat, expected.weights["weight"])


def test_a_grouped_convolution_is_solved_group_by_group():
    layer, inputs = nn.Conv2d(4, 6, 2, groups=2, bias=False).double(), images()
    dense, masks = layer.weight.detach().clone(), Masks({"weight": torch.rand(6, 2, 2, 2) < 0.5})
    kept, weights = SparseGPT().reconstruct(subject_of(layer, inputs), masks, "weight")
    for group in range(2):
        rows, channels = slice(3 * group, 3 * group + 3), slice(2 * group, 2 * group + 2)
        part = nn.Conv2d(2, 3, 2, bias=False).double()
        part.weight.data = dense[rows].clone()
        of_part = SparseGPT().reconstruct(
            subject_of(part, inputs[:, channels]), Masks({"weight": masks["weight"][rows]}), "weight"
        )
        assert torch.equal(kept["weight"][rows], of_part[0]["weight"])
        torch.testing.assert_close(weights["weight"][rows], of_part[1]["weight"])


def test_what_earlier_masks_removed_stays_removed():
    model, inputs = network(), images()
    subject = subject_of(model, inputs)
    for pattern, first, second in (("weight", 0.3, 0.7), ("weight", 0.5, 0.5)):
        current = Technique("random", pattern=pattern, scope="layer").allocate(subject, first)
        current.apply(model)
        found = Technique("sparsegpt", pattern=pattern, scope="layer").allocate(subject, second, current.masks)
        assert found.masks & current.masks == found.masks
        assert found.masks.sparsity == pytest.approx(second, abs=1e-3)
    current = Technique("random", pattern="1:2").allocate(subject, 0.5)
    current.apply(model)
    found = Technique("sparsegpt", pattern="1:2").allocate(subject, 0.5, current.masks)
    assert found.masks == current.masks


@pytest.mark.parametrize("criterion", ["sparsegpt", "layerwise-obs"])
@pytest.mark.parametrize(("pattern", "first", "second"), [("weight", 0.5, 0.75), ("1:2", 0.5, 0.5)])
def test_what_was_removed_stays_so_even_where_the_model_has_other_weights_there(criterion, pattern, first, second):
    model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    subject = subject_of(model, torch.randn(40, 12))
    current = Technique("random", pattern=pattern).allocate(subject, first).masks  # and nobody has applied them
    found = Technique(criterion, pattern=pattern).allocate(subject, second, current)
    assert found.masks & current == found.masks
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_weights_of_inputs_that_are_always_zero_go_first_and_become_zero():
    layer, inputs = nn.Linear(8, 4).double(), correlated(50, 8)
    inputs[:, [1, 6]] = 0.0
    subject = subject_of(layer, inputs)
    assert bool((score(subject, "sparsegpt")["weight"][:, [1, 6]] == 0).all())
    found = Technique("sparsegpt", scope="layer").allocate(subject, 0.25)
    assert bool((found.weights["weight"][:, [1, 6]] == 0).all())
    assert bool(found.weights["weight"].isfinite().all())
    assert found.masks["weight"].sum(0).tolist() == [4, 0, 4, 4, 4, 4, 0, 4]


def test_a_layer_that_sees_nothing_but_zeros_becomes_zero():
    layer = nn.Linear(5, 3).double()
    masks = Masks({"weight": torch.rand(3, 5) < 0.5})
    kept, weights = SparseGPT().reconstruct(subject_of(layer, torch.zeros(4, 5).double()), masks, "weight")
    assert kept.kept == masks.kept
    assert bool((weights["weight"] == 0).all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_half_precision_is_solved_in_float32_and_given_back_as_it_came(dtype):
    layer, inputs = nn.Linear(16, 8).to(dtype), correlated(100, 16).to(dtype)
    masks = Masks({"weight": torch.rand(8, 16) < 0.5})
    wide = nn.Linear(16, 8)
    wide.weight.data = layer.weight.data.float()
    found = SparseGPT(sequential=False).reconstruct(subject_of(layer, inputs), masks, "row")[1]["weight"]
    expected = SparseGPT(sequential=False).reconstruct(subject_of(wide, inputs.float()), masks, "row")[1]["weight"]
    assert found.dtype == dtype
    assert torch.equal(found, expected.to(dtype))


def test_moments_that_cannot_be_factorised_say_what_to_do():
    layer, inputs = nn.Linear(40, 3), correlated(3, 40).float()
    with pytest.raises(ScoreError, match=r"'weight': .* raise the damping"):
        score(subject_of(layer, inputs), SparseGPT(damping=1e-30))


@pytest.mark.parametrize("settings", [{"block_size": 0}, {"damping": 0.0}, {"damping": float("nan")}])
def test_settings_out_of_bounds_are_refused(settings):
    with pytest.raises(ArgumentError, match="must be"):
        SparseGPT(**settings)
