from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from prunus.errors import ArgumentError, CorruptFileError, FileFormatError
from prunus.files.sealed import (
    BITS,
    RawTensor,
    read_file,
    seal,
    sealed_size,
    split_header,
    unseal,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
own_keys = text.filter(lambda key: not key.startswith("prunus."))


@st.composite
def some_raw_tensors(draw):
    found = {}
    for name in draw(st.lists(text.filter(lambda name: name != "__metadata__"), max_size=4, unique=True)):
        dtype, shape = draw(st.sampled_from(sorted(BITS))), draw(array_shapes(min_dims=0, max_dims=3, min_side=0))
        size = int(np.prod(shape)) * BITS[dtype] // 8
        found[name] = RawTensor(dtype, shape, draw(st.binary(min_size=size, max_size=size)))
    return found


SMALL = seal(
    "test",
    1,
    {"a": RawTensor("F32", (2,), b"12345678"), "é#": RawTensor("U8", (3,), b"abc")},
    {"key": "value"},
)


def safetensors_bytes(header: object, body: bytes = b"") -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + body


def sealed_again(data: bytes) -> bytes:
    """The bytes with a digest that fits them: what a hostile author can do."""
    marker = b'"prunus.sha256":"'
    place = data.index(marker) + len(marker)
    blank = data[:place] + b"0" * 64 + data[place + 64 :]
    return data[:place] + hashlib.sha256(blank).hexdigest().encode() + data[place + 64 :]


@given(some_raw_tensors(), st.dictionaries(own_keys, text, max_size=3), st.integers(0, 7))
def test_sealed_tensors_come_back_as_they_went_in(tensors, metadata, version):
    data = seal("test", version, tensors, metadata)
    opened = unseal(data, "test", 7)
    assert opened.tensors == tensors
    assert opened.metadata == metadata
    assert opened.version == version
    assert sealed_size("test", version, tensors, metadata) == len(data)


@given(st.dictionaries(text.filter(lambda name: name != "__metadata__"), st.binary(max_size=9), max_size=4))
def test_any_reader_of_safetensors_reads_a_sealed_file(contents):
    data = seal("test", 1, {name: RawTensor("U8", (len(b),), b) for name, b in contents.items()}, {})
    read = safetensors.numpy.load(data)
    assert {name: array.tobytes() for name, array in read.items()} == contents


@given(some_raw_tensors(), st.randoms())
def test_equal_content_gives_equal_bytes_in_any_order(tensors, random):
    shuffled = list(tensors.items())
    random.shuffle(shuffled)
    assert seal("test", 1, dict(shuffled), {"b": "1", "a": "2"}) == seal("test", 1, tensors, {"a": "2", "b": "1"})


def test_golden_bytes_of_a_sealed_file():
    assert hashlib.sha256(SMALL).hexdigest() == "04b519e4dc9d3c5980736069c615bafc9f764c909d598e7d8aadc88e4b7a4020"


def test_every_tensor_begins_at_a_multiple_of_its_element():
    data = seal("test", 1, {"a": RawTensor("U8", (1,), b"1"), "b": RawTensor("F64", (1,), b"12345678")}, {})
    header, _ = split_header(data)
    assert header["b"]["data_offsets"] == [0, 8]
    assert int.from_bytes(data[:8], "little") % 8 == 0


def test_no_flipped_bit_opens():
    for place in range(len(SMALL)):
        for bit in range(8):
            changed = bytearray(SMALL)
            changed[place] ^= 1 << bit
            with pytest.raises(FileFormatError):
                unseal(bytes(changed), "test", 1)


def test_no_truncated_or_lengthened_file_opens():
    for length in range(len(SMALL)):
        with pytest.raises(FileFormatError):
            unseal(SMALL[:length], "test", 1)
    with pytest.raises(CorruptFileError):
        unseal(SMALL + b"\x00", "test", 1)


@given(st.binary(max_size=200))
def test_random_bytes_never_open(data):
    with pytest.raises(FileFormatError):
        unseal(data, "test", 1)


def test_a_plain_safetensors_file_is_not_taken_for_a_sealed_one():
    with pytest.raises(FileFormatError, match="not a prunus test file"):
        unseal(safetensors.numpy.save({"a": np.zeros(2)}), "test", 1)


def test_a_file_of_another_kind_is_refused_by_its_name():
    with pytest.raises(FileFormatError, match="expected a prunus masks file, got a prunus test file"):
        unseal(SMALL, "masks", 1)


def test_a_file_of_a_later_version_says_update():
    with pytest.raises(FileFormatError, match="format version 2, this prunus reads up to 1: update prunus"):
        unseal(seal("test", 2, {}, {}), "test", 1)


@pytest.mark.parametrize("version", ["", "-1", "x", "٣", "²", "9" * 5000])
def test_a_version_that_is_no_number_is_refused(version):
    data = seal("test", 1, {}, {})
    header, _ = split_header(data)
    header["__metadata__"]["prunus.version"] = version
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    with pytest.raises(FileFormatError, match="not a number"):
        unseal(sealed_again(safetensors_bytes(text)), "test", 1)


@pytest.mark.parametrize("digest", ["", "0" * 63, "é" * 64, "A" * 64, "0" * 64])
def test_a_digest_that_is_none_is_refused(digest):
    header, _ = split_header(seal("test", 1, {}, {}))
    header["__metadata__"]["prunus.sha256"] = digest
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    with pytest.raises(CorruptFileError, match="digest"):
        unseal(safetensors_bytes(text), "test", 1)


def test_a_digest_written_in_another_way_is_refused():
    header, _ = split_header(seal("test", 1, {}, {}))
    with pytest.raises(CorruptFileError, match="digest"):
        unseal(safetensors_bytes(json.dumps(header).encode()), "test", 1)


@pytest.mark.parametrize("key", ["prunus.kind", "prunus.version", "prunus.sha256"])
def test_metadata_cannot_replace_the_seal(key):
    with pytest.raises(ArgumentError, match=key):
        seal("test", 1, {}, {key: "x"})


def test_a_tensor_cannot_replace_the_metadata():
    with pytest.raises(ArgumentError, match="__metadata__"):
        seal("test", 1, {"__metadata__": RawTensor("U8", (0,), b"")}, {})


def test_a_name_that_no_file_can_store_is_refused():
    with pytest.raises(ArgumentError, match="surrogate"):
        seal("test", 1, {"\ud800": RawTensor("U8", (0,), b"")}, {})


@pytest.mark.parametrize("name", ['prunus.sha256":"', "prunus.sha256", '"prunus.sha256":"' + "0" * 64, "\\", "\x00"])
def test_names_that_look_like_the_seal_do_not_confuse_it(name):
    tensors = {name: RawTensor("U8", (1,), b"x")}
    metadata = {f" {name}": name, name + " ": "prunus.sha256"}
    opened = unseal(seal("test", 1, tensors, metadata), "test", 1)
    assert opened.tensors == tensors
    assert opened.metadata == metadata


def test_a_file_that_is_not_there_or_a_folder_is_a_clear_error(tmp_path):
    with pytest.raises(FileFormatError, match=r"cannot read .*missing: No such file"):
        read_file(tmp_path / "missing")
    with pytest.raises(FileFormatError, match=r"cannot read .*directory"):
        read_file(tmp_path)
