from __future__ import annotations

import hashlib
import json
import math

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from prunus.errors import ArgumentError, MaskError
from prunus.files.sealed import split_header
from prunus.packing.format import DTYPES, pack, unpack

shapes = array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["a", "a#", "a##", "a#bits", "a#kept", "a##bits", "#", "##", "", "__metadata__", "#__metadata__", 'a"b', "ü.w"]
)
with_fixtures = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def tensors(draw, shape=shapes):
    """Any bits in any dtype, with any share of elements that are zero in every bit; sometimes not contiguous."""
    dtype, sizes = draw(st.sampled_from(list(DTYPES))), draw(shape)
    width, count = torch.empty(0, dtype=dtype).element_size(), math.prod(sizes)
    data = np.frombuffer(draw(st.binary(min_size=count * width, max_size=count * width)), np.uint8)
    data = data % 2 if dtype == torch.bool else data.copy()
    kept = draw(st.lists(st.booleans(), min_size=count, max_size=count)) if draw(st.booleans()) else [True] * count
    data = data.reshape(count, width) * np.array(kept, np.uint8).reshape(count, 1)
    tensor = torch.empty(count, dtype=dtype)
    tensor.view(torch.uint8).numpy()[:] = data.reshape(-1)
    tensor = tensor.reshape(sizes)
    return tensor.transpose(0, -1) if sizes and draw(st.booleans()) else tensor


@st.composite
def tensors_with_masks(draw):
    named = draw(st.dictionaries(names, tensors(), max_size=4))
    masks = {}
    for name in draw(st.lists(st.sampled_from(list(named)), unique=True)) if named else []:
        count = named[name].numel()
        values = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        masks[name] = torch.tensor(values, dtype=torch.bool).reshape(named[name].shape)
        words = named[name].contiguous().reshape(-1).clone()
        words.as_strided((count,), (1,)).view(torch.uint8).reshape(count, words.element_size())[
            ~masks[name].reshape(-1)
        ] = 0
        named[name] = words.reshape(named[name].shape)
    return named, masks


def encodings(data: bytes) -> dict[str, dict]:
    return json.loads(split_header(data)[0]["__metadata__"]["prunus.tensors"])


@with_fixtures
@given(named=st.dictionaries(names, tensors(), max_size=4))
def test_any_tensors_come_back_bit_for_bit_and_in_order(named, same):
    unpacked = unpack(pack(named))
    assert list(unpacked.tensors) == list(named)
    assert all(same(unpacked.tensors[name], named[name]) for name in named)


@with_fixtures
@given(case=tensors_with_masks())
def test_given_masks_come_back_exactly_and_no_others(case, same):
    named, masks = case
    unpacked = unpack(pack(named, masks))
    assert all(same(unpacked.tensors[name], named[name]) for name in named)
    assert unpacked.masks.keys() == masks.keys()
    assert all(torch.equal(unpacked.masks[name], masks[name]) for name in masks)
    assert not unpacked.inferred


@with_fixtures
@given(named=st.dictionaries(st.text("ab", min_size=1), tensors(), max_size=3), given_masks=st.booleans())
def test_a_reader_of_safetensors_finds_the_same_values(named, given_masks, same):
    """Oracle: the raw tensors as the safetensors library reads them, put together by hand."""
    data = pack(named, {} if given_masks else None)
    raw = safetensors.torch.load(data)
    for name, record in encodings(data).items():
        if record["encoding"] == "dense":
            found = raw[name]
        else:
            assert record["encoding"] == "bitmask"
            count = math.prod(record["shape"])
            kept = torch.from_numpy(np.unpackbits(raw[f"{name}#bits"].numpy(), bitorder="little")[:count]).bool()
            width = raw[f"{name}#kept"].element_size()
            values = torch.zeros(count, width, dtype=torch.uint8)
            values[kept] = raw[f"{name}#kept"].view(torch.uint8).reshape(-1, width)
            found = values.reshape(-1).view(raw[f"{name}#kept"].dtype).reshape(record["shape"])
        assert same(found, named[name])


@given(st.integers(0, 64), st.sampled_from([torch.float32, torch.float16, torch.int8, torch.float64]))
def test_the_shorter_encoding_is_taken(zeros, dtype):
    tensor = torch.ones(64, dtype=dtype)
    tensor[:zeros] = 0
    data = pack({"a": tensor})
    payload = len(split_header(data)[1])
    assert payload == min(64 * tensor.element_size(), (64 - zeros) * tensor.element_size() + 8)


