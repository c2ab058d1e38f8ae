from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from prunus.allocation.allocate import allocate
from prunus.allocation.keep import keep_top
from prunus.errors import ArgumentError, TargetError, UnknownNameError
from prunus.masks.masks import Masks
from prunus.masks.patterns import parse_pattern

values = st.lists(st.sampled_from([0.0, 1.0, 2.0, -1.0]), min_size=1, max_size=20)  # many ties
score_sets = st.lists(values, min_size=1, max_size=4).map(
    lambda lists: {f"w{i}": torch.tensor(each) for i, each in enumerate(lists)}
)
sparsities = st.floats(0, 0.99)


def best(scores, count):
    """Brute force: the ``count`` best of all, by a stable sort of (name, index) in order."""
    places = [(name, i) for name, score in scores.items() for i in range(score.numel())]
    ranked = sorted(places, key=lambda place: -float(scores[place[0]].reshape(-1)[place[1]]))
    return set(ranked[:count])


def kept(masks):
    return {(name, i) for name, mask in masks.items() for i, bit in enumerate(mask.reshape(-1).tolist()) if bit}


def total(scores):
    return sum(score.numel() for score in scores.values())


@given(score_sets, sparsities)
def test_keep_top_removes_the_exact_count_and_of_equal_scores_the_first_stays(scores, sparsity):
    masks = keep_top(scores, sparsity)
    assert masks.removed == round(sparsity * total(scores))
    assert kept(masks) == best(scores, masks.kept)


@given(score_sets, sparsities)
def test_the_layer_scope_counts_in_every_tensor(scores, sparsity):
    masks = allocate(scores, sparsity, scope="layer", protect=False).masks
    for name, score in scores.items():
        assert int((~masks[name]).sum()) == round(sparsity * score.numel())
        assert kept(Masks({name: masks[name]})) == best({name: score}, int(masks[name].sum()))


@given(score_sets, sparsities)
def test_protection_acts_exactly_where_a_tensor_would_be_emptied(scores, sparsity):
    plain = allocate(scores, sparsity, protect=False)
    emptied = tuple(name for name, mask in plain.masks.items() if not mask.any())
    assert plain.protected == ()
    if plain.masks.kept < len(scores) and len(scores) > 1:
        with pytest.raises(TargetError, match=f"leaves {plain.masks.kept} for {len(scores)} tensors"):
            allocate(scores, sparsity)
        return
    found = allocate(scores, sparsity)
    assert found.protected == emptied
    assert found.masks.kept == max(plain.masks.kept, 1)
    if not emptied:
        assert found.masks == plain.masks
    else:
        first_best = {(name, int(score.argmax())) for name, score in scores.items()}
        assert first_best <= kept(found.masks)
        others = {place for place in best(scores, total(scores)) if place not in first_best}
        rest = kept(found.masks) - first_best
        worth = {place: float(scores[place[0]].reshape(-1)[place[1]]) for place in others}
        assert not rest or min(worth[place] for place in rest) >= max(
            (worth[place] for place in others - rest), default=-math.inf
        )


@given(score_sets, sparsities)
def test_in_the_layer_scope_every_tensor_keeps_its_best(scores, sparsity):
    found = allocate(scores, sparsity, scope="layer")
    for name, score in scores.items():
        wanted = score.numel() - round(sparsity * score.numel())
        assert int(found.masks[name].sum()) == max(wanted, 1)
        assert (name in found.protected) == (wanted == 0)
        assert bool(found.masks[name][int(score.argmax())])


