from __future__ import annotations

import copy
import os

import pytest
import safetensors.torch
import torch
from torch import nn

from prunus.errors import ArgumentError, CorruptFileError, FileFormatError, MaskError
from prunus.masks.masks import Masks
from prunus.packing.format import pack, unpack
from prunus.packing.model import load, save


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def states_equal(same):
    return lambda first, second: (
        first.keys() == second.keys() and all(same(first[name], second[name]) for name in first)
    )


def test_a_loaded_model_is_the_saved_one_with_its_masks(pruned_net, make_net, path, states_equal):
    net, masks = pruned_net
    size = save(net, path, masks, {"task": "digits"})
    assert size == path.stat().st_size
    other = make_net(1)
    loaded = load(other, path)
    assert isinstance(loaded, Masks)
    assert states_equal(other.state_dict(), net.state_dict())
    assert loaded == Masks(masks)
    assert list(loaded) == ["first.weight", "second.weight"]
    assert unpack(path.read_bytes()).metadata == {"task": "digits"}


def test_masks_that_were_not_given_are_those_of_the_zeros_in_weights(pruned_net, make_net, path):
    net, masks = pruned_net
    assert not net.norm.bias.any()  # as initialised: zero, and not pruned
    save(net, path)
    assert unpack(path.read_bytes()).inferred >= {"norm.bias"}
    assert load(make_net(1), path) == Masks(masks)


def test_no_masks_given_is_not_the_same_as_masks_to_be_inferred(pruned_net, make_net, path):
    net, _ = pruned_net
    save(net, path, {})
    assert len(load(make_net(1), path)) == 0


def test_a_given_mask_of_a_bias_comes_back(make_net, path):
    net = make_net(0)
    masks = {"norm.bias": torch.zeros(12, dtype=torch.bool)}
    save(net, path, masks)
    assert load(make_net(1), path) == Masks(masks)


def test_loading_writes_in_place_so_that_ties_and_optimizers_hold(pruned_net, make_net, path):
    net, masks = pruned_net
    save(net, path, masks)
    other = make_net(1)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    before = {name: (parameter, parameter.data_ptr()) for name, parameter in other.named_parameters()}
    load(other, path)
    assert all(
        before[name][0] is parameter and before[name][1] == parameter.data_ptr()
        for name, parameter in other.named_parameters()
    )
    assert other.tied.weight is other.second.weight
    assert all(parameter.requires_grad and parameter.grad is None for parameter in other.parameters())
    other(torch.ones(4, 20)).sum().backward()
    optimizer.step()
    assert not other.norm.bias.equal(net.norm.bias)


def test_masks_may_be_given_under_any_name_of_a_tied_weight(pruned_net, make_net, path):
    net, masks = pruned_net
    save(net, path, {"tied.weight": masks["second.weight"]})
    assert load(make_net(1), path) == Masks({"second.weight": masks["second.weight"]})


def test_a_tied_file_loads_into_an_untied_model(pruned_net, make_net, path):
    net, masks = pruned_net
    save(net, path, masks)
    other = make_net(1)
    other.tied.weight = nn.Parameter(other.tied.weight.detach().clone())
    load(other, path)
    assert other.tied.weight.equal(net.second.weight)
    assert other.second.weight.equal(net.second.weight)


def test_an_untied_file_does_not_load_into_a_tied_model_unless_the_values_are_equal(make_net, path, states_equal):
    untied, tied = make_net(0), make_net(1)
    untied.tied.weight = nn.Parameter(untied.tied.weight.detach().clone())
    save(untied, path)
    load(tied, path)
    assert tied.second.weight.equal(untied.second.weight)
    with torch.no_grad():
        untied.tied.weight[0, 0] += 1
    save(untied, path)
    before = copy.deepcopy(tied.state_dict())
    with pytest.raises(FileFormatError, match="differ, but are one tied parameter"):
        load(tied, path)
    assert states_equal(tied.state_dict(), before)