def test_negative_zero_and_the_payload_of_nan_are_kept(same):
    tensor = torch.zeros(64)
    tensor.view(torch.int32)[:4] = torch.tensor([-(2**31), 0x7FC01234, 0x7F800001, -1], dtype=torch.int32)
    unpacked = unpack(pack({"a": tensor}))
    assert encodings(pack({"a": tensor}))["a"]["encoding"] == "bitmask"
    assert same(unpacked.tensors["a"], tensor)
    assert unpacked.masks["a"].nonzero().flatten().tolist() == [0, 1, 2, 3]


def test_masks_are_inferred_only_where_none_are_given():
    tensors = {"a": torch.zeros(64), "b": torch.ones(64)}
    unpacked = unpack(pack(tensors))
    assert unpacked.inferred == unpacked.masks.keys() == {"a"}
    assert not unpacked.masks["a"].any()
    unpacked = unpack(pack(tensors, {}))
    assert not unpacked.masks
    assert not unpacked.inferred
    assert encodings(pack(tensors, {}))["a"]["encoding"] == "bitmask"


def test_a_mask_that_keeps_zeros_is_not_narrowed_to_what_is_not_zero():
    tensor, mask = torch.zeros(64), torch.arange(64) < 10
    unpacked = unpack(pack({"a": tensor}, {"a": mask}))
    assert torch.equal(unpacked.masks["a"], mask)


def test_a_mask_that_costs_space_is_stored_beside_dense_values(same):
    tensor, mask = torch.ones(64), torch.ones(64, dtype=torch.bool)
    data = pack({"a": tensor}, {"a": mask})
    assert encodings(data) == {"a": {"encoding": "dense", "mask": "given"}}
    assert safetensors.torch.load(data)["a"].equal(tensor)
    assert torch.equal(unpack(data).masks["a"], mask)
    assert same(unpack(data).tensors["a"], tensor)


@pytest.mark.parametrize("value", [1.0, -0.0, float("nan"), 1e-45])
def test_a_mask_that_removes_what_is_not_zero_is_refused(value):
    tensor = torch.zeros(8)
    tensor[3] = value
    mask = torch.arange(8) != 3
    with pytest.raises(MaskError, match=r"mask of 'a' removes elements that are not \+0.0"):
        pack({"a": tensor}, {"a": mask})


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"b": torch.ones(2, dtype=torch.bool)}, "mask for 'b', but no tensor"),
        ({"a": torch.ones(3, dtype=torch.bool)}, r"must be torch.bool of \(2,\), got torch.bool of \(3,\)"),
        ({"a": torch.ones(1, 2, dtype=torch.bool)}, "must be torch.bool"),
        ({"a": torch.ones(2, dtype=torch.uint8)}, "got torch.uint8"),
        ({"a": [True, False]}, "got list"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks, message):
    with pytest.raises(MaskError, match=message):
        pack({"a": torch.ones(2)}, masks)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(2, dtype=torch.complex128), "torch.complex128, which safetensors cannot hold"),
        (torch.zeros(2, device="meta"), "meta device"),
        (torch.zeros(2, 2).to_sparse(), "sparse_coo"),
        ([1.0], "'a' is a list: only tensors"),
    ],
)
def test_tensors_without_storable_bytes_are_refused(tensor, message):
    with pytest.raises(ArgumentError, match=message):
        pack({"a": tensor})


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(1, 1).as_strided((1, 1), (7, 5)),
        torch.from_numpy(np.empty(0, np.float32)),
        torch.ones(3).expand(4, 3),
        torch.arange(12.0)[::3],
        torch.tensor([1 + 2j, 3 - 4j]).conj(),
        torch.tensor([1 + 2j, 3 - 4j]).conj().imag,
        torch.ones(3, requires_grad=True),
        torch.tensor(0),
        torch.zeros(0, 5),
    ],
)
def test_views_of_every_sort_come_back_as_what_they_show(tensor, same):
    assert same(unpack(pack({"a": tensor})).tensors["a"], tensor)


def test_unpacked_tensors_own_their_memory_and_can_be_written():
    data = pack({"a": torch.ones(4), "b": torch.zeros(64)})
    unpacked = unpack(data)
    for tensor in [*unpacked.tensors.values(), *unpacked.masks.values()]:
        tensor.fill_(1)
    assert unpack(data).tensors["b"].sum() == 0
    assert unpacked.tensors["b"].sum() == 64


