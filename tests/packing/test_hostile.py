"""Files that are damaged, and files whose author made the digest fit."""

from __future__ import annotations

import io
import json
import pickle
import tracemalloc

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prunus.errors import FileFormatError
from prunus.files.sealed import RawTensor, seal
from prunus.packing.format import pack, unpack
from prunus.packing.inspection import inspect

WEIGHT = torch.zeros(8, 8)
WEIGHT[0, :3] = torch.tensor([1.0, 2.0, 3.0])
SMALL = pack(
    {"w": WEIGHT, "b": torch.ones(3), "t": WEIGHT, "i": torch.zeros(9)}, {"w": WEIGHT != 0, "b": torch.ones(3) > 0}
)
HEADER = 8 + int.from_bytes(SMALL[:8], "little")
KEPT = RawTensor("F32", (1,), b"1234")
BITS = RawTensor("U8", (1,), b"\x01")
GOOD = {"encoding": "bitmask", "shape": [2, 2]}


def flipped(place: int, bit: int) -> bytes:
    changed = bytearray(SMALL)
    changed[place] ^= 1 << bit
    return bytes(changed)


@pytest.fixture
def refused(tmp_path):
    """Asserts that neither reader takes the bytes, and gives the message."""

    def refuse(data: bytes) -> str:
        (tmp_path / "file").write_bytes(data)
        with pytest.raises(FileFormatError) as described:
            inspect(tmp_path / "file")
        with pytest.raises(FileFormatError) as unpacked:
            unpack(data)
        assert str(described.value) == str(unpacked.value)
        return str(unpacked.value)

    return refuse


def test_no_flipped_bit_of_the_header_loads():
    for place in range(HEADER):
        for bit in range(8):
            with pytest.raises(FileFormatError):
                unpack(flipped(place, bit))


@given(st.integers(HEADER, len(SMALL) - 1), st.integers(0, 7))
def test_no_flipped_bit_of_the_values_loads(place, bit):
    with pytest.raises(FileFormatError, match="digest"):
        unpack(flipped(place, bit))


