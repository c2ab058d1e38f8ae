from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from prunus.errors import MaskError
from prunus.masks.masks import Masks

bits = st.lists(st.booleans(), min_size=6, max_size=6)


def masks_of(**values):
    return Masks({name: torch.tensor(value, dtype=torch.bool) for name, value in values.items()})


@st.composite
def pairs(draw):
    first, second = [
        Masks({"a": torch.tensor(draw(bits)).reshape(2, 3), "b": torch.tensor(draw(bits))}) for _ in range(2)
    ]
    return first, second


def test_masks_are_a_mapping_in_the_order_given():
    masks = masks_of(b=[1, 0], a=[1])
    assert list(masks) == ["b", "a"]
    assert len(masks) == 2
    assert "a" in masks
    assert "c" not in masks
    assert masks["b"].tolist() == [True, False]
    assert masks.get("c") is None
    with pytest.raises(KeyError):
        masks["c"]


@given(pairs())
def test_combinations_agree_with_those_of_sets(pair):
    first, second = pair

    def kept(masks):
        return {(name, i) for name, mask in masks.items() for i, bit in enumerate(mask.reshape(-1).tolist()) if bit}

    everything = kept(Masks.dense(first))
    assert kept(first & second) == kept(first) & kept(second)
    assert kept(first | second) == kept(first) | kept(second)
    assert kept(first - second) == kept(first) - kept(second)
    assert kept(first ^ second) == kept(first) ^ kept(second)
    assert kept(~first) == everything - kept(first)
    assert first.kept == len(kept(first))
    assert first.removed == len(everything) - len(kept(first))
    assert (first == second) is (kept(first) == kept(second))
    assert (first.digest() == second.digest()) is (first == second)


@pytest.mark.parametrize("operator", ["__and__", "__or__", "__sub__", "__xor__"])
def test_masks_of_other_names_or_shapes_do_not_combine(operator):
    masks = masks_of(a=[1, 0])
    with pytest.raises(MaskError, match=r"only one side has 'b'"):
        getattr(masks, operator)(masks_of(a=[1, 0], b=[1]))
    with pytest.raises(MaskError, match=r"'a' have different shapes: \(2,\) and \(1, 2\)"):
        getattr(masks, operator)(masks_of(a=[[1, 0]]))
    assert getattr(masks, operator)({"a": torch.ones(2)}) is NotImplemented


def test_masks_share_no_memory_with_what_they_were_made_from():
    given_ = torch.ones(3, dtype=torch.bool)
    masks = Masks({"a": given_})
    given_[0] = False
    assert masks["a"].all()
    weight = nn.Parameter(torch.tensor([1.0, 0.0]))
    nonzero = Masks.of_nonzero({"w": weight})
    with torch.no_grad():
        weight.zero_()
    assert nonzero["w"].tolist() == [True, False]


def test_a_combination_shares_no_memory_with_its_parts():
    first, second = masks_of(a=[1, 1]), masks_of(a=[1, 0])
    for combined in (first & second, first | second, first - second, first ^ second, ~first, first.to("cpu")):
        combined["a"].logical_not_()
    assert first == masks_of(a=[1, 1])
    assert second == masks_of(a=[1, 0])


def test_masks_are_equal_by_content_alone():
    assert masks_of(a=[1, 0], b=[1]) == masks_of(b=[1], a=[1, 0])
    assert masks_of(a=[1, 0]) != masks_of(a=[1, 1])
    assert masks_of(a=[1, 1]) != masks_of(a=[[1, 1]])
    assert masks_of(a=[1]) != masks_of(b=[1])
    assert masks_of(a=[1]) != {"a": torch.ones(1, dtype=torch.bool)}
    with pytest.raises(TypeError, match=r"unhashable"):
        hash(masks_of(a=[1]))


def test_copies_and_pickles_are_equal():
    masks = masks_of(a=[1, 0])
    assert copy.deepcopy(masks) == masks
    assert pickle.loads(pickle.dumps(masks)) == masks


def test_the_digest_is_the_same_on_every_machine():
    masks = Masks({"fc1.weight": torch.tensor([[True, False, True], [False, False, True]]), "é": torch.tensor(True)})
    assert masks.digest() == GOLDEN_DIGEST
    assert Masks(dict(reversed(list(masks.items())))).digest() == GOLDEN_DIGEST


# SHA-256 of '10:fc1.weight(2, 3)' + 0x25 + '1:é()' + 0x01: the definition in Masks.digest, computed with hashlib.
GOLDEN_DIGEST = "e5ecc400d3951e7f9e7813db58bf1886acc5c002e728ae0f4a4b004478d13571"


@pytest.mark.parametrize(
    "other",
    [
        masks_of(a=[1, 0, 0], b=[1]),
        masks_of(a=[[1, 0]], b=[1]),
        masks_of(a=[[1], [0]], c=[1]),
        masks_of(a=[[0], [1]], b=[1]),
        masks_of(b=[[1], [0]], a=[1]),
        masks_of(a=[[1], [0]]),
    ],
)
def test_the_digest_tells_names_shapes_and_bits_apart(other):
    assert other.digest() != masks_of(a=[[1], [0]], b=[1]).digest()


def test_sparsity_overall_and_of_each_tensor():
    masks = masks_of(a=[1, 0, 0, 0, 0, 0, 0, 0, 0, 0], b=[1, 1])
    assert masks.sparsity == 9 / 12
    assert masks.density == 1 - 9 / 12
    assert masks.sparsities == {"a": 0.9, "b": 0.0}
    assert (masks.total, masks.kept, masks.removed) == (12, 3, 9)
    assert repr(masks) == "Masks(2 tensors, 3 of 12 weights kept, sparsity 0.7500)"


def test_no_masks_at_all_remove_nothing():
    masks = Masks({})
    assert (masks.sparsity, masks.total, len(masks), repr(masks)) == (0.0, 0, 0, "Masks({})")


@pytest.mark.parametrize("mask", [torch.ones(2), torch.ones(2, dtype=torch.uint8), [True, False], None])
def test_a_mask_that_is_no_bool_tensor_is_refused(mask):
    with pytest.raises(MaskError, match=r"'a' must be a bool tensor, got"):
        Masks({"a": mask})


def test_a_mask_without_an_element_is_refused():
    with pytest.raises(MaskError, match=r"'a' has no element"):
        Masks({"a": torch.ones(3, 0, dtype=torch.bool)})


def test_dense_masks_keep_everything_and_nonzero_masks_what_is_not_zero():
    weights = {"a": torch.tensor([0.0, -0.0, 1e-45, float("nan")])}
    assert Masks.dense(weights)["a"].tolist() == [True] * 4
    assert Masks.of_nonzero(weights)["a"].tolist() == [False, False, True, True]


def test_apply_writes_positive_zeros_in_place():
    model = nn.Linear(2, 1, bias=False)
    weight = model.weight
    with torch.no_grad():
        weight.copy_(torch.tensor([[-1.0, float("inf")]]))
    masks_of(weight=[[0, 0]]).apply(model)
    assert model.weight is weight
    assert weight.detach().view(torch.int32).tolist() == [[0, 0]]
    assert weight.grad_fn is None


def test_masks_that_do_not_fit_the_model_are_refused():
    model = nn.Linear(2, 1)
    with pytest.raises(MaskError, match=r"no parameter 'wieght': it has 'bias', 'weight'"):
        masks_of(wieght=[[1, 0]]).apply(model)
    with pytest.raises(MaskError, match=r"shape \(2,\), the parameter \(1, 2\)"):
        masks_of(weight=[1, 0]).apply(model)
