from __future__ import annotations

import pytest
import torch

from prunus.errors import ArgumentError, CorruptFileError, FileFormatError
from prunus.packing.format import pack
from prunus.training.callbacks.state_file import read_state, write_state

STATE = {
    "steps": 17,
    "masks": {"0.weight": torch.tensor([[True, False], [False, True]]), "a/b.c": torch.ones(3, dtype=torch.bool)},
    "generator": torch.Generator().get_state(),
    "criterion": {
        "sums": {"0.weight": torch.tensor([[-0.0, float("inf")], [1e-40, 2.0]])},
        "mode": "mean",
        "last": None,
        "seen": {},
    },
    "empty": torch.zeros(0),
}


def flat(state, path=()):
    for key, value in state.items():
        if isinstance(value, dict) and value:
            yield from flat(value, (*path, key))
        else:
            yield (*path, key), (value.numpy().tobytes(), value.dtype) if isinstance(value, torch.Tensor) else value


def test_a_state_is_read_back_bit_for_bit(tmp_path):
    write_state(STATE, tmp_path / "state")
    assert dict(flat(read_state(tmp_path / "state"))) == dict(flat(STATE))


def test_what_no_file_can_hold_is_refused_and_leaves_the_file_before(tmp_path):
    write_state(STATE, tmp_path / "state")
    before = (tmp_path / "state").read_bytes()
    with pytest.raises(ArgumentError, match=r"criterion → seen in the pruner's state is of type set: a state can hold"):
        write_state({"criterion": {"seen": {1, 2}}}, tmp_path / "state")
    assert (tmp_path / "state").read_bytes() == before
    with pytest.raises(FileFormatError, match="cannot write the pruner's state"):
        write_state(STATE, tmp_path / "no folder" / "state")


def test_a_file_that_is_damaged_or_something_else_is_refused(tmp_path):
    file = tmp_path / "state"
    with pytest.raises(FileFormatError):
        read_state(file)
    file.write_bytes(pack({"weight": torch.ones(2)}))
    with pytest.raises(FileFormatError, match="holds no pruner's state"):
        read_state(file)
    file.write_bytes(pack({"weight": torch.ones(2)}, None, {"state": "[]"}))
    with pytest.raises(CorruptFileError, match="cannot be read"):
        read_state(file)
    write_state(STATE, file)
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    with pytest.raises(CorruptFileError):
        read_state(file)
