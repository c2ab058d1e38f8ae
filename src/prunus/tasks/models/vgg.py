"""VGG with batch normalisation, in the form that pruning papers use on CIFAR."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from prunus.tasks.models.initialisation import he_normal
from prunus.tasks.models.shapes import image_shape

_CHANNELS = (64, 128, 256, 512, 512)


def vgg_11_bn(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Eight convolutions; 9,228,362 parameters on 3×32×32 and 10 classes. The rest as ``vgg_19_bn``.

    Source: Simonyan & Zisserman 2015, table 1, column A (arXiv:1409.1556).
    """
    return _vgg("vgg-11-bn", (1, 1, 2, 2, 2), input_shape, classes)


def vgg_16_bn(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Thirteen convolutions; 14,724,042 parameters on 3×32×32 and 10 classes. The rest as ``vgg_19_bn``.

    Source: Simonyan & Zisserman 2015, table 1, column D (arXiv:1409.1556).
    """
    return _vgg("vgg-16-bn", (2, 2, 3, 3, 3), input_shape, classes)


def vgg_19_bn(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Sixteen convolutions; 20,035,018 parameters on 3×32×32 and 10 classes.

    For 32×32: 3×3 convolutions without bias, each followed by batch normalisation and ReLU; max pooling after
    the first four stages, average pooling over what is left after the fifth; one linear layer. Convolutions
    begin He-normal.

    Raises:
        ArgumentError: ``input_shape`` is not (channels, height, width) of at least 16×16 pixels.

    Source: Simonyan & Zisserman 2015, table 1, column E (arXiv:1409.1556).
    """
    return _vgg("vgg-19-bn", (2, 2, 4, 4, 4), input_shape, classes)


def _vgg(name: str, depths: tuple[int, ...], input_shape: tuple[int, ...], classes: int) -> nn.Module:
    channels, _, _ = image_shape(name, input_shape, smallest=16)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, (depth, stage_channels) in enumerate(zip(depths, _CHANNELS, strict=True), start=1):
        for layer in range(1, depth + 1):
            layers[f"conv{stage}_{layer}"] = nn.Conv2d(channels, stage_channels, kernel_size=3, padding=1, bias=False)
            layers[f"bn{stage}_{layer}"] = nn.BatchNorm2d(stage_channels)
            layers[f"relu{stage}_{layer}"] = nn.ReLU()
            channels = stage_channels
        layers[f"pool{stage}"] = nn.MaxPool2d(2) if stage < len(depths) else nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(channels, classes)
    return he_normal(nn.Sequential(layers))