@given(score_sets, sparsities, sparsities, st.sampled_from(["global", "layer"]), st.booleans())
def test_masks_are_nested_and_counts_include_what_is_gone(scores, first, second, scope, protect):
    first, second = sorted((first, second))
    try:
        current = allocate(scores, first, scope=scope, protect=protect).masks
        other = {name: -score for name, score in scores.items()}
        found = allocate(other, second, scope=scope, current=current, protect=protect).masks
    except TargetError:
        assume(False)
    assert found & current == found
    alone = allocate(scores, second, scope=scope, protect=protect).masks
    assert found.kept == alone.kept


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_going_back_to_a_lower_sparsity_is_refused(scope):
    scores = {"a": torch.arange(10.0), "b": torch.arange(10.0)}
    current = allocate(scores, 0.5, scope=scope).masks
    with pytest.raises(TargetError, match=r"cannot go back to sparsity 0.4: .* are removed already"):
        allocate(scores, 0.4, scope=scope, current=current)
    assert allocate(scores, 0.5, scope=scope, current=current).masks == current


def test_a_tensor_that_is_gone_stays_gone_and_is_no_one_to_protect():
    scores = {"gone": torch.ones(4), "left": torch.arange(10.0)}
    current = Masks({"gone": torch.zeros(4, dtype=torch.bool), "left": torch.ones(10, dtype=torch.bool)})
    for scope, sparsity in (("global", 0.9), ("layer", 0.9)):
        found = allocate(scores, sparsity, scope=scope, current=current)
        assert found.masks & current == found.masks
        assert found.masks.kept == 1
        assert found.protected == ()


def test_protecting_one_tensor_brings_no_other_back():
    scores = {"gone": torch.ones(4), "small": torch.zeros(4), "big": torch.arange(1.0, 9.0)}
    current = Masks.dense(scores) & Masks(
        {name: torch.full(score.shape, name != "gone") for name, score in scores.items()}
    )
    found = allocate(scores, 0.75, current=current)
    assert found.protected == ("small",)
    assert [int(mask.sum()) for mask in found.masks.values()] == [0, 1, 3]


def test_the_protected_weight_takes_the_place_of_the_worst_one():
    scores = {"big": torch.tensor([5.0, 4.0, 3.0, 2.0]), "small": torch.tensor([0.1, 0.3, 0.2, 0.3])}
    found = allocate(scores, 0.625)
    assert found.protected == ("small",)
    assert found.masks["big"].tolist() == [True, True, False, False]
    assert found.masks["small"].tolist() == [False, True, False, False]
    assert found.requested_sparsity == 0.625


def test_a_target_that_leaves_less_than_one_for_each_tensor_is_refused():
    scores = {name: torch.rand(10) for name in "abc"}
    with pytest.raises(TargetError, match=r"leaves 2 for 3 tensors, of which each keeps at least one: ask for less"):
        allocate(scores, 0.93)
    assert allocate(scores, 0.93, protect=False).masks.kept == 2
    assert allocate(scores, 0.9).masks.kept == 3


@pytest.mark.parametrize("sparsity", [90, 1.0, -0.1, math.nan, "0.5", True, None])
def test_a_sparsity_out_of_bounds_is_refused(sparsity):
    for call in (allocate, keep_top):
        with pytest.raises(ArgumentError, match=r"sparsity must lie in \[0, 1\)"):
            call({"a": torch.ones(3)}, sparsity)


def test_an_unknown_scope_or_pattern_is_refused():
    with pytest.raises(
        UnknownNameError, match=r"no scope is named 'globl': there are global, layer, row; did you mean"
    ):
        allocate({"a": torch.ones(3)}, 0.5, scope="globl")
    with pytest.raises(ArgumentError, match=r"no pattern is written 'rows'"):
        allocate({"a": torch.ones(3)}, 0.5, pattern="rows")


def test_nothing_to_rank_gives_no_masks():
    assert len(keep_top({}, 0.5)) == 0
    assert len(allocate({}, 0.5).masks) == 0


# --- dtypes ---


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("pattern", ["weight", "row", "block:2x2", "2:4"])
def test_scores_of_any_float_dtype_are_ranked(dtype, pattern):
    scores = {"a": torch.randperm(32).reshape(4, 8).to(dtype), "b": torch.randperm(16).reshape(4, 4).to(dtype)}
    exact = {name: score.double() for name, score in scores.items()}
    assert allocate(scores, 0.5, pattern=pattern).masks == allocate(exact, 0.5, pattern=pattern).masks


