"""Conv-2, Conv-4 and Conv-6 of the lottery ticket papers: small VGGs for CIFAR-10."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from prunus.tasks.models.initialisation import glorot_normal
from prunus.tasks.models.shapes import image_shape

_STAGES = (64, 128, 256)


def conv_2(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Two 3×3 convolutions of 64 channels, then 256-256-classes; 4.3 M weights on 3×32×32, 38 K of them convolutional.

    Weights begin Glorot-normal and biases at 0, as in the paper.

    Raises:
        ArgumentError: ``input_shape`` is not (channels, height, width) of at least 2×2 pixels.

    Source: Frankle & Carbin 2019, fig. 2 (arXiv:1803.03635).
    """
    return _convolutional("conv-2", 1, input_shape, classes)


def conv_4(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """``conv_2`` with two more convolutions of 128 channels; 2.4 M weights on 3×32×32, 260 K of them convolutional.

    Raises:
        ArgumentError: ``input_shape`` is not (channels, height, width) of at least 4×4 pixels.

    Source: Frankle & Carbin 2019, fig. 2 (arXiv:1803.03635).
    """
    return _convolutional("conv-4", 2, input_shape, classes)


def conv_6(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """``conv_4`` with two more convolutions of 256 channels; 2.3 M weights on 3×32×32, 1.1 M of them convolutional.

    The figure prints 1.7 M weights in all. The layers it lists have 2,261,184, and its counts for the
    convolutions and for the other two networks come out exactly; the layers are followed, not the total.

    Raises:
        ArgumentError: ``input_shape`` is not (channels, height, width) of at least 8×8 pixels.

    Source: Frankle & Carbin 2019, fig. 2 (arXiv:1803.03635).
    """
    return _convolutional("conv-6", 3, input_shape, classes)


def _convolutional(name: str, stages: int, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    channels, height, width = image_shape(name, input_shape, smallest=2**stages)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, stage_channels in enumerate(_STAGES[:stages]):
        for number in (2 * stage + 1, 2 * stage + 2):
            layers[f"conv{number}"] = nn.Conv2d(channels, stage_channels, kernel_size=3, padding=1)
            layers[f"relu{number}"] = nn.ReLU()
            channels = stage_channels
        layers[f"pool{stage + 1}"] = nn.MaxPool2d(2)
    layers["flatten"] = nn.Flatten()
    layers["fc1"] = nn.Linear(channels * (height >> stages) * (width >> stages), 256)
    layers[f"relu{2 * stages + 1}"] = nn.ReLU()
    layers["fc2"] = nn.Linear(256, 256)
    layers[f"relu{2 * stages + 2}"] = nn.ReLU()
    layers["fc3"] = nn.Linear(256, classes)
    return glorot_normal(nn.Sequential(layers))
