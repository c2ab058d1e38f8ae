"""What any safetensors header may say, and what it may not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunus.errors import CorruptFileError, PrunusError
from prunus.files.sealed import raw_tensors, read_shape, split_header


def safetensors_bytes(header: object, body: bytes = b"") -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + body


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        "dtype": json_values | st.sampled_from(["U8", "F32"]),
        "shape": json_values | st.lists(st.integers(-1, 4), max_size=3),
        "data_offsets": json_values | st.lists(st.integers(-1, 40), min_size=2, max_size=2),
    },
)


@given(st.dictionaries(st.text(max_size=5), entries | json_values, max_size=3), st.binary(max_size=40))
def test_no_header_raises_anything_but_our_errors(header, body):
    try:
        found = raw_tensors(*split_header(safetensors_bytes(header, body)))
    except PrunusError:
        return
    assert sum(len(tensor.data) for tensor in found.values()) == len(body)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": ["U8"], "shape": [1], "data_offsets": [0, 1]},
        {"dtype": {}, "shape": [1], "data_offsets": [0, 1]},
        {"dtype": "U7", "shape": [1], "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": [1.0], "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": [-1, -1], "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": 1, "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": [1], "data_offsets": [False, True]},
        {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 2]},
        {"dtype": "U8", "shape": [1], "data_offsets": 1},
        {"dtype": "U8", "shape": [1], "data_offsets": "01"},
        {"dtype": "U8", "shape": [1], "data_offsets": [0, 2]},
        {"dtype": "U8", "shape": [1], "data_offsets": [1, 0]},
        {"dtype": "U8", "shape": [1], "data_offsets": [-1, 0]},
        {"dtype": "U8", "shape": [2], "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": [2**63, 2**63], "data_offsets": [0, 1]},
        {"dtype": "U8", "shape": [10**4000] * 500, "data_offsets": [0, 1]},
        {"shape": [1], "data_offsets": [0, 1]},
        {},
    ],
)
def test_impossible_entries_are_refused(entry):
    header, body = split_header(safetensors_bytes({"a": entry}, b"x"))
    with pytest.raises(CorruptFileError):
        raw_tensors(header, body)


@pytest.mark.parametrize(
    "spans",
    [[(0, 2), (1, 3)], [(0, 1), (2, 3)], [(1, 3)], [(0, 2)], [(0, 3), (0, 3)], [(0, 1), (1, 3), (2, 2)], []],
)
def test_tensors_that_overlap_or_leave_bytes_over_are_refused(spans):
    header = {
        str(i): {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}
        for i, (begin, end) in enumerate(spans)
    }
    with pytest.raises(CorruptFileError):
        raw_tensors(*split_header(safetensors_bytes(header, b"xyz")))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"1",
        b"null",
        b'{"a":1}',
        b'{"a":{},"a":{}}',
        b'{"a":{"dtype":"U8","dtype":"U8"}}',
        b'{"__metadata__":{"a":1}}',
        b'{"__metadata__":{"a":{}}}',
        b'{"__metadata__":["a"]}',
        b'{"__metadata__":{"a":"\\ud800"}}',
        b'{"\\ud800":{}}',
        b'{"\xff":{}}',
        b'\xef\xbb\xbf{"a":{}}',
        b"{" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * 100_000,
        b'{"a":{"shape":[' + b"9" * 10_000 + b"]}}",
    ],
)
def test_unreadable_headers_are_refused(header):
    with pytest.raises(CorruptFileError):
        split_header(safetensors_bytes(header))


@pytest.mark.parametrize("length", [9, 100_000_001, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file_is_refused(length):
    with pytest.raises(CorruptFileError, match="header of"):
        split_header(length.to_bytes(8, "little") + b"{}      ")


def test_a_header_beyond_the_limit_is_not_parsed(monkeypatch):
    monkeypatch.setattr("prunus.files.sealed.LARGEST_HEADER", 9)
    with pytest.raises(CorruptFileError, match="header of 10 bytes"):
        split_header(safetensors_bytes(b"{}        "))
    assert split_header(safetensors_bytes(b"{}       "))[0] == {}


@pytest.mark.parametrize(
    "shape", [[2**57], [0, 2**57], [2**30, 0, 2**30], [2**63], [-1], [True], [1.0], "12", None, {}]
)
def test_shapes_beyond_all_memory_are_no_shapes(shape):
    assert read_shape(shape) is None


def test_shapes_are_read():
    assert read_shape([]) == ()
    assert read_shape([0, 3]) == (0, 3)


def test_a_tensor_may_lie_far_behind_in_a_large_file():
    body = memoryview(np.zeros(2**30 + 8, np.uint8))  # pages that nobody touches take no memory
    header = {
        "first": {"dtype": "U8", "shape": [2**30], "data_offsets": [0, 2**30]},
        "second": {"dtype": "F64", "shape": [1], "data_offsets": [2**30, 2**30 + 8]},
    }
    assert raw_tensors(header, body)["second"].shape == (1,)