@pytest.mark.parametrize("order", ["single half", "half single"])
def test_scores_of_several_dtypes_are_compared_exactly(order):
    # 0.1 rounds to 0.10009765625 in bfloat16: a threshold rounded to a tensor's dtype would make the two equal
    by_name = {"single": torch.tensor([0.1]), "half": torch.tensor([0.10009765625], dtype=torch.bfloat16)}
    scores = {name: by_name[name] for name in order.split()}
    assert keep_top(scores, 0.5)["half"].item() is True
    below = {"half": torch.tensor([0.1], dtype=torch.bfloat16), "single": torch.tensor([0.1001])}
    assert keep_top({name: below[name] for name in order.split()}, 0.5)["single"].item() is True


def test_doubles_that_differ_in_their_last_bit_are_told_apart():
    scores = {"single": torch.tensor([1.0]), "double": torch.tensor([1.0 + 2**-50], dtype=torch.float64)}
    assert keep_top(scores, 0.5)["double"].item() is True


def test_infinite_scores_are_extremes():
    scores = {"a": torch.tensor([-math.inf, 0.0, math.inf, 1.0])}
    assert keep_top(scores, 0.75)["a"].tolist() == [False, False, True, False]
    assert keep_top(scores, 0.25)["a"].tolist() == [False, True, True, True]


def test_one_element_tensors():
    scores = {"a": torch.tensor([1.0]), "b": torch.tensor(2.0), "c": torch.tensor([[3.0]])}
    assert kept(keep_top(scores, 0.5)) == {("c", 0)}
    assert allocate(scores, 0.0).masks.kept == 3
    for pattern in ("row", "block:2x2"):
        assert kept(allocate(scores, 1 / 3, pattern=pattern, protect=False).masks) == {("b", 0), ("c", 0)}


# --- groups ---


def test_rows_are_ranked_by_their_mean_and_go_whole():
    scores = {"a": torch.tensor([[1.0, 1.0], [0.0, 5.0], [0.0, 0.0]]), "b": torch.tensor([[2.0, 2.0], [0.1, 0.1]])}
    found = allocate(scores, 0.4, pattern="row").masks
    assert found["a"].tolist() == [[True, True], [True, True], [False, False]]
    assert found["b"].tolist() == [[True, True], [False, False]]


def test_the_mean_of_half_precision_scores_does_not_overflow():
    scores = {"a": torch.tensor([[60_000.0] * 4, [30_000.0] * 4, [50_000.0] * 4], dtype=torch.float16)}
    assert allocate(scores, 1 / 3, pattern="row").masks["a"].all(1).tolist() == [True, False, True]


def test_an_infinite_score_keeps_its_group():
    scores = {"a": torch.tensor([[math.inf, 0.0], [1.0, 1.0]])}
    assert allocate(scores, 0.5, pattern="row").masks["a"].all(1).tolist() == [True, False]


row_sets = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(0, 999)), min_size=2, max_size=4).map(
    lambda sizes: {
        f"w{i}": torch.randint(0, 4, (rows, columns), generator=torch.Generator().manual_seed(seed)).float()
        for i, (rows, columns, seed) in enumerate(sizes)
    }
)


@given(row_sets, sparsities)
def test_a_global_row_pattern_removes_the_nearest_number_that_whole_rows_in_order_can_give(scores, sparsity):
    masks = allocate(scores, sparsity, pattern="row", protect=False).masks
    assert all(bool((mask.all(1) | ~mask.any(1)).all()) for mask in masks.values())
    rows = [(float(row.double().mean()), row.numel()) for score in scores.values() for row in score]
    order = sorted(range(len(rows)), key=lambda index: -rows[index][0])[::-1]  # worst first, of equal ones the last
    reachable = [0]
    for index in order:
        reachable.append(reachable[-1] + rows[index][1])
    if len({size for _, size in rows}) > 1:
        target = round(sparsity * total(scores))
        assert abs(masks.removed - target) == min(abs(removed - target) for removed in reachable)
    else:
        assert masks.removed == round(sparsity * len(rows)) * rows[0][1]
    gone = set(order[: reachable.index(masks.removed)])
    verdicts = [bool(row.any()) for mask in masks.values() for row in mask]
    assert verdicts == [index not in gone for index in range(len(rows))]


