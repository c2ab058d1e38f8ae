from __future__ import annotations

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from prunus.errors import ArgumentError
from prunus.packing.format import DTYPES, pack
from prunus.packing.size import dense_size, packed_size

named = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6).filter(lambda name: name != "__metadata__"),
    st.builds(
        lambda shape, dtype, ones: (torch.arange(torch.Size(shape).numel()) < ones).reshape(shape).to(dtype),
        array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=12),
        st.sampled_from(list(DTYPES)),
        st.integers(0, 50),
    ),
    max_size=8,
)


@given(named)
def test_packed_size_is_the_length_of_the_packed_bytes(tensors):
    assert packed_size(tensors) == len(pack(tensors))
    masks = {name: torch.ones(tensor.shape, dtype=torch.bool) for name, tensor in list(tensors.items())[::2]}
    assert packed_size(tensors, masks) == len(pack(tensors, masks))


@given(named)
def test_dense_size_is_the_length_that_safetensors_writes(tensors):
    assert dense_size(tensors) == len(safetensors.torch.save(tensors))


def test_dense_size_holds_for_all_dtypes_at_once():
    tensors = {str(dtype): torch.zeros(7 * place + 1).to(dtype) for place, dtype in enumerate(DTYPES)}
    assert dense_size(tensors) == len(safetensors.torch.save(tensors))


def test_tied_tensors_count_once():
    weight = torch.randn(50, 50)
    assert dense_size({"a": weight, "b": weight}) == len(safetensors.torch.save({"a": weight}))
    assert packed_size({"a": weight, "b": weight}) == len(pack({"a": weight, "b": weight})) < 11_000


def test_a_lenet_at_90_percent_is_seven_times_smaller():
    shapes = {"fc1": (300, 784), "fc2": (100, 300), "fc3": (10, 100)}
    tensors, masks = {}, {}
    for name, shape in shapes.items():
        masks[f"{name}.weight"] = torch.arange(shape[0] * shape[1]).reshape(shape) % 10 == 0
        tensors[f"{name}.weight"] = masks[f"{name}.weight"].float()
        tensors[f"{name}.bias"] = torch.ones(shape[0])
    assert dense_size(tensors) / packed_size(tensors, masks) > 7.4


def test_what_cannot_be_stored_has_no_size():
    with pytest.raises(ArgumentError, match="complex128"):
        dense_size({"a": torch.zeros(1, dtype=torch.complex128)})
    with pytest.raises(ArgumentError, match="complex128"):
        packed_size({"a": torch.zeros(1, dtype=torch.complex128)})
