from __future__ import annotations

import pytest
import torch
from torch import nn

import prunus
from prunus.errors import ArgumentError, MaskError
from prunus.sparse.semi_structured import to_semi_structured


def network(**kind):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)).to(**kind)


def refused(model, masks, error, match):
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(error, match=match):
        to_semi_structured(model, masks)
    assert all(torch.equal(now, was) for now, was in zip(model.parameters(), before, strict=True))


def test_weights_on_the_cpu_are_refused_and_stay():
    model = network()
    masks = prunus.prune(model, 0.5, pattern="2:4")
    refused(model, masks, ArgumentError, r"'0.weight' is on cpu: semi-structured products need a CUDA device")


def test_masks_of_another_pattern_are_refused():
    model = network()
    refused(model, prunus.prune(model, 0.5), MaskError, r"'0.weight' keeps more than 2 of 4 neighbouring inputs")


def test_masks_that_are_not_applied_are_refused():
    model = network()
    masks = prunus.prune(network(), 0.5, pattern="2:4")
    refused(model, masks, MaskError, r"'0.weight' has weights that its mask removes: apply the masks first")


def test_masks_of_another_model_are_refused():
    masks = prunus.prune(network(), 0.5, pattern="2:4")
    refused(nn.Linear(4, 4), masks, MaskError, "the model has no parameter")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_the_products_are_those_of_the_dense_weights():
    model = network(device="cuda", dtype=torch.float16)
    masks = prunus.prune(model, 0.5, pattern="2:4")
    inputs = torch.randn(64, 256, device="cuda", dtype=torch.float16)
    with torch.inference_mode():
        dense = model(inputs)
        assert to_semi_structured(model, masks) == ["0.weight", "2.weight"]  # the last has too few rows
        torch.testing.assert_close(model(inputs), dense, rtol=1e-2, atol=1e-2)
    wide = network(device="cuda", dtype=torch.float64)
    refused(wide, prunus.prune(wide, 0.5, pattern="2:4"), ArgumentError, "float64, for which there are no such kernels")