def test_of_two_targets_as_near_the_lower_sparsity_is_taken():
    scores = {"a": torch.tensor([[1.0, 1.0]]), "b": torch.full((1, 4), 2.0), "c": torch.full((1, 2), 3.0)}
    assert allocate(scores, 0.5, pattern="row", protect=False).masks.removed == 2  # of 8: 2 and 6 are as near to 4


@given(row_sets, sparsities, st.sampled_from(["global", "layer"]))
def test_protected_rows_leave_no_tensor_empty(scores, sparsity, scope):
    try:
        found = allocate(scores, sparsity, pattern="row", scope=scope)
    except TargetError:
        assert scope == "global"
        return
    assert all(bool(mask.any()) for mask in found.masks.values())


def test_a_protected_row_of_another_size_leaves_the_number_nearest():
    scores = {"wide": torch.tensor([[3.0] * 10, [2.0] * 10, [1.0] * 10]), "narrow": torch.tensor([[0.1], [0.2], [0.3]])}
    found = allocate(scores, 0.3, pattern="row")
    assert found.protected == ("narrow",)
    assert found.masks.removed == 12  # of 33: 2, 12, 22 and 32 can be had, and 10 was asked for
    many = {"a": torch.full((1, 10), 0.1), "b": torch.tensor([[5.0], [4.0], [3.0], [2.0]] * 5)}
    protected = allocate(many, 0.5, pattern="row")
    assert protected.protected == ("a",)
    assert protected.masks.removed == 15  # of 30: the ten of 'a' stay, so fifteen of the small rows go


