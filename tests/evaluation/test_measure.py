from __future__ import annotations

import pytest
import torch
from safetensors.torch import save
from torch import nn

from prunus.errors import ArgumentError, MaskError
from prunus.evaluation.measure import measure
from prunus.outcomes import Cost
from prunus.packing.format import pack


def pruned():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    mask = torch.rand(32, 64) < 0.1
    model[1].weight.data[~mask] = 0
    return model, {"1.weight": mask}


def test_a_measurement_is_made_of_its_parts():
    model, masks = pruned()
    model[1].weight.data[0] = 0
    masks["1.weight"][0] = False
    kept = int(masks["1.weight"].sum())
    others = 32 + 64 + 320 + 10
    found = measure(model, torch.randn(3, 1, 8, 8), masks)
    state = model.state_dict()
    assert found == Cost(
        parameters=64 * 32 + others,
        nonzero_parameters=kept + others - 32,  # the shifts of the normalisation begin as zeros
        effective_parameters=kept + others - 32 - 1 - 10,  # the scale and outgoing weights of the dead unit
        flops=2 * (64 * 32 + 320),
        effective_flops=2 * (kept + 320),
        size_bytes=len(pack(state, masks)),
        dense_size_bytes=len(save(state)),
        effective_kept=kept,
    )


def test_a_compiled_model_is_measured_as_its_module():
    model, masks = pruned()
    inputs = torch.randn(1, 64)
    assert measure(torch.compile(model, backend="eager"), inputs, masks) == measure(model, inputs, masks)


def test_tied_weights_are_measured_once():
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.ReLU(), nn.Linear(8, 8, bias=False))
    model[2].weight = model[0].weight
    found = measure(model, torch.ones(1, 8))
    assert (found.parameters, found.nonzero_parameters, found.effective_parameters) == (64, 64, 64)
    assert found.flops == found.effective_flops == 2 * 2 * 64
    assert found.dense_size_bytes < 64 * 4 + 200


def test_what_cannot_be_followed_is_none_and_the_rest_is_measured():
    class Sorted(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 2)

        def forward(self, inputs):
            return self.linear(inputs).sort().values

    found = measure(Sorted(), torch.ones(1, 4))
    assert (found.effective_parameters, found.flops) == (None, 16)
    masks = {"linear.weight": torch.ones(2, 4, dtype=torch.bool)}
    assert measure(Sorted(), torch.ones(1, 4), masks).effective_kept is None


def test_kept_weights_that_lead_nowhere_are_not_effective():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    first = torch.tensor([[True, True], [True, False], [False, False]])  # units 0, 1; unit 2 hears nothing
    second = torch.tensor([[True, False, True], [False, False, False]])  # of units 0 and 2; nobody listens to unit 1
    masks = {"0.weight": first, "2.weight": second}
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name)[~mask] = 0
    assert int(first.sum() + second.sum()) == 5
    assert measure(model, torch.ones(1, 2), masks).effective_kept == 2 + 1
    assert measure(model, torch.ones(1, 2)).effective_kept is None


def test_a_model_in_training_is_left_as_it_was(unchanged):
    model, _ = pruned()
    model.train()
    inputs = torch.randn(4, 64)
    model(inputs).sum().backward()
    before = unchanged(model)
    measure(model, inputs)
    assert unchanged(model) == before


def test_a_graph_that_waits_for_its_backward_pass_is_not_broken():
    model, _ = pruned()
    loss = model.eval()(torch.randn(4, 64)).sum()
    measure(model, torch.randn(1, 64))
    loss.backward()
    assert model[1].weight.grad is not None


def test_a_dict_is_no_output(dict_model):
    with pytest.raises(ArgumentError, match="got a dict"):
        measure(dict_model, torch.ones(1, 4))


def test_masks_that_do_not_fit_are_refused():
    model, _ = pruned()
    with pytest.raises(MaskError):
        measure(model, torch.ones(1, 64), {"1.weight": torch.ones(2, 2, dtype=torch.bool)})


def test_something_that_is_no_module_is_refused():
    with pytest.raises(ArgumentError, match=r"the model must be a .*, got function"):
        measure(lambda x: x, torch.ones(1, 4))
