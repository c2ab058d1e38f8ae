from __future__ import annotations

import pytest

from prunus.tasks.load import build_model

SHAPE = (3, 224, 224)


def test_keys_are_those_of_torchvision():
    eighteen, fifty = (build_model(f"resnet-{depth}", SHAPE, 1000).state_dict() for depth in (18, 50))
    # 122 and 320 entries: the state dicts behind resnet18-f37072fd.pth and resnet50-0676ba61.pth
    assert (len(eighteen), len(fifty)) == (122, 320)
    assert {"conv1.weight", "bn1.running_var", "layer1.1.conv2.weight", "fc.bias"} <= set(eighteen)
    assert {"layer2.0.downsample.0.weight", "layer2.0.downsample.1.num_batches_tracked"} <= set(eighteen)
    assert not any(name.startswith("layer1.0.downsample") for name in eighteen)
    assert {"layer1.0.downsample.0.weight", "layer4.2.conv3.weight", "layer3.5.bn3.bias"} <= set(fifty)
    assert tuple(fifty["layer4.0.downsample.0.weight"].shape) == (2048, 1024, 1, 1)


@pytest.mark.parametrize(("depth", "stride_of"), [(18, "conv1"), (50, "conv2")])
def test_the_stride_lies_where_torchvision_puts_it(depth, stride_of):
    block = build_model(f"resnet-{depth}", SHAPE, 10).layer2[0]
    strides = {name: module.stride for name, module in block.named_children() if name.startswith("conv")}
    assert [name for name, stride in strides.items() if stride == (2, 2)] == [stride_of]