def test_no_truncated_file_loads():
    for length in range(len(SMALL)):
        with pytest.raises(FileFormatError):
            unpack(SMALL[:length])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(place=st.integers(0, len(SMALL) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_under_a_digest_that_fits_raises_nothing_but_our_errors(place, byte, resealed):
    changed = bytearray(SMALL)
    changed[place] = byte
    try:
        unpacked = unpack(resealed(bytes(changed)))
    except FileFormatError:
        return
    assert all(not unpacked.tensors[name][~mask].view(torch.uint8).any() for name, mask in unpacked.masks.items())


def test_the_good_forgery_is_read(forged):
    unpacked = unpack(forged({"a": GOOD}, {"a#bits": BITS, "a#kept": KEPT}))
    assert unpacked.tensors["a"].shape == (2, 2)
    assert not unpacked.masks


@pytest.mark.parametrize(
    ("records", "tensors", "message"),
    [
        ("", {}, "does not say how"),
        ("{", {}, "does not say how"),
        ("[" * 100_000, {}, "does not say how"),
        ('{"a":' * 100_000, {}, "does not say how"),
        ('{"a":{"encoding":"dense"},"a":{"encoding":"dense"}}', {"a": KEPT}, "a key stands twice"),
        ('{"\\ud800":{"encoding":"dense"}}', {"a": KEPT}, "does not say how"),
        ([], {}, "not an object"),
        ("null", {}, "not an object"),
        ({"a": 1}, {"a": KEPT}, "no known encoding"),
        ({"a": {}}, {"a": KEPT}, "no known encoding"),
        ({"a": {"encoding": ["dense"]}}, {"a": KEPT}, "no known encoding"),
        ({"a": {"encoding": "pickle"}}, {"a": KEPT}, "no known encoding"),
        ({"a": {"encoding": "dense", "shape": [1]}}, {"a": KEPT}, "cannot be read"),
        ({"a": {"encoding": "dense", "mask": "inferred"}}, {"a": KEPT}, "cannot be read"),
        ({"a": {"encoding": "dense", "mask": ["given"]}}, {"a": KEPT}, "cannot be read"),
        ({"a": {"encoding": "bitmask"}}, {"a#bits": BITS, "a#kept": KEPT}, "cannot be read"),
        ({"a": {**GOOD, "mask": True}}, {"a#bits": BITS, "a#kept": KEPT}, "cannot be read"),
        ({"a": {**GOOD, "shape": "2"}}, {"a#bits": BITS, "a#kept": KEPT}, "no readable shape"),
        ({"a": {**GOOD, "shape": [2.0]}}, {"a#bits": BITS, "a#kept": KEPT}, "no readable shape"),
        ({"a": {**GOOD, "shape": [-2, -2]}}, {"a#bits": BITS, "a#kept": KEPT}, "no readable shape"),
        ({"a": {**GOOD, "shape": [2**62, 4]}}, {"a#bits": BITS, "a#kept": KEPT}, "no readable shape"),
        ({"a": {**GOOD, "shape": [2**32, 2**32]}}, {"a#bits": BITS, "a#kept": KEPT}, "no readable shape"),
        ({"a": {**GOOD, "shape": [0, 2**62, 2**62]}}, {"a#bits": BITS, "a#kept": KEPT}, "no readable shape"),
        ({"a": {**GOOD, "shape": [2**40]}}, {"a#bits": BITS, "a#kept": KEPT}, "do not fit its shape"),
        ({"a": {**GOOD, "shape": [9]}}, {"a#bits": BITS, "a#kept": KEPT}, "do not fit its shape"),
        ({"a": {**GOOD, "shape": [0]}}, {"a#bits": BITS, "a#kept": KEPT}, "do not fit its shape"),
        ({"a": GOOD}, {"a#bits": RawTensor("I8", (1,), b"\x01"), "a#kept": KEPT}, "do not fit its shape"),
        ({"a": GOOD}, {"a#bits": RawTensor("U8", (1, 1), b"\x01"), "a#kept": KEPT}, "do not fit its shape"),
        ({"a": GOOD}, {"a#bits": RawTensor("U8", (1,), b"\x11"), "a#kept": KEPT}, "behind the end"),
        ({"a": GOOD}, {"a#bits": RawTensor("U8", (1,), b"\x03"), "a#kept": KEPT}, "keeps 2 elements"),
        ({"a": GOOD}, {"a#bits": RawTensor("U8", (1,), b"\x00"), "a#kept": KEPT}, "keeps 0 elements"),
        ({"a": GOOD}, {"a#bits": BITS, "a#kept": RawTensor("F32", (1, 1), b"1234")}, "keeps 1 elements"),
        ({"a": GOOD}, {"a#bits": BITS, "a#kept": RawTensor("BOOL", (1,), b"\x02")}, "neither 0 nor 1"),
        ({"a": {"encoding": "dense"}}, {"a": RawTensor("BOOL", (1,), b"\xff")}, "neither 0 nor 1"),
        ({"a": GOOD}, {"a#kept": KEPT}, "'a#bits', which the file does not hold"),
        ({"a": GOOD}, {"a#bits": BITS}, "'a#kept', which the file does not hold"),
        ({"a": GOOD}, {"a#bits": BITS, "a": KEPT}, "'a#kept', which the file does not hold"),
        ({"a": {"encoding": "dense"}}, {}, "'a', which the file does not hold"),
        ({"a": {"encoding": "dense"}}, {"a": KEPT, "a#bits": BITS}, "holds 'a#bits', but does not say"),
        ({"a": {"encoding": "dense"}}, {"a": KEPT, "b": KEPT}, "holds 'b', but does not say"),
        ({}, {"b#bits": BITS}, "holds 'b#bits', but does not say"),
        ({"a": {"encoding": "dense", "mask": "given"}}, {"a": KEPT}, "'a#bits', which the file does not hold"),
        (
            {"a": {"encoding": "dense", "mask": "given"}},
            {"a": KEPT, "a#bits": RawTensor("U8", (1,), b"\x00")},
            "values that its mask removes",
        ),
        ({"a": {"encoding": "alias", "of": "b"}}, {}, "not stored"),
        ({"a": {"encoding": "alias", "of": "a"}}, {}, "not stored"),
        ({"a": {"encoding": "alias", "of": ["b"]}}, {}, "not stored"),
        ({"a": {"encoding": "alias", "of": "b"}, "b": {"encoding": "alias", "of": "a"}}, {}, "not stored"),
        (
            {"a": {"encoding": "alias", "of": "b"}, "b": {"encoding": "alias", "of": "c"}, "c": {"encoding": "dense"}},
            {"c": KEPT},
            "not stored",
        ),
        (
            {"a": {"encoding": "alias", "of": "b", "mask": "given"}, "b": {"encoding": "dense"}},
            {"b": KEPT},
            "which has none",
        ),
        ({"a": {"encoding": "alias", "of": "b"}, "b": {"encoding": "dense"}}, {"a": KEPT, "b": KEPT}, "holds 'a'"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(records, tensors, message, forged, refused):
    assert message in refused(forged(records, tensors))


def test_a_file_without_records_is_refused(refused):
    assert "does not say how" in refused(seal("model", 1, {"a": KEPT}, {}))


def test_a_later_version_says_update(refused):
    assert "update prunus" in refused(seal("model", 2, {}, {"prunus.tensors": "{}"}))


def test_masks_are_not_a_model(refused):
    assert "expected a prunus model file, got a prunus masks file" in refused(seal("masks", 1, {}, {}))


class Exploit:
    def __reduce__(self):
        return print, ("executed",)


def saved_by_torch(legacy: bool) -> bytes:
    stream = io.BytesIO()
    torch.save({"a": torch.ones(2)}, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [saved_by_torch(False), saved_by_torch(True), *(pickle.dumps(Exploit(), protocol) for protocol in (2, 3, 4, 5))],
)
def test_a_pickle_is_named_as_such_and_never_run(data, refused, capsys):
    assert "never reads pickles" in refused(data)
    assert capsys.readouterr().out == ""


def test_a_header_whose_length_looks_like_a_pickle_is_read():
    for size in range(300):
        data = pack({"a": torch.ones(1)}, metadata={"key": "x" * size})
        if data[:1] == b"\x80":
            break
    assert data[:1] == b"\x80"
    assert unpack(data).tensors["a"].tolist() == [1.0]


@pytest.mark.parametrize("data", [b"", b"x", b"\x00" * 8, b"\xff" * 100, b"hello world, this is text", b"PK\x03\x04"])
def test_other_files_are_refused(data, refused):
    assert refused(data)


def test_memory_stays_within_a_small_multiple_of_the_file(forged):
    count = 2_000_000
    data = forged(
        {
            "a": {"encoding": "bitmask", "shape": [count]},
            **{str(i): {"encoding": "alias", "of": "a"} for i in range(99)},
        },
        {"a#bits": RawTensor("U8", (count // 8,), bytes(count // 8)), "a#kept": RawTensor("I8", (0,), b"")},
    )
    tracemalloc.start()
    unpacked = unpack(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert unpacked.tensors["98"].numel() == count
    assert len({tensor.data_ptr() for tensor in unpacked.tensors.values()}) == 1
    assert peak < 40 * len(data)


@pytest.mark.parametrize("shape", [[2**56], [2**28, 2**28], [10**9]])
def test_a_shape_that_the_bits_do_not_bear_out_allocates_nothing(shape, forged):
    data = forged({"a": {"encoding": "bitmask", "shape": shape}}, {"a#bits": BITS, "a#kept": KEPT})
    tracemalloc.start()
    with pytest.raises(FileFormatError, match="do not fit"):
        unpack(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["dense", "bitmask", "alias", "given", "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["encoding", "of"]), inner, max_size=3),
    max_leaves=5,
)
records = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    json_values
    | st.fixed_dictionaries(
        {"encoding": st.sampled_from(["dense", "bitmask", "alias"])},
        optional={
            "shape": st.just([2, 2]) | json_values,
            "of": st.sampled_from(["a", "b", "c"]) | json_values,
            "mask": st.sampled_from(["given", "inferred"]) | json_values,
        },
    ),
    max_size=3,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(said=records, held=st.sets(st.sampled_from(["a", "b", "a#bits", "a#kept", "b#bits", "b#kept"])))
def test_no_record_raises_anything_but_our_errors(said, held, forged):
    tensors = {name: BITS if name.endswith("bits") else KEPT for name in held}
    try:
        unpacked = unpack(forged(json.dumps(said), tensors))
    except FileFormatError:
        return
    assert unpacked.tensors.keys() == said.keys()