def changed_state(net, change):
    state = dict(net.state_dict())
    change(state)
    return pack(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("first.bias"), r"lacks 'first.bias'"),
        (lambda state: state.update(extra=torch.ones(1)), r"the model has no 'extra'"),
        (lambda state: state.update({"norm.bias": torch.ones(13)}), r"'norm.bias' has shape \(13,\), .*\(12,\)"),
        (lambda state: state.update({"norm.bias": torch.ones(1, 12)}), r"'norm.bias' has shape \(1, 12\)"),
        (lambda state: state.update({"norm.bias": torch.ones(12).half()}), "'norm.bias' is torch.float16, the model's"),
        (lambda state: state.clear(), r"lacks .* and 1 more"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(make_net, path, states_equal, change, message):
    path.write_bytes(changed_state(make_net(0), change))
    net = make_net(1)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(FileFormatError, match=message):
        load(net, path)
    assert states_equal(net.state_dict(), before)


def test_all_that_does_not_fit_is_said_at_once(make_net, path):
    path.write_bytes(changed_state(make_net(0), lambda state: (state.pop("first.bias"), state.update(x=torch.ones(1)))))
    with pytest.raises(FileFormatError, match=r"no 'x'; the file lacks 'first.bias'"):
        load(make_net(1), path)


def test_a_damaged_file_changes_nothing(pruned_net, make_net, path, states_equal):
    save(pruned_net[0], path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    net = make_net(1)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(CorruptFileError):
        load(net, path)
    assert states_equal(net.state_dict(), before)


def test_a_plain_safetensors_file_is_not_a_packed_model(make_net, path):
    safetensors.torch.save_model(make_net(0), path)
    with pytest.raises(FileFormatError, match="not a prunus model file"):
        load(make_net(1), path)


def test_a_compiled_model_is_saved_and_loaded_under_the_plain_names(pruned_net, make_net, path, states_equal):
    net, masks = pruned_net
    save(net, path, masks)
    plain = path.read_bytes()
    compiled = torch.compile(net, backend="eager")
    save(compiled, path, {f"_orig_mod.{name}": mask for name, mask in masks.items()})
    assert path.read_bytes() == plain
    net.first = torch.compile(net.first, backend="eager")
    save(net, path, masks)
    assert path.read_bytes() == plain

    other = make_net(1)
    other.first = torch.compile(other.first, backend="eager")
    assert load(torch.compile(other, backend="eager"), path) == Masks(masks)
    assert states_equal(
        {name.replace("_orig_mod.", ""): t for name, t in other.state_dict().items()}, unpack(plain).tensors
    )


def test_a_mask_for_no_parameter_is_refused(make_net, path):
    net = make_net(0)
    with pytest.raises(MaskError, match=r"no parameter 'norm.running_mean', 'nothing'"):
        save(net, path, dict.fromkeys(["nothing", "norm.running_mean"], torch.ones(12, dtype=torch.bool)))
    assert not path.exists()


def test_weights_that_were_not_zeroed_are_refused(pruned_net, make_net, path):
    _, masks = pruned_net
    with pytest.raises(MaskError, match=r"first.weight"):
        save(make_net(0), path, masks)
    assert not path.exists()


def test_a_full_disk_leaves_the_old_file(make_net, path, monkeypatch):
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileFormatError, match=r"cannot write the model to .*No space left on device"):
        save(make_net(0), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_a_missing_folder_is_a_clear_error(make_net, tmp_path):
    with pytest.raises(FileFormatError, match=r"cannot write the model to .*No such file"):
        save(make_net(0), tmp_path / "no" / "model.safetensors")


def test_a_missing_file_is_a_clear_error(make_net, path):
    with pytest.raises(FileFormatError, match="cannot read"):
        load(make_net(0), path)


class WithState(nn.Module):
    def get_extra_state(self):
        return {"a": 1}


def test_state_that_is_no_tensor_is_refused_rather_than_pickled(path):
    with pytest.raises(ArgumentError, match="'_extra_state' is a dict"):
        save(WithState(), path)


def test_a_model_without_memory_can_be_neither_saved_nor_loaded(make_net, path):
    save(make_net(0), path)
    empty = make_net(0).to("meta")
    with pytest.raises(ArgumentError, match="meta device"):
        save(empty, path)
    with pytest.raises(ArgumentError, match="meta device"):
        load(empty, path)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions_come_back_exactly(pruned_net, make_net, path, states_equal, dtype):
    net, masks = pruned_net
    net.to(dtype)
    save(net, path, masks)
    other = make_net(1).to(dtype)
    load(other, path)
    assert states_equal(other.state_dict(), net.state_dict())


def test_an_empty_parameter_has_no_mask(path):
    net = nn.Module()
    net.weight = nn.Parameter(torch.zeros(0, 3))
    save(net, path, {"weight": torch.zeros(0, 3, dtype=torch.bool)})
    assert len(load(net, path)) == 0
