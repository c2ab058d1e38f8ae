from __future__ import annotations

import pytest
import torch
from torch import nn

from prunus.errors import CorruptFileError, FileFormatError
from prunus.masks.masks import Masks
from prunus.masks.storage import masks_to_bytes
from prunus.packing.format import pack


def network(width=6):
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


@pytest.fixture
def recorded(history, make):
    """A run of an initialisation and three rounds; the models' states and masks as they were."""
    run = make.run(states_planned=4)
    history.begin(run)
    parent, states, kept = None, [], []
    for position in range(4):
        torch.manual_seed(position)
        model = network()
        model[1].running_mean.normal_()
        masks = Masks({"0.weight": torch.rand(6, 4) > 0.25 * position} if position else {})
        masks.apply(model)
        state = make.state(
            run,
            position,
            parent,
            kind="pruned" if position else "initial",
            weights=history.blobs.put(pack(model.state_dict(), masks)),
            masks=history.blobs.put(masks_to_bytes(masks)) if position else None,
        )
        history.add(state)
        parent = state.id
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        kept.append(masks)
    return run, states, kept


def test_every_round_is_restored_exactly_in_any_order(history, recorded):
    run, states, kept = recorded
    model = network()
    for position in (3, 0, 2, 1, 3):
        masks = history.states(run.id)[position].restore(model)
        assert masks == kept[position]
        for name, tensor in model.state_dict().items():
            assert tensor.dtype == states[position][name].dtype
            assert torch.equal(tensor, states[position][name])


def test_the_weights_of_a_state_are_a_packed_file(history, recorded):
    run, states, _ = recorded
    from prunus.packing.format import unpack

    unpacked = unpack(history.states(run.id)[2].weights())
    assert all(torch.equal(unpacked.tensors[name], states[2][name]) for name in states[2])


def test_a_model_of_another_shape_is_left_as_it_was(history, recorded):
    other = network(width=5)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(FileFormatError, match="does not fit the model"):
        history.states(recorded[0].id)[1].restore(other)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


@pytest.mark.parametrize("what", ["weights", "masks"])
def test_damaged_weights_or_masks_never_reach_a_model(history, recorded, what):
    state = history.states(recorded[0].id)[1]
    path = history.blobs.path(getattr(state.record, what))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CorruptFileError, match="is damaged"):
        state.restore(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
