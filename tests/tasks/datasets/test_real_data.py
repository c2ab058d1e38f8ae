"""The large data sets, where the folders in PRUNUS_DATA have them."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from prunus.tasks.load import build_model, load_data

MARKERS = {
    "mnist": "mnist.npz",
    "fashion": "fashion/train-images-idx3-ubyte.gz",
    "cifar10": "cifar10/data_batch_1.png",
}
SIZES = {"mnist": (55_000, 5_000, 10_000), "fashion": (55_000, 5_000, 10_000), "cifar10": (45_000, 5_000, 10_000)}


@pytest.fixture(scope="module")
def cifar10(real_file):
    return load_data("cifar10", real_file(MARKERS["cifar10"]).parents[1])


@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_splits_have_their_sizes_and_inputs_are_standardised(name, real_file):
    data = load_data(name, real_file(MARKERS[name]).parent if name == "mnist" else real_file(MARKERS[name]).parents[1])
    assert tuple(map(len, data.splits().values())) == SIZES[name]
    assert data.input_shape == (1, 28, 28)
    assert data.train.inputs.mean().abs() < 0.001
    assert (data.train.inputs.std() - 1).abs() < 0.001


def test_cifar10_is_balanced_in_every_split(cifar10):
    assert cifar10.input_shape == (3, 32, 32)
    for examples, size in zip(cifar10.splits().values(), SIZES["cifar10"], strict=True):
        assert examples.targets.bincount().tolist() == [size // 10] * 10


@pytest.mark.parametrize(("depth", "right"), [(20, 929), (56, 936)])
def test_pretrained_resnets_reach_their_accuracy(depth, right, cifar10, real_file):
    # all 10,000 test images, measured once: ResNet-20 9,173 right, 32 9,263, 44 9,310, 56 9,339
    model = build_model(f"resnet-{depth}", (3, 32, 32), 10)
    model.load_state_dict(load_file(real_file(f"cifar_resnet/resnet{depth}.safetensors")), strict=True)
    model.eval()
    inputs, targets = next(cifar10.test.batches(1000))
    with torch.inference_mode():
        found = int((model(inputs).argmax(1) == targets).sum())
    assert abs(found - right) <= 1  # one image on the boundary may fall either way on another processor
