"""The two LeNets that pruning papers use."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn

from prunus.tasks.models.initialisation import glorot_normal
from prunus.tasks.models.shapes import image_shape


def lenet_300_100(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Fully connected 300-100-classes with ReLU; 266,610 parameters on 28×28 pixels and 10 classes.

    Weights begin Glorot-normal and biases at 0: lottery tickets are tickets of an initialisation, and this is
    the one they were found with.

    Source: LeCun et al. 1998, sec. III.C, for the sizes; Frankle & Carbin 2019, fig. 2 (arXiv:1803.03635), for
        ReLU and initialisation.
    """
    return glorot_normal(
        nn.Sequential(
            OrderedDict(
                flatten=nn.Flatten(),
                fc1=nn.Linear(math.prod(input_shape), 300),
                relu1=nn.ReLU(),
                fc2=nn.Linear(300, 100),
                relu2=nn.ReLU(),
                fc3=nn.Linear(100, classes),
            )
        )
    )


def lenet_5(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Convolutions of 6 and 16 channels (5×5), then 120-84-classes; 61,706 parameters on 28×28 and 10 classes.

    The variant in common use: the first convolution pads by 2 (28×28 images stand in for 32×32), all 16 channels
    see all 6, ReLU instead of tanh, max pooling instead of trainable subsampling, a linear output instead of
    radial basis functions. PyTorch's default initialisation.

    Raises:
        ArgumentError: ``input_shape`` is not (channels, height, width) of at least 12×12 pixels.

    Source: LeCun et al. 1998, sec. II.B, changed as said.
    """
    channels, height, width = image_shape("lenet-5", input_shape, smallest=12)
    pixels = ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 6, kernel_size=5, padding=2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, kernel_size=5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * pixels, 120),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            fc3=nn.Linear(84, classes),
        )
    )