@pytest.mark.parametrize("pattern", ["row", "block:2x2"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_groups_stay_whole_and_nested(pattern, scope):
    scores = {"a": torch.rand(8, 6), "b": torch.rand(6, 4)}
    current = allocate(scores, 0.3, pattern=pattern, scope=scope).masks
    found = allocate({n: -s for n, s in scores.items()}, 0.6, pattern=pattern, scope=scope, current=current).masks
    assert found & current == found
    for layout in parse_pattern(pattern).layouts({name: mask.shape for name, mask in found.items()}):
        fractions = layout.matrix(lambda name: found[name].float(), 0.0).sum(1) / layout.sizes
        assert set(fractions.tolist()) <= {0.0, 1.0}


def test_a_group_is_ranked_by_what_is_left_of_it():
    scores = {"a": torch.tensor([[4.0, 0.0], [3.0, 3.0]])}
    current = Masks({"a": torch.tensor([[True, False], [True, True]])})
    assert allocate(scores, 0.75, pattern="row", current=current).masks["a"].tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("pattern", ["row", "column", "block:2x2"])
def test_weights_that_are_missing_from_a_group_count_as_removed(pattern, scope):
    scores = {"a": torch.rand(20, 12), "b": torch.rand(12, 20)}
    current = allocate(scores, 0.5, scope=scope).masks
    found = allocate({n: -s for n, s in scores.items()}, 0.75, pattern=pattern, scope=scope, current=current).masks
    assert found & current == found
    assert all(abs(sparsity - 0.75) < 0.03 for sparsity in found.sparsities.values()) or scope == "global"
    assert abs(found.sparsity - 0.75) < 0.03
    with pytest.raises(TargetError, match=r"cannot go back to sparsity 0\.4"):
        allocate(scores, 0.4, pattern=pattern, scope=scope, current=current)


def test_rows_that_went_beyond_the_target_are_not_asked_back():
    scores = {"a": torch.tensor([[1.0] * 4, [3.0] * 4]), "b": torch.full((1, 16), 2.0)}
    current = allocate(scores, 0.55, pattern="row", protect=False).masks
    assert current.removed == 20  # of 24, for 4 are farther from 13
    assert allocate(scores, 0.58, pattern="row", protect=False, current=current).masks == current
    with pytest.raises(TargetError, match=r"cannot go back to sparsity 0\.45: 20 of 24 are removed already"):
        allocate(scores, 0.45, pattern="row", protect=False, current=current)


@given(row_sets, sparsities, sparsities, st.sampled_from(["global", "layer"]))
def test_more_than_was_asked_for_is_no_going_back_where_whole_groups_went(scores, first, second, scope):
    first, second = sorted((first, second))
    settings = {"pattern": "block:2x4", "scope": scope, "protect": False}
    current = allocate(scores, first, **settings).masks
    found = allocate({n: -s for n, s in scores.items()}, second, current=current, **settings).masks
    assert found & current == found


@given(st.integers(1, 9), st.integers(1, 9), sparsities, st.integers(0, 999), st.sampled_from(["global", "layer"]))
def test_blocks_of_one_tensor_that_differ_in_size_are_counted_by_their_weights(rows, columns, sparsity, seed, scope):
    scores = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed))
    masks = allocate({"a": scores}, sparsity, pattern="block:2x4", scope=scope, protect=False).masks
    blocks = [block for some in scores.split(2) for block in some.split(4, 1)]
    sizes = [block.numel() for block in sorted(blocks, key=lambda block: float(block.double().mean()))]
    if len(set(sizes)) > 1:
        reachable = [sum(sizes[:count]) for count in range(len(sizes) + 1)]
        target = round(sparsity * rows * columns)
        assert abs(masks.removed - target) == min(abs(removed - target) for removed in reachable)


# --- N:M ---


def test_n_of_m_refuses_any_other_sparsity():
    scores = {"a": torch.rand(2, 8)}
    with pytest.raises(TargetError, match=r"the pattern 2:4 fixes the sparsity at 0.5, got 0.6: ask for that"):
        allocate(scores, 0.6, pattern="2:4")
    assert allocate(scores, 0.5, pattern="2:4").masks.sparsity == 0.5
    assert allocate({"a": torch.rand(2, 9)}, 2 / 3, pattern="1:3").masks.removed == 12


@pytest.mark.parametrize("groups", [1, 2])
def test_n_of_m_inputs_of_a_transposed_convolution_stay(groups):
    layer = nn.ConvTranspose1d(8, 6, 3, groups=groups)  # whose first dimension numbers the inputs
    scores = {"weight": torch.rand(layer.weight.shape)}
    mask = allocate(scores, 0.5, pattern="2:4", model=layer).masks["weight"]
    for some, of_some in zip(scores["weight"].split(4), mask.split(4), strict=True):
        assert torch.equal(of_some, some >= some.sort(0).values[2])
    with pytest.raises(TargetError, match=r"'weight' has 6 inputs, not a multiple of 4"):
        allocate({"weight": torch.rand(6, 4, 3)}, 0.5, pattern="2:4", model=nn.ConvTranspose1d(6, 4, 3))


def test_n_of_m_is_nested_in_the_current_masks():
    current = Masks({"a": torch.tensor([[True, True, False, True]])})
    found = allocate({"a": torch.tensor([[1.0, 2.0, 9.0, 3.0]])}, 0.5, pattern="2:4", current=current)
    assert found.masks["a"].tolist() == [[False, True, False, True]]
    current = Masks({"a": torch.tensor([[True, False, False, False]])})
    with pytest.raises(TargetError, match=r"leave fewer than 2 of some 4 weights"):
        allocate({"a": torch.ones(1, 4)}, 0.5, pattern="2:4", current=current)
