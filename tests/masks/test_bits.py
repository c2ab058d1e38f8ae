from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from prunus.errors import CorruptFileError
from prunus.masks.bits import pack_bits, unpack_bits

shapes = array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@st.composite
def masks(draw):
    shape = draw(shapes)
    count = int(np.prod(shape))
    values = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return torch.tensor(values, dtype=torch.bool).reshape(shape)


@given(masks())
def test_bits_give_back_the_mask_they_were_packed_from(mask):
    packed = pack_bits(mask)
    assert len(packed) == (mask.numel() + 7) // 8
    assert torch.equal(unpack_bits(packed, tuple(mask.shape)), mask)


@given(masks())
def test_bit_i_of_byte_j_is_element_8j_plus_i(mask):
    packed = pack_bits(mask)
    assert [bool(packed[i // 8] >> i % 8 & 1) for i in range(mask.numel())] == mask.reshape(-1).tolist()


def test_a_transposed_mask_is_packed_in_the_order_of_its_own_rows():
    mask = torch.tensor([[True, False, False], [True, True, False]])
    assert pack_bits(mask.T) == pack_bits(mask.T.contiguous()) == bytes([0b001011])


def test_golden_bits():
    assert pack_bits(torch.tensor([True, False, False, False, False, False, False, True, True])) == b"\x81\x01"


def test_the_unpacked_mask_owns_its_memory():
    mask = unpack_bits(b"\x01", (2,))
    mask[1] = True
    assert mask.tolist() == [True, True]


@pytest.mark.parametrize(("data", "shape"), [(b"", (1,)), (b"\x00\x00", (8,)), (b"\x00", (3, 3)), (b"\x00", (0,))])
def test_bits_of_another_length_are_refused(data, shape):
    with pytest.raises(CorruptFileError, match="do not make a mask of shape"):
        unpack_bits(data, shape)


@pytest.mark.parametrize("bit", range(3, 8))
def test_a_bit_set_behind_the_end_is_refused(bit):
    with pytest.raises(CorruptFileError, match="behind the end"):
        unpack_bits(bytes([1 << bit]), (3,))
