from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunus.errors import ArgumentError, CorruptFileError, FileFormatError
from prunus.files.sealed import RawTensor, seal
from prunus.masks.masks import Masks
from prunus.masks.storage import arrays_from_bytes, masks_from_bytes, masks_to_bytes

any_names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda name: name != "__metadata__")


@st.composite
def any_masks(draw):
    found = {}
    for name in draw(st.lists(any_names, max_size=4, unique=True)):
        shape = draw(st.lists(st.integers(1, 4), max_size=3))
        found[name] = torch.rand(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))) < 0.5
    return Masks(found)


@settings(max_examples=60)
@given(any_masks())
def test_what_was_saved_is_loaded_whatever_the_names(masks):
    data = masks_to_bytes(masks)
    loaded = masks_from_bytes(data)
    assert loaded == masks
    assert {name: mask.shape for name, mask in loaded.items()} == {name: mask.shape for name, mask in masks.items()}
    assert masks_to_bytes(loaded) == data
    arrays = arrays_from_bytes(data)
    assert {name: (mask.dtype, mask.shape, mask.tolist()) for name, mask in arrays.items()} == {
        name: (bool, tuple(mask.shape), mask.tolist()) for name, mask in masks.items()
    }


@pytest.fixture
def masks():
    return Masks({"a.weight": torch.eye(3, dtype=torch.bool), "b": torch.tensor([True])})


def test_a_file_holds_one_bit_a_weight(tmp_path):
    masks = Masks({"a": torch.ones(80_000, dtype=torch.bool)})
    masks.save(tmp_path / "ticket.safetensors")
    assert 10_000 < (tmp_path / "ticket.safetensors").stat().st_size < 10_500
    assert Masks.load(tmp_path / "ticket.safetensors") == masks


def test_any_safetensors_reader_opens_the_file(tmp_path, masks):
    from safetensors.numpy import load_file

    masks.save(tmp_path / "ticket.safetensors")
    assert load_file(tmp_path / "ticket.safetensors")["b"].tolist() == [1]


def test_a_truncated_file_never_loads(masks):
    data = masks_to_bytes(masks)
    for length in range(len(data)):
        with pytest.raises(CorruptFileError):
            masks_from_bytes(data[:length])


def test_a_flipped_bit_never_loads(masks):
    data = masks_to_bytes(masks)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        with pytest.raises(FileFormatError):
            masks_from_bytes(bytes(changed))


def test_a_file_of_another_kind_is_refused(tmp_path, masks):
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"a": torch.ones(3)}, path)
    with pytest.raises(FileFormatError, match=r"not a prunus masks file"):
        Masks.load(path)
    with pytest.raises(FileFormatError, match=r"expected a prunus masks file, got a prunus model file"):
        masks_from_bytes(seal("model", 1, {}, {}))
    with pytest.raises(FileFormatError, match=r"update prunus"):
        masks_from_bytes(seal("masks", 2, {}, {"shapes": "{}"}))


def test_a_missing_file_is_refused_and_an_unwritable_one_too(tmp_path, masks):
    with pytest.raises(FileFormatError, match=r"cannot read"):
        Masks.load(tmp_path / "none")
    with pytest.raises(FileFormatError, match=r"cannot write the masks to"):
        masks.save(tmp_path / "no" / "such" / "folder")


def test_a_name_that_no_file_can_hold_is_refused():
    for name in ("__metadata__", "\ud800"):
        with pytest.raises(ArgumentError):
            masks_to_bytes(Masks({name: torch.tensor([True])}))


@pytest.mark.parametrize(
    "shapes",
    [
        "",
        "[]",
        "{}",
        '{"b": [8]}',
        '{"a": [9]}',
        '{"a": [0]}',
        '{"a": [-8]}',
        '{"a": [8.0]}',
        '{"a": [true]}',
        '{"a": 8}',
        '{"a": [Infinity]}',
        '{"a": [8], "a": [8]}',
        "[" * 100_000,
        json.dumps({"a": [2**70]}),
    ],
)
def test_sealed_masks_that_contradict_themselves_are_refused(shapes):
    with pytest.raises(CorruptFileError):
        masks_from_bytes(seal("masks", 1, {"a": RawTensor("U8", (1,), b"\xff")}, {"shapes": shapes}))


def test_a_sealed_mask_without_an_element_is_refused():
    with pytest.raises(CorruptFileError, match=r"impossible shape"):
        masks_from_bytes(seal("masks", 1, {"a": RawTensor("U8", (0,), b"")}, {"shapes": '{"a": [0]}'}))


FIRST_VERSION = (
    b"\xf0\x00\x00\x00\x00\x00\x00\x00"
    b'{"__metadata__":{"shapes":"{\\"fc.weight\\": [2, 3]}","prunus.kind":"masks","prunus.version":"1","prunus.sha256":'
    b'"c4368c2d0c8b9f1bfd10c760e367f28e8ff9f1f7cc20e5653bafdfdc0bef6fae"},"fc.weight":{"dtype":"U8","shape":[1],'
    b'"data_offsets":[0,1]}} %'
)


def test_a_file_of_the_first_version_loads_for_ever():
    masks = Masks({"fc.weight": torch.tensor([[True, False, True], [False, False, True]])})
    assert masks_from_bytes(FIRST_VERSION) == masks
