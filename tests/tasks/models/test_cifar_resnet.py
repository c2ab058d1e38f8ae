from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from prunus.tasks.load import build_model
from prunus.tasks.models.cifar_resnet import PaddedShortcut


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_pretrained_weights_load_strictly_and_name_every_parameter(depth, real_file):
    weights = load_file(real_file(f"cifar_resnet/resnet{depth}.safetensors"))
    model = build_model(f"resnet-{depth}", (3, 32, 32), 10)
    model.load_state_dict(weights, strict=True)
    # the file is older than BatchNorm's counter of batches, which no result depends on
    assert set(weights) == {name for name in model.state_dict() if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_the_name_counts_the_layers_with_weights(depth):
    weights = [weight for weight in build_model(f"resnet-{depth}", (3, 32, 32), 10).parameters() if weight.dim() > 1]
    assert len(weights) == depth


def test_the_shortcut_takes_every_second_pixel_between_zero_channels():
    images = torch.randn(2, 4, 6, 6)
    padded = PaddedShortcut(4)(images)
    assert padded.shape == (2, 8, 3, 3)
    assert torch.equal(padded[:, 2:6], images[:, :, ::2, ::2])
    assert torch.count_nonzero(padded[:, :2]) == torch.count_nonzero(padded[:, 6:]) == 0