def test_tied_tensors_are_stored_once_and_stay_tied():
    weight = torch.randn(10, 10)
    data = pack({"": weight, "b": weight, "c": weight.detach()})
    assert encodings(data)["b"] == {"encoding": "alias", "of": ""}
    assert len(split_header(data)[1]) == 400
    unpacked = unpack(data)
    assert unpacked.tensors["b"] is unpacked.tensors[""] is unpacked.tensors["c"]
    assert unpacked.tensors[""].equal(weight)


def test_views_that_read_the_same_memory_otherwise_are_not_tied(same):
    weight = torch.randn(4, 4)
    complex_weight = torch.tensor([1 + 2j])
    tensors = {
        "a": weight,
        "transposed": weight.T,
        "half": weight[:2],
        "flat": weight.view(16),
        "integers": weight.view(torch.int32),
        "complex": complex_weight,
        "conjugate": complex_weight.conj(),
        "empty": weight[:0],
        "other empty": torch.randn(4, 4)[:0],
    }
    data = pack(tensors)
    assert not [record for record in encodings(data).values() if record["encoding"] == "alias"]
    assert all(same(unpack(data).tensors[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("masked", [["a"], ["b"], ["a", "b"], ["b", "c"]])
def test_masks_of_tied_tensors_come_back_under_the_names_they_were_given_for(masked):
    weight, mask = torch.zeros(64), torch.arange(64) < 3
    unpacked = unpack(pack({"a": weight, "b": weight, "c": weight}, dict.fromkeys(masked, mask)))
    assert list(unpacked.tensors) == ["a", "b", "c"]
    assert unpacked.masks.keys() == set(masked)
    assert all(torch.equal(found, mask) for found in unpacked.masks.values())


def test_tied_tensors_cannot_have_two_masks():
    weight = torch.zeros(4)
    masks = {"a": torch.ones(4, dtype=torch.bool), "b": torch.zeros(4, dtype=torch.bool)}
    with pytest.raises(MaskError, match="one tied tensor"):
        pack({"a": weight, "b": weight}, masks)


@given(st.dictionaries(names.filter(lambda key: not key.startswith("prunus.")), names, max_size=3))
def test_metadata_come_back(metadata):
    assert unpack(pack({}, metadata=metadata)).metadata == metadata


@pytest.mark.parametrize(
    "metadata", [{"a": 1}, {1: "a"}, {"prunus.tensors": ""}, {"prunus.kind": ""}, {"prunus.x": ""}]
)
def test_metadata_that_are_not_text_or_take_our_keys_are_refused(metadata):
    with pytest.raises(ArgumentError, match="metadata"):
        pack({}, metadata=metadata)


def test_a_name_that_no_file_can_store_is_refused():
    with pytest.raises(ArgumentError, match="surrogate"):
        pack({"\ud800": torch.zeros(1)})


def test_equal_tensors_give_equal_bytes():
    tensors = {"b": torch.arange(64.0) % 3, "a": torch.ones(2)}
    assert pack(tensors, metadata={"x": "1", "y": "2"}) == pack(
        {name: tensor.clone() for name, tensor in tensors.items()}, metadata={"y": "2", "x": "1"}
    )


def test_golden_bytes_of_version_1():
    """A changed sum means a changed format: then raise VERSION and keep reading this one."""
    weight = torch.zeros(8, 8)
    weight[::3, 1] = torch.tensor([1.0, -2.0, 0.5])
    tensors = {
        "weight": weight,
        "bias": torch.tensor([1.0, 0.0]),
        "tied": weight,
        "scale#": torch.tensor(3, dtype=torch.bfloat16),
        "zeros": torch.zeros(100, dtype=torch.int64),
    }
    masks = {"weight": weight != 0, "bias": torch.tensor([True, True])}
    data = pack(tensors, masks, {"model": "tiny"})
    assert hashlib.sha256(data).hexdigest() == "d12441def52be7d3d300211178a01a5ddeb544f31ab0b7927ff0c12053d47c0e"
    assert (
        hashlib.sha256(pack(tensors)).hexdigest() == "5470bbacf1b7aec6d8f1bd6d8d09fbf32af22b608f806c7f1164b0f5439ed757"
    )
